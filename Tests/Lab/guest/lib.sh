# shellcheck shell=bash
# What every job stands on: talking, checking, the daemon and commands on the host's side.
# LUNs are in lun.sh, file systems and fio in io.sh, SCSI commands in scsi.sh, iSCSI in iscsi.sh, refusals in refusal.sh,
# restarts in restart.sh.

library=$(dirname "${BASH_SOURCE[0]}")
LAB_SHARE=${LAB_SHARE:-/mnt/share}
# Everything a job writes that need not outlive it.
LAB_STATE=${LAB_STATE:-/run/lab}
mkdir -p "$LAB_STATE/mnt"
# Tools leave files where they stand, fio the state of its verification.
cd "$LAB_STATE" || exit 125
reason=
daemon_pid=

# The clock of the lines a job says, from the job's start.
say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }
note() { say "note: $*"; }

# fail WHY: ends the job.
fail() {
    reason=$*
    exit 1
}

# check TITLE COMMAND…: a step that must succeed; its output, in $LAB_STATE/output, is shown when it does not.
check() {
    local title=$1 output=$LAB_STATE/output
    shift
    if "$@" > "$output" 2>&1; then
        say "ok: $title"
    else
        local status=$?
        tail -n 40 "$output"
        fail "$title (status $status)"
    fi
}

# equal TITLE GOT EXPECTED
equal() {
    [[ $2 == "$3" ]] || fail "$1: got '$2', expected '$3'"
    say "ok: $1: $2"
}

# limit SECONDS COMMAND…
limit() { timeout -k 5 "$@"; }

# until_true SECONDS COMMAND…: tries again and again.
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@" > /dev/null 2>&1; do
        ((SECONDS < end)) || return 1
        sleep 0.2
    done
}

ours() { [[ $LAB_DAEMON == tcmud ]]; }

# on_host COMMAND: runs a shell command on the host's side, where CEPH_CONF names the cluster's admin.
on_host() {
    local request=$LAB_SHARE/requests/$BASHPID.$RANDOM$RANDOM
    if [[ -n ${LAB_HOST:-} ]]; then
        bash -c "$*"
        return
    fi
    printf '%s\n' "$*" > "$request.tmp"
    mv "$request.tmp" "$request.go"
    until_true 150 test -e "$request.rc" || fail "no answer from the host's side to: $*"
    cat "$request.out"
    return "$(cat "$request.rc")"
}

# --- the daemon ---------------------------------------------------------------------------------

block_netlink=/sys/module/target_core_user/parameters/block_netlink
reset_netlink=/sys/module/target_core_user/parameters/reset_netlink

# Ready is what the kernel sees, so it is the same for both daemons: a generic netlink socket in a multicast
# group (protocol 16, groups not 0), and events to it not blocked.
daemon_listens() {
    awk '$2 == 16 && $4 !~ /^0+$/ { found = 1 } END { exit !found }' /proc/net/netlink &&
        [[ $(< "$block_netlink") != [Y1] ]]
}

daemon_alive() { [[ -n $daemon_pid ]] && kill -0 "$daemon_pid" 2> /dev/null; }

# start_daemon [ARGUMENT…]: returns when the kernel would be answered.
start_daemon() {
    # A session of its own: what interrupts the job must leave it alive for the cleaning up.
    setsid "$LAB_DAEMON_PROGRAM" "$@" >> "$LAB_SHARE/daemon.log" 2>&1 &
    daemon_pid=$!
    local end=$((SECONDS + 60))
    until daemon_listens; do
        daemon_alive || fail "the daemon ended while starting"
        ((SECONDS < end)) || fail "the daemon does not listen after 60 s"
        sleep 0.1
    done
    say "$LAB_DAEMON runs, pid $daemon_pid"
}

# stop_daemon [SIGNAL]: TERM and INT must end it in bounded time with status 0.
stop_daemon() {
    local signal=${1:-TERM} status=0
    kill "-$signal" "$daemon_pid" || fail "the daemon is not there to be stopped"
    if ! until_true 30 eval '! kill -0 "$daemon_pid" || grep -q "^State:.Z" "/proc/$daemon_pid/status"'; then
        fail "the daemon still runs 30 s after SIG$signal"
    fi
    wait "$daemon_pid" 2> /dev/null || status=$?
    daemon_pid=
    if [[ $signal == TERM || ($signal == INT && $LAB_DAEMON == tcmud) ]]; then
        equal "the daemon's exit status after SIG$signal" "$status" 0
    fi
}

# The daemon's log wherever it writes one: standard error, or the original's file.
daemon_log() { cat "$LAB_SHARE/daemon.log" /var/log/tcmu-runner.log /var/log/tcmud.log 2> /dev/null || true; }

# --- the end ------------------------------------------------------------------------------------

# kernel_log: what the kernel said since the job began; a host's kernel has said other things before.
job_began=$(cut -d ' ' -f 1 /proc/uptime)
kernel_log() { dmesg | awk -v from="$job_began" -F '[][]' '$2 + 0 >= from'; }

# Whatever these say means that a command was lost, failed or hung, or that the kernel had to defend itself.
kernel_alarms='ring is broken|I/O error|Buffer I/O|BUG:|Oops|WARNING:|blocked for more|EXT4-fs error|Corruption'

kernel_log_clean() {
    local alarms
    alarms=$(kernel_log | grep -E "$kernel_alarms") || { say "ok: the kernel's log is clean"; return; }
    printf '%s\n' "$alarms" | head -20
    fail "alarms in the kernel's log"
}

# Prints the verdict as the last line; the exit status says the same.
finish_job() {
    local status=$?
    trap - EXIT
    if ((status == 0 && complete == 0)); then
        status=1
        reason="the job left before its end"
    fi
    if ((status != 0)); then
        echo "--- the daemon's last lines"
        daemon_log | tail -n 25
        echo "--- the kernel's last lines"
        kernel_log | tail -n 15
        echo "---"
    fi
    [[ -z ${LAB_HOST:-} ]] || remove_everything
    cp /var/log/tcmu-runner.log "$LAB_SHARE/" 2> /dev/null
    dmesg > "$LAB_SHARE/dmesg.log"
    if ((status == 0)); then
        echo "PASS $job"
    else
        echo "FAIL $job: ${reason:-status $status}"
    fi
    exit "$status"
}

# shellcheck source=lun.sh
source "$library/lun.sh"
# shellcheck source=io.sh
source "$library/io.sh"
# shellcheck source=scsi.sh
source "$library/scsi.sh"
# shellcheck source=iscsi.sh
source "$library/iscsi.sh"
# shellcheck source=refusal.sh
source "$library/refusal.sh"
# shellcheck source=restart.sh
source "$library/restart.sh"
