# shellcheck shell=bash
# Figures of one RBD image by several ways in one boot: fio's rbd engine, and two daemons over tcm_loop and iSCSI.
# One LUN stays configured all the time; only who serves it changes, so every attribute of it is the same for both.

results=$LAB_SHARE/results
records=$results/results.jsonl
image_name=bench
# Bytes at the start of the image that fio leaves alone, for the checks that a LUN is the image.
checked_bytes=$((64 << 20))
measured_bytes=0
ours_program=$LAB_DAEMON_PROGRAM
ticks_per_second=$(getconf CLK_TCK)

# fill_image BYTES: an image full of random data, made on the host's side, so that no read meets a hole.
fill_image() {
    measured_bytes=$(($1 - checked_bytes))
    check "the image, filled once" on_host "head -c $1 /dev/urandom | timeout 110 rbd import --no-progress - rbd/$image_name"
    # Both daemons switch the cache off; what they are compared with must not have one either.
    printf '[client]\nrbd cache = false\n' >> /etc/ceph/ceph.conf
}

# serve_with tcmud|tcmu-runner|nobody: who serves the LUN from now on.
serve_with() {
    [[ $1 != "$serving" ]] || return 0
    [[ $serving == nobody ]] || stop_daemon
    serving=$1
    case $1 in
        nobody) return ;;
        tcmud) LAB_DAEMON_PROGRAM=$ours_program ;;
        # The distribution's place: a compatibility link of that name may lead to ours.
        *) LAB_DAEMON_PROGRAM=/usr/bin/tcmu-runner ;;
    esac
    # shellcheck disable=SC2034 # the library's words look at it
    LAB_DAEMON=$1
    start_daemon
    # Field 28: where its stack begins. That is what tells one of the guest's processes from another in the host's eyes.
    host_process=$(on_host "/usr/bin/python3 $LAB_PROJECT/Tests/Lab/guest/bench.py find" \
        "$(cut -d ' ' -f 28 "/proc/$daemon_pid/stat")") || fail "the host does not know the daemon: $host_process"
}
serving=nobody

# settle DISK: until the daemon answers, then a second of both directions, which takes the image's exclusive lock
# and opens what connections there are.
settle() {
    until_true 60 limit 20 dd if="$1" of=/dev/null bs=4k count=1 iflag=direct || fail "$serving does not answer for $1"
    check "$serving warmed up on $1" limit 60 fio --name=warm "--filename=$1" --ioengine=libaio --direct=1 --rw=randrw \
        --bs=4k --iodepth=32 --offset="$checked_bytes" --size="$measured_bytes" --time_based --runtime=1
}

# image_sum OFFSET BYTES: checksum of a part of the image as Ceph has it.
image_sum() {
    on_host "timeout 60 rbd export --no-progress rbd/$image_name - 2> /dev/null | tail -c +$(($1 + 1)) | head -c $2 | sha256sum"
}

# disk_sum DISK OFFSET BYTES: the same through a LUN; both numbers are multiples of 1 MiB.
disk_sum() {
    limit 60 dd if="$1" bs=1M skip=$(($2 >> 20)) count=$(($3 >> 20)) iflag=direct status=none | sha256sum
}

# prove_image DISK…: each disk reads the image, and what is written through the first is in it and read by all.
prove_image() {
    local bytes=$((16 << 20)) offset=$((32 << 20)) path expected
    expected=$(image_sum 0 "$bytes") || fail "the image cannot be read: $expected"
    for path in "$@"; do equal "$serving reads the image on $path" "$(disk_sum "$path" 0 "$bytes")" "$expected"; done
    head -c "$bytes" /dev/urandom > "$LAB_STATE/data"
    check "$serving writes on $1" limit 60 dd if="$LAB_STATE/data" of="$1" bs=1M seek=$((offset >> 20)) oflag=direct
    expected=$(sha256sum < "$LAB_STATE/data")
    equal "Ceph has what $serving wrote" "$(image_sum "$offset" "$bytes")" "$expected"
    for path in "$@"; do equal "$serving reads it back on $path" "$(disk_sum "$path" "$offset" "$bytes")" "$expected"; done
}

# spent: of the daemon its CPU as the host counts it (ns) and as the guest does (ticks), context switches, threads and peak
# KiB; nothing without a daemon. The guest only samples, and counts the time in which the host let it wait. The host counts
# exactly, but only what the process does itself: the kernel's work for it is another process there.
spent() {
    [[ $serving != nobody ]] || return 0
    local counted
    counted=$(on_host "cut -d ' ' -f 1 /proc/$host_process/schedstat") || fail "the host's count: $counted"
    # Not awk's own reading of files: a thread that has just ended would end awk, too.
    cat "/proc/$daemon_pid/stat" "/proc/$daemon_pid/task"/*/status 2> /dev/null | awk -v counted="$counted" '
        NR == 1 { ticks = $14 + $15 }
        /ctxt_switches:/ { switches += $2 }
        /^Threads:/ { threads = $2 }
        /^VmHWM:/ { peak = $2 }
        END { print counted, ticks, switches, threads, peak }'
}

# measure TRANSPORT PATTERN DEPTH FIO-OPTION…: one run of fio and its record.
measure() {
    local transport=$1 pattern=$2 depth=$3 before after line
    shift 3
    before=$(spent)
    limit $((runtime + 60)) fio --name=bench "$@" --rw="$pattern" --bs="$block" --iodepth="$depth" --offset="$checked_bytes" \
        --size="$measured_bytes" --time_based --runtime="$runtime" --norandommap --clat_percentiles=0 --lat_percentiles=1 \
        --output-format=json --output="$LAB_STATE/fio.json" > "$LAB_STATE/fio.log" 2>&1 ||
        fail "fio, $serving, $transport $pattern $depth: $(tail -n 20 "$LAB_STATE/fio.log" "$LAB_STATE/fio.json")"
    after=$(spent)
    line=$(/usr/bin/python3 "$library/bench.py" record "$records" "$LAB_STATE/fio.json" "$ticks_per_second" \
        "$before" "$after" "round=$round" "subject=${serving/nobody/fio}" "transport=$transport" "pattern=$pattern" \
        "block=$block" "depth=$depth") || fail "no record"
    say "$line"
}

# measure_all TRANSPORT FIO-OPTION…: every pattern at every depth.
measure_all() {
    local transport=$1 pattern depth
    shift
    for pattern in $patterns; do
        for depth in $depths; do measure "$transport" "$pattern" "$depth" "$@"; done
    done
}
