# Memory and threads of the daemon with 10 file LUNs, at work and idle, and its processor time while idle
# alone: yes
# timeout: 250
bytes=$((64 << 20))
# As on a machine with two processors or more; the guest has one.
if ours; then start_daemon --loop-threads 2; else start_daemon; fi
disks=()
for number in 0 1 2 3 4 5 6 7 8 9; do
    image_file "idle$number" "$bytes"
    make_lun "idle$number" "$(file_config "$image")" "$bytes"
    attach "idle$number"
    disks+=("$disk")
done
# All at once, deep queues, with flushes among the writes: whatever threads the work wants, it wants them now.
work=()
for disk in "${disks[@]}"; do work+=("--name=${disk##*/}" "--filename=$disk"); done
limit 120 fio --rw=randwrite --bs=16k --size=48M --iodepth=32 --ioengine=libaio --direct=1 --fsync=16 --time_based \
    --runtime=8 --eta=never --group_reporting --output="$LAB_STATE/fio.log" "${work[@]}" &
fio_pid=$!
peak=0 samples=0 peak_names=
while kill -0 "$fio_pid" 2> /dev/null; do
    while read -r key threads; do [[ $key != Threads: ]] || break; done < "/proc/$daemon_pid/status"
    ((++samples))
    if ((threads > peak)); then
        peak=$threads
        peak_names=$(cat "/proc/$daemon_pid/task"/*/comm 2> /dev/null)
    fi
    sleep 0.02
done
wait "$fio_pid" || fail "fio: $(tail -n 20 "$LAB_STATE/fio.log")"
fio_figures "$LAB_STATE/fio.log"
((samples >= 20)) || fail "only $samples samples while fio ran"
sort <<< "$peak_names" | uniq -c | sed 's/^/    at the peak: /'
say "threads with I/O on all 10 LUNs, peak of $samples samples: $peak"
sleep 8
spent() { awk '{ print $14 + $15 }' "/proc/$daemon_pid/stat"; }
before=$(spent)
sleep 10
say "processor ticks (1/100 s) used in 10 idle seconds: $(($(spent) - before))"
resident=$(awk '/^VmRSS:/ { print $2 }' "/proc/$daemon_pid/status")
# Pages of the rings are the kernel's memory, which it has taken for the I/O whether somebody maps them or not.
rings=$(awk '/^[0-9a-f]+-[0-9a-f]+ / { ring = /\/dev\/uio/ } /^Rss:/ && ring { sum += $2 } END { print sum + 0 }' \
    "/proc/$daemon_pid/smaps")
threads=$(awk '/^Threads:/ { print $2 }' "/proc/$daemon_pid/status")
ls "/proc/$daemon_pid/task" | while read -r task; do echo "    thread: $(< "/proc/$daemon_pid/task/$task/comm")"; done
say "resident memory with 10 idle file LUNs: $resident KiB, of it files:" \
    "$(awk '/^RssFile:/ { print $2 }' "/proc/$daemon_pid/status") KiB, the kernel's rings: $rings KiB"
say "threads with 10 idle file LUNs: $threads"
# What is installed has Swift's runtime inside; a debug build has it as libraries, with more pages of its own (45 MiB seen, 44 of them files).
limit_mib=40
! grep -q libswiftCore "/proc/$daemon_pid/maps" || limit_mib=48
if ours; then
    ((resident - rings < limit_mib * 1024)) ||
        fail "resident memory without the rings is $((resident - rings)) KiB, expected less than $limit_mib MiB"
    ((peak <= 8)) || fail "$peak threads under load, expected at most 8"
    ((threads <= 8)) || fail "$threads threads, expected at most 8"
fi
for number in 0 1 2 3 4 5 6 7 8 9; do remove_lun "idle$number"; done
stop_daemon
kernel_log_clean
