# iscsi-test-cu and sg3-utils against the kernel's own fileio backstore; read by Tests/Lab/conformance/run
# suite: no
# timeout: 3600
source "$library/conformance.sh"
image_file a "$conformance_bytes"
make_fileio_lun a "$image" "$conformance_bytes"
conformance_work a
