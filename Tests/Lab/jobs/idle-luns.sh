# 100 idle LUNs in one daemon: no wake-up at all in ten seconds, threads and memory for each
# alone: yes
# timeout: 240
# Settings (--set NAME=VALUE): LUNS (100), BACKEND: mem (default), file, or rbd (with --ceph). The original has no mem, and
# its qcow handler stands in for file. Only mem and file must sleep: librados has threads that look around.
source "$library/idle.sh"
luns=${LUNS:-100} backend=${BACKEND:-mem} seconds=10
bytes=$((16 << 20))
ours || [[ $backend == rbd ]] || backend=qcow
mkdir -p "$LAB_SHARE/results"

# As on a machine with two processors; the guest has one.
if ours; then start_daemon --loop-threads 2; else start_daemon; fi
[[ $backend != rbd ]] ||
    check "$luns images" on_host \
        "for number in \$(seq $luns); do rbd create --size $((bytes >> 20))M rbd/idle\$number || exit; done"
rest=$(resident)
make_idle_luns
say "ok: $luns LUNs on $backend enabled"
# One that has served commands, so that what follows the last of them is looked at too.
attach idle1
check "reads" limit 60 dd if="$disk" of=/dev/null bs=64k count=16 iflag=direct
check "writes" limit 60 dd if=/dev/zero of="$disk" bs=64k count=16 oflag=direct

# Whatever ends by itself has ended by now.
sleep 3
wakeups > "$LAB_STATE/before"
used=$(processor_ticks)
sleep "$seconds"
used=$(($(processor_ticks) - used))
wakeups > "$LAB_STATE/after"
woken=$(woken_between "$LAB_STATE/before" "$LAB_STATE/after")
switches=$(awk '{ sum += $1 } END { print sum + 0 }' <<< "$woken")
[[ -z $woken ]] || { echo "$woken" | sort -rn | head -n 20 | sed 's/^/    woken: /'; }
idle_record
say "$threads threads and $memory KiB for $luns LUNs ($rest KiB before the first)"
say "$switches wake-ups and $used ticks (1/100 s) of CPU in $seconds s"
if ours && [[ $backend != rbd ]]; then
    equal "wake-ups" "$switches" 0
    equal "processor ticks" "$used" 0
fi
detach idle1
check "removal of all" bounded 60 rmdir "${directories[@]}"
hba_of=()
stop_daemon
kernel_log_clean
