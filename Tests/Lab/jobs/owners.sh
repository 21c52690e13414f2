# A second daemon, a log that nobody reads, a backend of nobody's, and a module that comes again: no LUN and no restore feels it
# timeout: 300
ours || { say "the original has one lock file and answers for everybody; nothing to compare"; exit 0; }
bytes=$((64 << 20))

# --- a second daemon with another lock file, as in a container ---
start_daemon
first=$daemon_pid
image_on_disk a "$bytes"
make_lun a "$(file_config "$image")" "$bytes"
attach a
make_lun m mem/m "$bytes"
fio --name=w --filename="$disk" --rw=randwrite --bs=16k --size=60M --iodepth=16 --ioengine=libaio --direct=1 \
    --verify=crc32c --verify_fatal=1 --do_verify=1 --verify_state_save=0 --time_based --runtime=10 --eta=never --output="$LAB_STATE/fio.log" &
fio_pid=$!
sleep 1
setsid "$LAB_DAEMON_PROGRAM" --lock-file /run/other.lock --no-dbus > "$LAB_SHARE/second.log" 2>&1 &
second=$!
for _ in $(seq 1 60); do
    sleep 0.1
    for name in a m; do
        [[ $(< "$(device_directory "$name")/action/block_dev") == unblocked ]] || fail "$name was blocked beside a second daemon"
    done
    [[ $(< "$block_netlink") != [Y1] ]] || fail "the second daemon blocks netlink"
done
grep -c 'another process has its node' "$LAB_SHARE/second.log" > /dev/null || fail "the second daemon does not say why it leaves them alone"
grep -q 'another TCMU daemon is at work' "$LAB_SHARE/second.log" || fail "the second daemon resets netlink"
make_lun n mem/n "$bytes"
remove_lun n
kill -TERM "$second"
until_true 30 eval '! kill -0 "$second"' || fail "the second daemon does not stop"
bounded 60 wait_for_process "$fio_pid" || fail "fio hangs"
wait "$fio_pid" || fail "fio: $(tail -n 20 "$LAB_STATE/fio.log")"
daemon_log | grep 'impossible ring' && fail "a ring was reset under the first daemon"
kill -0 "$first" || fail "the first daemon is gone"
say "ok: fio verified beside a second daemon; nothing blocked, nothing reset"

# --- a backend that no daemon serves does not hold up what comes after it ---
declare_lun alien qcow//nowhere/image "$bytes" || fail "configfs refuses the device"
began=$SECONDS status=0
enable_lun alien 30 || status=$?
equal "who enables a device of nobody's gets" "$(errno_name "$status")" ENOENT
((SECONDS - began <= 12)) || fail "only after $((SECONDS - began)) s"
make_lun after mem/after "$bytes"
remove_lun after
bounded 20 rmdir "$(device_directory alien)" || fail "the refused device cannot be removed"

# --- a standard error that nobody reads ---
remove_lun a
remove_lun m
stop_daemon
mkfifo "$LAB_STATE/err"
cat "$LAB_STATE/err" > "$LAB_STATE/drained.log" &
reader=$!
setsid "$LAB_DAEMON_PROGRAM" > /dev/null 2> "$LAB_STATE/err" &
daemon_pid=$!
until_true 30 daemon_listens || fail "the daemon does not listen"
make_lun a mem/a "$bytes"
attach a
kill -STOP "$reader"
for _ in $(seq 1 1200); do kill -USR1 "$daemon_pid"; sleep 0.003; done
check "a LUN reads beside a log that nobody reads" limit 15 dd if="$disk" of=/dev/null bs=4k count=1 iflag=direct
make_lun b mem/b "$bytes"
remove_lun b
remove_lun a
began=$SECONDS
kill -TERM "$daemon_pid"
until_true 20 eval '! kill -0 "$daemon_pid" || grep -q "^State:.Z" "/proc/$daemon_pid/status"' || fail "SIGTERM has no effect"
say "ok: ended $((SECONDS - began)) s after SIGTERM"
kill -CONT "$reader"
kill "$reader"
daemon_pid=

# --- target_core_user is taken out and loaded again under the daemon ---
start_daemon
make_lun before mem/before "$bytes"
remove_lun before
rmdir "$target"/core/user_77* 2> /dev/null
check "target_core_user is taken out" limit 20 modprobe -r target_core_user
until_true 10 eval 'daemon_log | grep -q "target_core_user was taken out"' || fail "the daemon does not hear that its module has gone"
check "target_core_user is loaded again" limit 20 modprobe target_core_user
until_true 10 eval 'daemon_log | grep -q "target_core_user is in the kernel again"' || fail "the daemon does not hear that its module is back"
make_lun again mem/again "$bytes"
attach again
check "a LUN of the new module reads" limit 20 dd if="$disk" of=/dev/null bs=1M count=4 iflag=direct
remove_lun again
stop_daemon
kernel_log_clean
