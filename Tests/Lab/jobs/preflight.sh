# What the daemon says when it cannot start, and with which exit status; and the module it loads by itself
# timeout: 100
ours || { say "the original's start is its own affair"; exit 0; }

# refuses TITLE STATUS PATTERN COMMAND…: does not start, exits with that status, and one line says why.
refuses() {
    local title=$1 expected=$2 pattern=$3 status=0
    shift 3
    "$@" > "$LAB_STATE/start.log" 2>&1 || status=$?
    sed 's/^/    log: /' "$LAB_STATE/start.log"
    equal "$title: exit status" "$status" "$expected"
    grep -qE "$pattern" "$LAB_STATE/start.log" || fail "$title: no line like '$pattern'"
}

# in_private_mounts COMMAND: a shell command that sees mounts of its own.
in_private_mounts() { unshare -m --propagation private bash -c "$1"; }

chmod 755 "$LAB_SHARE" "${LAB_SHARE%/*}" 2> /dev/null
cp "$LAB_DAEMON_PROGRAM" "$LAB_STATE/program" && chmod 755 "$LAB_STATE" "$LAB_STATE/program"
refuses "a wrong option" 64 "Unknown option" "$LAB_DAEMON_PROGRAM" --nonsense
refuses "not root" 77 'must run as root .*65534' setpriv --reuid 65534 --clear-groups "$LAB_STATE/program"

: > "$LAB_STATE/file"
refuses "a lock file that cannot be" 73 "cannot lock $LAB_STATE/file/lock" "$LAB_DAEMON_PROGRAM" --lock-file "$LAB_STATE/file/lock"

export -f in_private_mounts
refuses "no configfs" 72 'no target core at .*mount' \
    in_private_mounts "umount /sys/kernel/config && exec '$LAB_DAEMON_PROGRAM'"

check "target_core_user out of the kernel" limit 20 modprobe -r target_core_user
[[ ! -e /sys/module/target_core_user ]] || fail "target_core_user is still there"
refuses "no TCMU in the kernel" 69 'the kernel has no TCMU: .' \
    in_private_mounts "mount -t tmpfs none /lib/modules && exec '$LAB_DAEMON_PROGRAM'"
[[ ! -e /sys/module/target_core_user ]] || fail "the module came from somewhere"

start_daemon
refuses "a second daemon" 75 "already running: .*$daemon_pid" "$LAB_DAEMON_PROGRAM"
[[ -e /sys/module/target_core_user ]] || fail "the daemon runs without target_core_user"
say "ok: the daemon has loaded target_core_user"
image_file a $((16 << 20))
make_lun a "$(file_config "$image")" $((16 << 20))
attach a
check "a LUN reads" limit 20 dd if="$disk" of=/dev/null bs=1M count=4 iflag=direct
remove_lun a
stop_daemon INT
kernel_log_clean
