# shellcheck shell=bash
# What a daemon's stop, start and sudden death must not do to a mounted file system or to running I/O.

# restart_work DISK [COMMAND…]: needs the daemon running and the disk attached; COMMAND is run after each start.
restart_work() {
    local path=$1 mount=$LAB_STATE/mnt fio_pid
    shift
    check "mkfs.ext4" limit 120 mkfs.ext4 -q "$path"
    check "mount" limit 60 mount "$path" "$mount"
    head -c 5000001 /dev/urandom > "$mount/before" || fail "write before the restart"
    (cd "$mount" && sha256sum before) > "$LAB_STATE/sums"
    sync

    stop_daemon TERM
    start_daemon
    "$@"
    check "write after an orderly restart" limit 60 dd if=/dev/urandom of="$mount/after" bs=1M count=4 conv=fsync
    check "umount after an orderly restart" limit 60 umount "$mount"
    blockdev --flushbufs "$path"
    check "mount again" limit 60 mount "$path" "$mount"
    check "checksums after an orderly restart" same_sums "$mount"
    check "umount" limit 60 umount "$mount"

    # The rate keeps a fast machine from ending before the daemon is killed.
    fio --name=survivor --filename="$path" --rw=randwrite --bs=4k --size=40M --iodepth=16 --ioengine=libaio \
        --direct=1 --verify=crc32c --verify_fatal=1 --verify_state_save=0 --eta=never --rate_iops=2000 --output="$LAB_STATE/fio.log" &
    fio_pid=$!
    sleep 3
    kill -0 "$fio_pid" || fail "fio ended before the daemon was killed: $(cat "$LAB_STATE/fio.log")"
    stop_daemon KILL
    say "killed while fio writes"
    sleep 3
    kill -0 "$fio_pid" || fail "fio ended with the daemon: $(cat "$LAB_STATE/fio.log")"
    start_daemon
    "$@"
    if ! bounded 200 wait_for_process "$fio_pid"; then fail "fio hangs after the daemon came back"; fi
    wait "$fio_pid" || fail "fio: $(tail -n 20 "$LAB_STATE/fio.log")"
    say "ok: fio survived the daemon's death, every block verified"
}

wait_for_process() {
    while kill -0 "$1" 2> /dev/null; do sleep 0.1; done
}
