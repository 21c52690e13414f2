# iscsi-test-cu and sg3-utils against a LUN on an RBD image; read by Tests/Lab/conformance/run
# needs: ceph
# suite: no
# timeout: 3600
source "$library/conformance.sh"
start_daemon
rbd_image a "$conformance_bytes"
make_lun a rbd/rbd/a "$conformance_bytes" hw_max_sectors=1024
conformance_work a
