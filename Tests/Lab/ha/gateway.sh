# shellcheck shell=bash
# A gateway of the two: the daemon under a supervisor, as systemd would be, and Debian's rbd-target-api.
# Sourced by the orders that the host's side gives to a guest.

state=$LAB_STATE/gateway
mkdir -p "$state"
# The system's own Python packages must win.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

# gateway_identity NAME=ADDRESS…: who is who; ceph-iscsi goes by host names.
gateway_identity() {
    local pair
    echo "127.0.0.1 localhost" > /etc/hosts
    for pair in "$@"; do
        echo "${pair#*=} ${pair%=*} ${pair%%.*}" >> /etc/hosts
    done
    mkdir -p /etc/rtslib-fb-target/{pr,alua} /var/log/rbd-target-api /var/log/rbd-target-gw /run/ceph
}

# supervise: runs the daemon again whenever it ends, after the seconds that $state/pause holds, until $state/stop exists.
# The pause is read at the end, so that one case can change it.
supervise() {
    echo "${1:-0}" > "$state/pause"
    setsid bash -c '
        state=$1 program=$2 log=$3
        until [[ -e $state/stop ]]; do
            "$program" >> "$log" 2>&1 < /dev/null &
            echo $! > "$state/pid"
            wait $!
            status=$?
            echo "supervisor: ended with $status at $(date +%s.%N)" >> "$log"
            [[ -e $state/stop ]] || sleep "$(< "$state/pause")"
        done' supervisor "$state" "$LAB_DAEMON_PROGRAM" "$LAB_SHARE/daemon.log" > /dev/null 2>&1 < /dev/null &
    until_true 60 daemon_listens || fail "the daemon does not listen after 60 s"
}

# daemon_signal SIGNAL: to the daemon, not to its supervisor.
daemon_signal() { kill "-$1" "$(< "$state/pid")"; }

# start_api TRUSTED…: ceph-iscsi's REST server; returns when it answers.
start_api() {
    local trusted
    trusted=$(IFS=,; echo "$*")
    printf '%s\n' '[config]' 'cluster_name = ceph' 'pool = rbd' 'api_secure = false' 'minimum_gateways = 2' \
        "trusted_ip_list = $trusted" 'loop_delay = 1' 'log_to_stderr = true' > /etc/ceph/iscsi-gateway.cfg
    setsid /usr/bin/rbd-target-api > "$LAB_SHARE/api.log" 2>&1 < /dev/null &
    echo $! > "$state/api"
    until_true 60 eval 'rest _ping | grep -q pong' || fail "rbd-target-api does not answer: $(tail -n 5 "$LAB_SHARE/api.log")"
}

# rest PATH [OPTION…]: one request; prints the answer and the HTTP status.
rest() {
    local path=$1
    shift
    # curl is no part of a small Debian, Python is.
    /usr/bin/python3 "$LAB_PROJECT_MOUNT/Tests/Lab/ha/rest.py" "$path" "$@"
}
LAB_PROJECT_MOUNT=/mnt/project

# stop_api: as `systemctl stop rbd-target-api` does, TERM and waiting for the end.
stop_api() {
    local pid
    pid=$(< "$state/api")
    kill -TERM "$pid"
    until_true 120 eval "! kill -0 $pid" || fail "rbd-target-api does not end"
}

# stop_daemon_for_good: TERM, and the supervisor leaves it at that.
stop_daemon_for_good() {
    local pid
    pid=$(< "$state/pid")
    touch "$state/stop"
    kill -TERM "$pid"
    until_true 90 eval "! kill -0 $pid" || fail "the daemon does not end"
}

# no_way_to ADDRESS: what is sent there gets lost without a trace. Of all ways to do that, the only one that needs neither a
# netfilter nor a traffic control module, and that tells the sender nothing.
no_way_to() { ip neigh replace "$1" lladdr 02:00:00:00:de:ad nud permanent dev vec0; }
way_to() { ip neigh del "$1" dev vec0; }
