# A file LUN over iSCSI on loopback with open-iscsi: file system, fio with verify
# timeout: 300
bytes=$((512 << 20))
start_daemon
image_file a "$bytes"
make_lun a "$(file_config "$image")" "$bytes"
export_iscsi a
iscsi_login
file_system "$disk" ext4
fio_verify "$disk"
discard "$disk"
iscsi_logout
unexport_iscsi
remove_lun a
stop_daemon
kernel_log_clean
