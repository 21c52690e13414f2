# iscsi-test-cu and sg3-utils against a LUN on a file; read by Tests/Lab/conformance/run
# suite: no
# timeout: 3600
source "$library/conformance.sh"
start_daemon
image_on_disk a "$conformance_bytes"
make_lun a "$(file_config "$image")" "$conformance_bytes" hw_max_sectors=1024
conformance_work a
