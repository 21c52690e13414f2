# The daemon stopped and started, then killed, under a file LUN that is mounted and written
# timeout: 400
bytes=$((512 << 20))
start_daemon
image_file a "$bytes"
make_lun a "$(file_config "$image")" "$bytes"
attach a
restart_work "$disk"
remove_lun a
stop_daemon
kernel_log_clean
