# An RBD LUN over iSCSI on loopback with open-iscsi: file system, fio with verify
# needs: ceph
# timeout: 400
bytes=$((512 << 20))
start_daemon
rbd_image a "$bytes"
make_lun a rbd/rbd/a "$bytes"
iscsi_round a xfs
