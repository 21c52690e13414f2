# The same as restart on an RBD image, whose dead owner still watches it when the daemon comes back
# needs: ceph
# timeout: 500
bytes=$((512 << 20))
start_daemon
rbd_image a "$bytes"
make_lun a rbd/rbd/a "$bytes"
attach a
restart_work "$disk"
remove_lun a
stop_daemon
kernel_log_clean
