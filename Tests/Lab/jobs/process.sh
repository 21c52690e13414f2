# Signals, closed descriptors, a full disk under the log, few descriptors and threads: nothing of it takes a LUN down
# needs: ceph
# timeout: 240
ours || { say "the original ends by SIGHUP, and librados ends it for want of a thread; nothing to compare"; exit 0; }
bytes=$((32 << 20))
real=$LAB_DAEMON_PROGRAM

# start_as SCRIPT: the daemon as the script starts it; "$@" is the daemon there.
start_as() {
    printf '#!/bin/bash\n%s\n' "$1" > "$LAB_STATE/start" && chmod 755 "$LAB_STATE/start"
    printf '#!/bin/bash\nexec "%s" "%s" "$@"\n' "$LAB_STATE/start" "$real" > "$LAB_STATE/starter" && chmod 755 "$LAB_STATE/starter"
    LAB_DAEMON_PROGRAM=$LAB_STATE/starter start_daemon
}

reads() { limit 20 dd if="$1" of=/dev/null bs=1M count=4 iflag=direct; }
writes() { limit 20 dd if=/dev/urandom of="$1" bs=1M count=2 oflag=direct; }
descriptor() { readlink "/proc/$daemon_pid/fd/$1"; }

say "--- signals, started with all of them ignored and held back"
start_as 'exec env --ignore-signal --block-signal "$@"'
image_file a "$bytes"
make_lun a "$(file_config "$image")" "$bytes"
attach a
file_disk=$disk
fio --name=signals --filename="$file_disk" --rw=randwrite --bs=4k --size=16M --iodepth=8 --ioengine=libaio --direct=1 \
    --verify=crc32c --verify_fatal=1 --verify_state_save=0 --eta=never --rate_iops=1000 --output="$LAB_STATE/fio.log" &
fio_pid=$!
for signal in $(seq 1 64); do
    # What ends it in order, what cannot be refused, and what a crash is.
    case $signal in 2 | 4 | 5 | 6 | 7 | 8 | 9 | 11 | 15 | 19 | 31) continue ;; esac
    # A shell knows no names of 32 and 33.
    perl -e 'kill($ARGV[0], $ARGV[1]) == 1 or exit 1' "$signal" "$daemon_pid" || fail "signal $signal cannot be sent"
done
sleep 1
daemon_alive || fail "a signal has ended the daemon"
check "the LUN reads after 53 signals" reads "$file_disk"
bounded 60 wait_for_process "$fio_pid" || fail "fio hangs"
wait "$fio_pid" || fail "fio: $(tail -n 20 "$LAB_STATE/fio.log")"
say "ok: fio wrote and verified meanwhile"
daemon_log | grep -q 'SIGHUP.*nothing to read or open again' || fail "no line about SIGHUP"
daemon_log | grep -q 'status: user_\|status: uio' || fail "no status by SIGUSR1"
stop_daemon INT

say "--- no standard descriptors"
start_as 'exec "$@" 0<&- 1>&- 2>&-'
for number in 0 1 2; do equal "descriptor $number" "$(descriptor "$number")" /dev/null; done
check "the LUN reads" reads "$file_disk"
stop_daemon

say "--- a log on a full file system, and one that nobody can read any longer"
mkdir -p "$LAB_STATE/full" && mount -t tmpfs -o size=64k tmpfs "$LAB_STATE/full"
head -c 100k /dev/zero > "$LAB_STATE/full/stuff" 2> /dev/null
start_as "exec \"\$@\" > $LAB_STATE/full/log 2>&1"
for number in $(seq 20); do kill -HUP "$daemon_pid"; sleep 0.02; done
check "the LUN reads" reads "$file_disk"
stop_daemon
umount "$LAB_STATE/full"
start_as 'exec "$@" 2> >(sleep 0)'
for number in $(seq 20); do kill -HUP "$daemon_pid"; sleep 0.02; done
check "the LUN reads" reads "$file_disk"
stop_daemon

say "--- few descriptors, few threads"
start_as 'ulimit -Hn 4096; ulimit -Sn 64; exec "$@"'
daemon_log | grep -q 'RLIMIT_NOFILE: soft limit raised from 64 to 4096' || fail "nothing is said of the raised limit"
equal "soft limit of descriptors" "$(awk '/^Max open files/ { print $4 }' "/proc/$daemon_pid/limits")" 4096
groups=$LAB_STATE/groups
mkdir -p "$groups" && mount -t cgroup2 none "$groups" || fail "no cgroup2"
echo +pids > "$groups/cgroup.subtree_control" || fail "no controller pids"
mkdir "$groups/daemon" && echo "$daemon_pid" > "$groups/daemon/cgroup.procs" || fail "no group"
threads() { ls "/proc/$daemon_pid/task" | wc -l; }
descriptors() { ls "/proc/$daemon_pid/fd" | wc -l; }
note "$(threads) threads, $(descriptors) descriptors with a file LUN"
rbd_image one "$bytes"
rbd_image two "$bytes"
make_lun one rbd/rbd/one "$bytes"
attach one
check "the first RBD LUN is written" writes "$disk"
note "$(threads) threads, $(descriptors) descriptors with an RBD LUN"
for more in 0 1 4 10 16; do
    echo $(($(< "$groups/daemon/pids.current") + more)) > "$groups/daemon/pids.max"
    declare_lun two rbd/rbd/two "$bytes" || fail "configfs refuses two"
    status=0
    enable_lun two || status=$?
    equal "a second RBD LUN with $more threads left: EAGAIN" "$status" 11
    daemon_alive || fail "the daemon has ended for want of a thread"
    rmdir "$(device_directory two)"
done
daemon_log | grep -q 'not enough threads: .*pids.max of /daemon\|not enough threads: .*pids.max of .*/daemon' ||
    fail "the limit is not named"
check "the first one is written on" writes "$disk"
echo max > "$groups/daemon/pids.max"
make_lun two rbd/rbd/two "$bytes"
note "$(threads) threads, $(descriptors) descriptors with two RBD LUNs"
remove_lun two
remove_lun one
remove_lun a
stop_daemon
kernel_log_clean
