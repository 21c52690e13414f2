# Memory and threads of the daemon with 10 idle file LUNs, and its processor time while idle
# timeout: 250
bytes=$((64 << 20))
start_daemon
for number in 0 1 2 3 4 5 6 7 8 9; do
    image_file "idle$number" "$bytes"
    make_lun "idle$number" "$(file_config "$image")" "$bytes"
    attach "idle$number"
done
# A little work first: an engine that never ran costs less than one that did.
check "a read of each" eval 'for d in /dev/sd?; do limit 30 dd if=$d of=/dev/null bs=64k count=16 iflag=direct || exit 1; done'
sleep 12
spent() { awk '{ print $14 + $15 }' "/proc/$daemon_pid/stat"; }
before=$(spent)
sleep 10
say "processor ticks (1/100 s) used in 10 idle seconds: $(($(spent) - before))"
resident=$(awk '/^VmRSS:/ { print $2 }' "/proc/$daemon_pid/status")
threads=$(awk '/^Threads:/ { print $2 }' "/proc/$daemon_pid/status")
ls "/proc/$daemon_pid/task" | while read -r task; do echo "    thread: $(< "/proc/$daemon_pid/task/$task/comm")"; done
say "resident memory with 10 idle file LUNs: $resident KiB, of it files:" \
    "$(awk '/^RssFile:/ { print $2 }' "/proc/$daemon_pid/status") KiB"
say "threads with 10 idle file LUNs: $threads"
if ours; then
    ((resident < 40 * 1024)) || fail "resident memory is $resident KiB, expected less than 40 MiB"
    ((threads <= 8)) || fail "$threads threads, expected at most 8"
fi
for number in 0 1 2 3 4 5 6 7 8 9; do remove_lun "idle$number"; done
stop_daemon
kernel_log_clean
