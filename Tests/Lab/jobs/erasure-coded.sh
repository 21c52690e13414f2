# A LUN whose data is in an erasure-coded pool: single commands, what each leaves on the medium, and random writes verified
# needs: ceph three-osds
# timeout: 200
bytes=$((64 << 20))
check "an erasure-coded pool, and an image with its data in it" on_host "
    set -e
    ceph osd erasure-code-profile set lab k=2 m=1 crush-failure-domain=osd
    ceph osd pool create lab-coded 8 8 erasure lab
    ceph osd pool set lab-coded allow_ec_overwrites true
    ceph osd pool application enable lab-coded rbd
    rbd create --size $((bytes >> 20))M --data-pool lab-coded rbd/coded"
start_daemon
make_lun coded rbd/rbd/coded "$bytes"
attach coded

provisioning "$disk" 1
mode_flags "$disk" 0 1
fill "$disk"
same_as_model "plain writes" "$disk"
compare_and_write "$disk"
write_same "$disk" 1
unmap "$disk"
if ours; then
    # 32 KiB are four stripes of 8 KiB, which is k times the chunk: a transaction of three OSDs.
    head -c $((64 * lun_block)) /dev/urandom > "$LAB_STATE/atomic"
    # shellcheck disable=SC2046
    equal "WRITE ATOMIC(16)" "$(sense -s $((64 * lun_block)) -i "$LAB_STATE/atomic" "$disk" 9c 00 $(lba16 64 64) 00 00)" good
    dd if="$LAB_STATE/atomic" of="$model" bs="$lun_block" seek=64 conv=notrunc status=none
    same_as_model "WRITE ATOMIC(16)" "$disk"
    # shellcheck disable=SC2046
    equal "WRITE ATOMIC(16) beside its alignment" \
        "$(sense -s $((64 * lun_block)) -i "$LAB_STATE/atomic" "$disk" 9c 00 $(lba16 77 64) 00 00)" 5/2400
    # The window of all or nothing is the object, 4 MiB, as in other pools.
    # shellcheck disable=SC2046
    equal "WRITE ATOMIC(16) across two objects" "$(sense -s $((64 * lun_block)) -i "$LAB_STATE/atomic" "$disk" 9c 00 \
        $(lba16 $(((4 << 20) / lun_block - 1)) 64) 00 00)" 5/2400
fi
small_commands "$disk"
equal "the same through librbd on the host" "$(on_host "rbd --no-progress export rbd/coded - 2> /dev/null | head -c $model_bytes | sha256sum")" \
    "$(sha256sum < "$model")"
fio_verify "$disk" 4
objects=$(on_host 'rados -p lab-coded ls | grep -c rbd_data')
((objects > 0)) || fail "no objects in the erasure-coded pool: $objects"
say "ok: $objects objects in the erasure-coded pool"
discard "$disk"
equal "objects after the discard" "$(on_host 'rados -p lab-coded ls | grep -c rbd_data || true')" 0
remove_lun coded
stop_daemon
kernel_log_clean
