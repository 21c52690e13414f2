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
descriptors() { ls "/proc/$first/fd" | wc -l; }
before=$(descriptors)
make_lun m mem/m "$bytes"
equal "descriptors of a LUN: its node and its ring" $(($(descriptors) - before)) 2
fio --name=w --filename="$disk" --rw=randwrite --bs=16k --size=60M --iodepth=16 --ioengine=libaio --direct=1 \
    --verify=crc32c --verify_fatal=1 --do_verify=1 --verify_state_save=0 --time_based --runtime=8 --eta=never --output="$LAB_STATE/fio.log" &
fio_pid=$!
sleep 1
setsid "$LAB_DAEMON_PROGRAM" --lock-file /run/other.lock --no-dbus > "$LAB_SHARE/second.log" 2>&1 &
second=$!
gates=("$(device_directory a)/action/block_dev" "$(device_directory m)/action/block_dev")
watched=$((SECONDS + 5))
while ((SECONDS <= watched)); do
    sleep 0.2
    for gate in "${gates[@]}"; do
        [[ $(< "$gate") == unblocked ]] || fail "$gate: blocked beside a second daemon"
    done
    [[ $(< "$block_netlink") != [Y1] ]] || fail "the second daemon blocks netlink"
done
until_true 20 grep -q 'another process has its node' "$LAB_SHARE/second.log" || fail "the second daemon does not say why it leaves them alone"
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

# --- a LUN that another daemon has served, and died: its ring is not served from where that one stopped ---
setsid "$LAB_DAEMON_PROGRAM" --lock-file /run/other.lock --no-dbus > "$LAB_SHARE/third.log" 2>&1 &
second=$!
until_true 30 grep -q '\[Daemon\] serving' "$LAB_SHARE/third.log" || fail "the second daemon does not start"
# Too slow for this one.
kill -STOP "$first"
make_lun left mem/left "$bytes"
kill -CONT "$first"
until_true 20 eval 'daemon_log | grep -q "mem/left.*another process has its node"' || fail "the first daemon does not find its node taken"
attach left
check "a LUN of the second daemon reads" limit 20 dd if="$disk" of=/dev/null bs=1M count=4 iflag=direct
! daemon_log | grep -q 'mem/left: serving' || fail "the first daemon serves it as well"
kill -9 "$second"
until_true 60 eval 'daemon_log | grep -q "mem/left: serving"' || fail "the first daemon does not take over what the second one has left"
check "and of the first one, once that has died" limit 40 dd if="$disk" of=/dev/null bs=1M count=4 iflag=direct
until_true 10 eval '[[ $(< "$(device_directory left)/action/block_dev") == unblocked ]]' || fail "left blocked"
daemon_log | grep 'impossible ring' && fail "a ring with begun commands was served"
remove_lun left

# --- a backend that no daemon serves does not hold up what comes after it ---
declare_lun alien qcow//nowhere/image "$bytes" || fail "configfs refuses the device"
began=$SECONDS status=0
enable_lun alien 30 || status=$?
equal "who enables a device of nobody's gets" "$(errno_name "$status")" ENOENT
((SECONDS - began <= 12)) || fail "only after $((SECONDS - began)) s"
make_lun after mem/after "$bytes"
remove_lun after
bounded 20 rmdir "$(device_directory alien)" || fail "the refused device cannot be removed"

remove_lun a
remove_lun m

# --- nor does one in a saved configuration: targetctl restores all the others ---
# It clears what is there before.
if [[ -z ${LAB_HOST:-} ]]; then
    mkdir -p /etc/rtslib-fb-target/{pr,alua,backup}
    image_file first "$bytes"
    image_file second "$bytes"
    saved() { printf '{"plugin":"user","name":"%s","config":"%s","size":%d,"wwn":"%s"}' "$1" "$2" "$bytes" "$(serial_of "$1")"; }
    printf '{"fabric_modules":[],"targets":[],"storage_objects":[%s,%s,%s]}\n' "$(saved alien qcow//nowhere/image)" \
        "$(saved first "file/${image%/*}/first.img")" "$(saved second "file/$image")" > "$LAB_STATE/saved.json"
    began=$SECONDS
    bounded 40 targetctl restore "$LAB_STATE/saved.json" > "$LAB_STATE/restored" 2>&1 || fail "targetctl restore (status $?): $(< "$LAB_STATE/restored")"
    ((SECONDS - began <= 20)) || fail "restored only after $((SECONDS - began)) s"
    grep -q 'Could not create StorageObject alien' "$LAB_STATE/restored" || fail "nothing is said of alien: $(< "$LAB_STATE/restored")"
    say "ok: targetctl restore ended after $((SECONDS - began)) s"
    for name in first second; do
        directory=$(echo "$target"/core/user_*/"$name")
        hba_of[$name]=$(basename "${directory%/*}")
        attach "$name"
        check "$name reads" limit 20 dd if="$disk" of=/dev/null bs=1M count=4 iflag=direct
        remove_lun "$name"
    done
fi

# --- a standard error that nobody reads ---
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
# F_SETPIPE_SZ: no more than a page.
perl -e 'open(P, "+<", $ARGV[0]) && fcntl(P, 1031, 4096) or exit 1' "$LAB_STATE/err" || fail "the pipe keeps its size"
log_is_full() {
    kill -USR1 "$daemon_pid"
    perl -MFcntl -e 'sysopen(P, $ARGV[0], O_WRONLY | O_NONBLOCK) or exit 1; exit(defined(syswrite(P, "x" x 64)) ? 1 : 0)' "$LAB_STATE/err"
}
# Lines of status; the daemon's thread waits with a line that does not fit, and so does this.
until_true 30 log_is_full || fail "the pipe does not fill"
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
# Those of targetctl as well: a backstore's directory keeps the module.
rmdir "$target"/core/user_* 2> /dev/null
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
