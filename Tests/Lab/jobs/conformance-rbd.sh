# iscsi-test-cu and sg3-utils against a LUN on an RBD image; read by Tests/Lab/conformance/run
# needs: ceph
# suite: no
# timeout: 3600
source "$library/conformance.sh"
start_daemon
rbd_image a "$conformance_bytes"
# A cluster in memory overwrites the image in less than three seconds, and Sanitize.Reset looks for a SANITIZE at work after three:
# librbd holds the image to what a slow disk writes. Told in the document by Tests/Lab/conformance/report.py.
check "the image's speed" on_host "rbd config image set rbd/a rbd_qos_write_bps_limit $((40 << 20))"
make_lun a rbd/rbd/a "$conformance_bytes" hw_max_sectors=1024
conformance_work a
