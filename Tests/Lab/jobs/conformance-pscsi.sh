# The residual tests of iscsi-test-cu against the kernel's own pass-through backstore, which has no daemon
# suite: no
# timeout: 600
source "$library/conformance.sh"
modprobe scsi_debug "dev_size_mb=$((conformance_bytes >> 20))" sector_size=512 lbpu=1 || fail "no scsi_debug"
address=$(lsscsi | sed -nE 's/^\[([0-9:]+)\].*scsi_debug.*/\1/p')
[[ -n $address ]] || fail "no disk of scsi_debug"
make_pscsi_lun a "$address"
CONFORMANCE_SG=0 conformance_work a
