# Eight LUNs, two of them RBD, with I/O on all at once; one removed while the others run
# needs: ceph
# timeout: 500
bytes=$((128 << 20))
declare -A disks=()
start_daemon
for name in a b c d e f; do
    image_file "$name" "$bytes"
    make_lun "$name" "$(file_config "$image")" "$bytes"
done
for name in g h; do
    rbd_image "$name" "$bytes"
    make_lun "$name" "rbd/rbd/$name" "$bytes"
done
for name in a b c d e f g h; do
    attach "$name"
    disks[$name]=$disk
done
lsscsi

# fio_on MEBIBYTES NAME…: random writes and their verification, all disks at once.
fio_on() {
    local size=$1 name
    shift
    local options=(--rw=randwrite --bs=4k --size="${size}M" --iodepth=8 --ioengine=libaio --direct=1
        --verify=crc32c --verify_fatal=1 --verify_state_save=0 --rate_iops=300)
    for name in "$@"; do options+=("--name=$name" "--filename=${disks[$name]}"); done
    limit 240 fio --output="$LAB_STATE/fio.log" --eta=never "${options[@]}"
}

check "fio on all eight at once" fio_on 4 a b c d e f g h

fio_on 12 a b d e f g h &
fio_pid=$!
sleep 3
kill -0 "$fio_pid" || fail "fio ended too early to remove a LUN beside it"
remove_lun c
kill -0 "$fio_pid" || fail "fio ended during the removal: $(tail -n 20 "$LAB_STATE/fio.log")"
wait "$fio_pid" || fail "fio: $(tail -n 20 "$LAB_STATE/fio.log")"
say "ok: the other seven went on undisturbed"

for name in a b d e f g h; do remove_lun "$name"; done
stop_daemon
kernel_log_clean
