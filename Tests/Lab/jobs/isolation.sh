# One bad image leaves its neighbour behind the same portal group alone: its OSD hangs, its pool is full, it is deleted
# needs: ceph two-osds
# alone: yes
# timeout: 500
bytes=$((256 << 20))
window=${WINDOW:-10}
# Reads per second on B; 0 for as many as it can, which needs a quiet machine to compare one minute with another. So the
# fixed rate shows pauses, and the spans at full speed, judged with room for what else the machine does, a lasting loss.
rate=${RATE:-300}
full_speed=${FULL_SPEED:-6}
# How long an operation may take; the smallest that the original leaves as it is, with the OSDs' timers below.
limit_of_operations=8

say "--- two pools, each on an OSD of its own"
# In the clients' file as well: they compare their time limits with what they find there.
check "the OSDs' timers" on_host "ceph config set global osd_heartbeat_grace 3 && ceph config set global osd_heartbeat_interval 1"
printf '%s\n' 'osd heartbeat grace = 3' 'osd heartbeat interval = 1' >> /etc/ceph/ceph.conf
for pair in a:0 b:1; do
    pool=${pair%:*} osd=osd.${pair#*:}
    check "pool $pool on $osd" on_host "ceph osd crush rm-device-class $osd && ceph osd crush set-device-class only_$pool $osd &&
        ceph osd crush rule create-replicated on_$pool default osd only_$pool &&
        ceph osd pool create $pool 8 8 replicated on_$pool && rbd pool init $pool && rbd create --size $((bytes >> 20))M $pool/image"
done
# The monitor would take the hanging OSD for dead, and with it the case.
check "no OSD goes down" on_host "ceph osd set nodown"

say "--- both images behind one portal group, as ceph-iscsi sets them up"
start_daemon
for name in a b; do
    make_lun "$name" "rbd/$name/image;osd_op_timeout=$limit_of_operations" "$bytes"
    directory=$(device_directory "$name")
    put "$directory/attrib/cmd_time_out" 0 || fail "cmd_time_out of $name"
    put "$directory/attrib/qfull_time_out" 5 || fail "qfull_time_out of $name"
done
export_iscsi a b
number=0
for name in a b; do
    group=$(device_directory "$name")/alua/ao
    mkdir "$group" || fail "no ALUA group for $name"
    for word in tg_pt_gp_id=1 alua_access_type=1 alua_support_offline=0 alua_support_standby=1 alua_support_unavailable=0 \
        nonop_delay_msecs=0 alua_access_state=0; do
        put "$group/${word%=*}" "${word#*=}" || note "ALUA group: ${word%=*} cannot be set"
    done
    put "$iscsi/lun/lun_$number/alua_tg_pt_gp" ao || fail "$name is not bound to its ALUA group"
    ((++number))
done
iscsi_login
disk_a=$disk
address=$(ls -d /sys/class/iscsi_session/session*/device/target*)
wait_for_disk "${address##*/target}:1"
disk_b=$disk
check "B has something to be read" limit 60 dd if=/dev/urandom of="$disk_b" bs=1M count=64 oflag=direct
check "A as well, more than its quota will be" limit 60 dd if=/dev/urandom of="$disk_a" bs=1M count=8 oflag=direct
head -c 512 /dev/urandom > "$LAB_STATE/block"

# --- B's figures ---------------------------------------------------------------------------------

log=$LAB_STATE/neighbour_lat.log
limits=()
((rate == 0)) || limits=(--rate_iops="$rate")
# What stands before the first name is for both. The writer's few writes are there for the longest of them.
setsid fio --filename="$disk_b" --bs=4k --ioengine=libaio --direct=1 --time_based --runtime=600 --eta=never \
    --write_lat_log="$LAB_STATE/neighbour" --log_unix_epoch=1 --per_job_logs=0 --output="$LAB_STATE/neighbour.log" \
    --name=neighbour --size=32M --rw=randread --iodepth=4 "${limits[@]}" \
    --name=writer --offset=32M --size=16M --rw=randwrite --iodepth=1 --rate_iops=20 &
fio_pid=$!
moments=()
windows=()
# window TITLE [SECONDS]: remembers a span of time; it is counted at the end, when fio has written its log.
window() {
    local from
    from=$(date +%s%3N)
    sleep "${2:-$window}"
    moments+=("$from $(date +%s%3N)")
    windows+=("$1")
}

# at_full_speed: reads of B that nothing limits, beside the others; remembers how many there were per second, and when.
at_full_speed() {
    local from
    from=$(date +%s%3N)
    rm -f "$LAB_STATE/free.log"
    bounded 60 limit 50 fio --name=free --filename="$disk_b" --offset=48M --size=16M --rw=randread --bs=4k --iodepth=4 \
        --ioengine=libaio --direct=1 --time_based --runtime="$full_speed" --eta=never --output-format=terse --output="$LAB_STATE/free.log"
    free+=("$(awk -F ';' 'NF > 8 { iops = $8 } END { printf "%d\n", iops }' "$LAB_STATE/free.log")")
    spans+=("$from $(date +%s%3N)")
}
free=() spans=()

# calm TITLE: both, with nothing wrong. At full speed first: a fixed rate is caught up with afterwards, which must not
# fall into the window of the fault that comes next.
calm() {
    at_full_speed
    sleep 3
    window "$1"
}

identity() { iscsiadm -m session 2> /dev/null | sort; }
drops() { kernel_log | grep -cE 'conn error|session recovery timed out'; }
session_before=$(identity)
drops_before=$(drops)

# neighbour_kept TITLE: its fio, its session and the portal group are as they were.
neighbour_kept() {
    agree "$1: the portal group is enabled" "$(< "$iscsi/enable")" 1
    agree "$1: the session" "$(identity)" "$session_before"
    agree "$1: connections lost since the login" "$(($(drops) - drops_before))" 0
    agree "$1: B is read" "$(kill -0 "$fio_pid" 2> /dev/null && echo yes || echo no)" yes
}

# answer_of_a [BYTES]: what a WRITE(10) to A gets now, at so many bytes; the kernel repeats what is answered with BUSY until
# the time is over.
answer_of_a() {
    local lba
    lba=$(printf %08x $((${1:-0} / 512)))
    sense -t 12 -s 512 -i "$LAB_STATE/block" "$disk_a" 2a 00 "${lba:0:2}" "${lba:2:2}" "${lba:4:2}" "${lba:6:2}" 00 00 01 00
}

# a_gets ANSWER SECONDS TITLE: a write to A gets that answer, within that time.
a_gets() {
    local end=$((SECONDS + $2)) answer=
    until [[ $answer == "$1" ]]; do
        if ((SECONDS >= end)); then
            agree "$3" "$answer after $2 s" "$1"
            return
        fi
        bounded 50 eval 'answer_of_a > "$LAB_STATE/answer"' || echo "no answer in 50 s" > "$LAB_STATE/answer"
        answer=$(cat "$LAB_STATE/answer")
        sleep 0.5
    done
    say "ok: $3: $answer"
}

# knock [BYTES]: a write to A, at so many bytes, that finds it as it is now. Its outcome is asked for by knocked.
knock() {
    dd if=/dev/zero of="$disk_a" bs=4k count=1 seek=$((${1:-0} / 4096)) oflag=direct 2> "$LAB_STATE/knocking" &
    knocking=$!
}

# knocked TITLE [STATUS]: it has ended, with that status if one is given.
knocked() {
    local status=0
    if bounded 60 wait_for_process "$knocking"; then
        wait "$knocking" || status=$?
        agree "$1: its status" "$status" "${2:-$status}"
    else
        agree "$1" "hangs still" "ended"
    fi
}

say "--- nothing wrong yet"
sleep 3
calm "before"

say "--- A's OSD hangs"
check "stopping A's OSD" on_host 'kill -STOP $(cat $LAB_CEPH/run/osd.0.pid)'
knock
window "A's OSD hangs" $((limit_of_operations + window))
at_full_speed
bounded 50 eval 'answer_of_a > "$LAB_STATE/answer"' || note "no answer to a write to A in 50 s"
answer=$(cat "$LAB_STATE/answer")
case $answer in
    Busy | 'Task set full' | 2/*) say "ok: a write to A meanwhile: $answer" ;;
    *) agree "a write to A meanwhile" "$answer" "Busy, Task set full or NOT READY" ;;
esac
neighbour_kept "A's OSD hangs"
check "A's OSD goes on" on_host 'kill -CONT $(cat $LAB_CEPH/run/osd.0.pid)'
a_gets good 90 "A is written again after its OSD came back"
knocked "the write that hung" 0
if kill -0 "$fio_pid" 2> /dev/null; then
    calm "between"

    say "--- A's pool is full"
    check "a quota for A's pool" on_host "ceph osd pool set-quota a max_bytes 1048576"
    until_true 60 on_host "ceph osd dump | grep \"^pool.*'a'.*full_quota\"" || fail "the pool does not get full"
    # A full pool takes what needs no more room, and A's first 8 MiB are there already.
    knock $((20 << 20))
    window "A's pool is full"
    at_full_speed
    equal "a write to A meanwhile that needs no room" "$(answer_of_a)" good
    answer=$(answer_of_a $((16 << 20)))
    case $answer in
        7/2707 | Busy | 'Task set full' | 2/*) say "ok: a write to A meanwhile: $answer" ;;
        *) agree "a write to A meanwhile" "$answer" "7/2707, or Busy or NOT READY after the time limit" ;;
    esac
    neighbour_kept "A's pool is full"
    check "no quota any more" on_host "ceph osd pool set-quota a max_bytes 0"
    until_true 60 on_host "! ceph osd dump | grep \"^pool.*'a'.*full\"" || fail "the pool stays full"
    a_gets good 90 "A is written again after its pool has room"
    # It may have been given up by then, for the kernel does not repeat it for ever.
    knocked "the write that found no room"
fi
if kill -0 "$fio_pid" 2> /dev/null; then
    calm "between"

    say "--- A's image is deleted"
    # As rbd would, which refuses while somebody has the image open.
    check "deleting A's image" on_host 'id=$(rbd info a/image --format json | sed -nE "s/.*\"id\":\"([^\"]+)\".*/\1/p") && [ -n "$id" ] &&
        rados -p a rm rbd_header.$id && rados -p a rm rbd_id.image && rados -p a rm rbd_directory &&
        rados -p a ls | grep "^rbd_data.$id" | xargs rados -p a rm'
    knock
    window "A's image is gone"
    at_full_speed
    a_gets 2/0403 60 "a write to A: NOT READY, somebody has to do something"
    knocked "the write that found no image"
    neighbour_kept "A's image is gone"
fi

kill -INT "$fio_pid" 2> /dev/null
bounded 30 wait_for_process "$fio_pid" || fail "fio does not end"

say "--- B's reads per second, the longest read and the longest write in ms, reads per second at full speed"
[[ -s $log ]] || log=$LAB_STATE/neighbour_lat.1.log
counted=() longest=() longest_write=() full=()
# logged FROM TO: reads per second, the longest read and write in ms, and the number of writes, in that span (ms since the epoch).
# What was under way in the span belongs to it with all of its time, whenever it ended. Third word of a line: 0 read, 1 write.
logged() {
    awk -F, -v from="$1" -v to="$2" '$1 >= from && $1 < to { ++n[$3 + 0] }
        $1 >= from && $1 - $2 / 1e6 < to && $2 > most[$3 + 0] { most[$3 + 0] = $2 }
        END { printf "%d %d %d %d\n", n[0] * 1000 / (to - from), most[0] / 1e6, most[1] / 1e6, n[1] }' "$log"
}
for index in "${!windows[@]}"; do
    read -r from to <<< "${moments[index]}"
    read -r count most most_write writes < <(logged "$from" "$to")
    counted+=("$count") longest+=("$most")
    # No write at all is no short one.
    ((writes > 0)) || most_write=999999
    longest_write+=("$most_write")
    # At full speed B is read by both, the one with a fixed rate goes on.
    read -r from to <<< "${spans[index]:-0 1}"
    read -r beside _ < <(logged "$from" "$to")
    full+=("$((${free[index]:-0} > 0 ? beside + free[index] : 0))")
    say "$(printf '%-20s %6d %6d %6d %6d' "${windows[index]}" "$count" "$most" "$most_write" "${full[index]}")"
done
# The machine may have got slower or faster meanwhile; the calm windows on both sides of one tell.
for index in "${!windows[@]}"; do
    case ${windows[index]} in before | between) continue ;; esac
    usual=${counted[index - 1]}
    [[ -z ${counted[index + 1]:-} ]] || usual=$(((usual + counted[index + 1]) / 2))
    # More than the fixed rate is catching up with what was missed.
    ((rate == 0 || usual <= rate)) || usual=$rate
    ratio=$((usual > 0 ? counted[index] * 100 / usual : 0))
    agree "B keeps at least 90 % while ${windows[index]} ($ratio %)" "$((ratio >= 90))" 1
    # A fixed rate is caught up with after a pause.
    agree "no read of B takes 3 s while ${windows[index]} (${longest[index]} ms)" "$((longest[index] < 3000))" 1
    agree "no write of B takes 3 s while ${windows[index]} (${longest_write[index]} ms)" "$((longest_write[index] < 3000))" 1
    # Of the slower calm span beside it, and half of that: what six seconds on a shared machine can tell from chance.
    usual=${full[index - 1]}
    [[ -z ${full[index + 1]:-} ]] || ((full[index + 1] >= usual)) || usual=${full[index + 1]}
    ratio=$((usual > 0 ? full[index] * 100 / usual : 0))
    agree "B keeps at least half of its full speed while ${windows[index]} ($ratio %)" "$((ratio >= 50))" 1
done
if ((${#windows[@]} < 6)); then
    ours && fail "B's fio has ended early"
    note "B did not live to see all of it"
fi
iscsi_logout
