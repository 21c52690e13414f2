# An RBD LUN over iSCSI on loopback with open-iscsi: file system, fio with verify
# needs: ceph
# timeout: 400
bytes=$((512 << 20))
start_daemon
rbd_image a "$bytes"
make_lun a rbd/rbd/a "$bytes"
export_iscsi a
iscsi_login
file_system "$disk" xfs
fio_verify "$disk"
discard "$disk"
iscsi_logout
unexport_iscsi
remove_lun a
stop_daemon
kernel_log_clean
