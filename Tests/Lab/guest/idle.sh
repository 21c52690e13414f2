# shellcheck shell=bash
# What a daemon costs that nobody asks for anything.

# idle_config NAME: what the LUN of that name is on, in $config.
idle_config() {
    case $backend in
        mem) config=mem/$1 ;;
        rbd) config=rbd/rbd/$1 ;;
        file) config=file/$LAB_STATE/image-$1 ;;
        qcow) config=qcow/$LAB_STATE/image-$1 ;;
    esac
}

# make_idle_luns: idle1 and so on, enabled; their directories in $directories. Without a process for each step, of which
# a hundred LUNs would take two minutes in the guest.
make_idle_luns() {
    local number name directory word
    directories=()
    for ((number = 1; number <= luns; ++number)); do
        hba_of[idle$number]=user_$((next_hba++))
        directories+=("$(device_directory "idle$number")")
    done
    case $backend in
        file | qcow) truncate -s "$bytes" "${directories[@]/#*\//$LAB_STATE/image-}" || fail "no image files" ;;
    esac
    mkdir -p "${directories[@]}" || fail "configfs refuses the devices"
    for ((number = 1; number <= luns; ++number)); do
        name=idle$number directory=${directories[number - 1]}
        idle_config "$name"
        for word in "dev_config=$config" "dev_size=$bytes"; do
            printf '%s' "$word" > "$directory/control" || fail "configfs refuses $word"
        done
        printf 1 > "$directory/enable" || fail "enabling $name"
    done
}

resident() { awk '/^VmRSS:/ { print $2 }' "/proc/$daemon_pid/status"; }

processor_ticks() { awk '{ print $14 + $15 }' "/proc/$daemon_pid/stat"; }

# wakeups: thread, its context switches of both kinds, its name; a thread that sleeps does not add to them. Without the
# kernel's own workers for io_uring, which look every 5 s whether they are still wanted.
wakeups() {
    cat "/proc/$daemon_pid/task"/*/status 2> /dev/null | awk '
        /^Name:/ { name = $2 } /^Pid:/ { thread = $2 } /^voluntary/ { switches = $2 }
        /^nonvoluntary/ && name !~ /^iou-/ { print thread, switches + $2, name }'
}

# woken_between BEFORE AFTER: switches and name of each thread that did not sleep, new ones and ended ones among them.
woken_between() {
    awk 'FNR == NR { before[$1] = $2; name[$1] = $3; next }
        { if ($2 - before[$1] > 0) print $2 - before[$1], $3; delete before[$1] }
        END { for (thread in before) print 1, name[thread], "(ended)" }' "$1" "$2"
}

# idle_record: the figures of the job idle-luns as a record; $threads and $memory are set.
idle_record() {
    threads=$(awk '/^Threads:/ { print $2 }' "/proc/$daemon_pid/status")
    memory=$(resident)
    awk -v subject="$LAB_DAEMON" -v backend="$backend" -v luns="$luns" -v threads="$threads" -v memory="$memory" \
        -v rest="$rest" -v used="$((used * 1000 / $(getconf CLK_TCK)))" -v switches="$switches" 'BEGIN {
            printf "{\"kind\": \"idle\", \"subject\": \"%s\", \"variant\": \"\", ", subject
            printf "\"backend\": \"%s\", \"luns\": %d, ", backend, luns
            printf "\"threads\": %d, \"threads_per_lun_overall\": %.2f, \"rss_kib\": %d, ", threads, threads / luns, memory
            printf "\"rss_per_lun_kib\": %.1f, \"cpu_ms_in_10s\": %d, ", (memory - rest) / luns, used
            printf "\"switches_in_10s\": %d}\n", switches }' >> "$LAB_SHARE/results/results.jsonl"
}
