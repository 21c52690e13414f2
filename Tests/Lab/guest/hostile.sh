# shellcheck shell=bash
# A LUN for the hostile initiator (hostile/storm.py, on the host's side), a neighbour of the same kind for fio, and a
# LUN of the kernel's own for comparison. What is seen goes to $results, for hostile/judge.py.

hostile=$LAB_PROJECT/Tests/Lab/hostile
# The initiator comes over the bridge.
portal=10.77.0.1:3260
# KiB of nothing but the daemon's log that a storm may leave, however long it is.
log_limit=512

phase() { printf '%s %s\n' "$EPOCHREALTIME" "$1" >> "$results/phases"; }

# hostile_luns BACKEND BYTES: victim, neighbour (its disk in $disk) and control, each as it is usually made; but the victim's ring
# is the smallest there is, so that notices of 33,000 resets fill it.
hostile_luns() {
    local backend=$1 bytes=$2 name words
    for name in victim neighbour; do
        words=(hw_max_sectors=1024)
        [[ $name != victim ]] || words+=(cmd_ring_size_mb=1)
        case $backend in
            rbd)
                rbd_image "$name" "$bytes"
                make_lun "$name" "rbd/rbd/$name;osd_op_timeout=30" "$bytes" "${words[@]}"
                # As ceph-iscsi sets it; a file keeps the kernel's 30 s.
                put "$(device_directory "$name")/attrib/cmd_time_out" 0 || fail "cmd_time_out of $name"
                ;;
            file)
                image_on_disk "$name" "$bytes"
                make_lun "$name" "$(file_config "$image")" "$bytes" "${words[@]}"
                ;;
        esac
    done
    image_on_disk control "$bytes"
    make_fileio_lun control "$image" "$bytes"
    export_iscsi victim control
    attach neighbour
}

# neighbour_begins DISK: verified writes, and who looks at it. Every four of them are followed by a pause: the guest has one
# processor, and at full speed that would be what is measured. What is missed in a window is not made up for in the next.
neighbour_begins() {
    setsid fio --name=neighbour --filename="$1" --size=96M --rw=randwrite --bs=4k --iodepth=4 --thinktime="$pause" --thinktime_blocks=4 --ioengine=libaio \
        --direct=1 --verify=crc32c --verify_backlog=256 --verify_fatal=1 --verify_state_save=0 --time_based --runtime=100000 \
        --eta=never --output-format=json --output="$results/fio.json" &
    fio_pid=$!
    rm -f "$LAB_STATE/looked"
    /usr/bin/python3 "$hostile/watch.py" "$1" "$daemon_pid" "$LAB_STATE/looked" > "$results/watch.jsonl" &
    watch_pid=$!
}

neighbour_ends() {
    kill -INT "$fio_pid" 2> /dev/null
    bounded 60 wait_for_process "$fio_pid" || fail "the neighbour's fio does not end"
    touch "$LAB_STATE/looked"
    bounded 20 wait_for_process "$watch_pid"
}

# storm NAME LUN SECONDS [OPTION…]: the initiator on the host's side, to its end.
storm() {
    local name=$1 lun=$2 seconds=$3
    shift 3
    # In the background, and without the request's own output, whose end is the answer.
    on_host "cd \$LAB_CEPH/../share/${results#"$LAB_SHARE"/} && exec > $name.log 2>&1 < /dev/null && setsid /usr/bin/python3 $hostile/storm.py \
        --target $iscsi_name --lun $lun --seconds $seconds --seed $seed --rate $rate $* $name &" || fail "the hostile initiator cannot be started"
    until_true $((seconds + 900)) test -e "$results/$name/storm.json" || fail "the hostile initiator does not end"
}

# witness_of_silence NAME: when the initiator gives a session up, what_holds_it is asked, and whether the daemon owes an answer is told.
witness_of_silence() {
    until grep -qE 'given up|problem' "$results/$1/journal" 2> /dev/null; do sleep 2; done
    say "a session got no answer"
    what_holds_it > "$results/silence" 2>&1
    grep '^/dev/uio' "$results/silence"
}

sessions_left() { tr -d '\0' < "$iscsi/dynamic_sessions" | grep -c .; }

# hostile_work BACKEND BYTES SECONDS: all of it, and the verdict.
hostile_work() {
    local backend=$1 bytes=$2 seconds=$3 lines neighbour
    results=$LAB_SHARE/results/$backend
    mkdir -p "$results"
    hostile_luns "$backend" "$bytes"
    neighbour=$disk
    lines=$(wc -c < "$LAB_SHARE/daemon.log")
    neighbour_begins "$neighbour"
    # So that what either LUN makes when it is first used is counted as before.
    storm warm 0 2 --gentle
    phase calm
    sleep "$calm"
    if ((control > 0)); then
        phase control
        storm control 1 "$control" --gentle
        phase between
        sleep 5
    fi
    phase storm
    say "the storm begins, seed $seed"
    witness_of_silence storm &
    witness_pid=$!
    storm storm 0 "$seconds" --flood "$flood"
    kill "$witness_pid" 2> /dev/null
    phase after
    sleep 6
    phase end
    neighbour_ends
    if ! /usr/bin/python3 "$hostile/judge.py" "$results"; then reason_found+=("$backend: judged"); fi
    lines=$((($(wc -c < "$LAB_SHARE/daemon.log") - lines) >> 10))
    say "the daemon's log has grown by $lines KiB"
    ((lines <= log_limit)) || reason_found+=("$backend: $lines KiB of log, at most $log_limit expected")
    daemon_alive || fail "the daemon is gone"
    until_true 20 eval '(($(sessions_left) == 0))' || fail "sessions are left: $(tr '\0' ' ' < "$iscsi/dynamic_sessions")"
    say "ok: no session is left"
    unexport_iscsi
    for name in victim neighbour control; do remove_lun "$name"; done
}
