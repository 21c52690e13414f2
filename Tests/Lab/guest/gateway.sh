# shellcheck shell=bash
# A Ceph iSCSI gateway on one machine: ceph-iscsi as Debian has it, gwcli, REST, the initiator, and a record of every
# step and value, so that two daemons can be compared. The steps themselves are in gateway-steps.sh.

gateway_address=10.77.0.1
target_name=iqn.2003-01.com.redhat.iscsi-gw:iscsi-igw
client_name=iqn.1994-05.com.redhat:rh7-client
chap_user=myiscsiusername chap_password=myiscsipassword
results=$LAB_SHARE/results
records=$results/records.jsonl
failed_steps=()
mkdir -p "$results"
: > "$records"

# --- the record ---------------------------------------------------------------------------------

# json_text TEXT: as a JSON string.
json_text() {
    local text=${1//\\/\\\\}
    text=${text//\"/\\\"}
    text=${text//$'\t'/ }
    text=${text//[$'\001'-$'\010'$'\013'-$'\037']/}
    printf '"%s"' "${text//$'\n'/\\n}"
}

# step NAME COMMAND…: one step of the scenario in a subshell. A failure is shown and recorded, and the next step is
# taken; its output's last line is the reason. Status: the command's.
step() {
    local name=$1 begin=$EPOCHREALTIME output=$LAB_STATE/step status=0 result=ok milliseconds
    shift
    (
        fail() { printf '%s\n' "$*"; exit 1; }
        "$@"
    ) > "$output" 2>&1 || status=$?
    milliseconds=$(((${EPOCHREALTIME/./} - ${begin/./}) / 1000))
    if ((status != 0)); then
        result=FAILED
        failed_steps+=("$name")
        tail -n 12 "$output" | cut -c 1-200 | sed 's/^/         /'
    fi
    printf '[%4d s] %-6s %s (%d ms)\n' "$SECONDS" "$result" "$name" "$milliseconds"
    printf '{"step":%s,"result":"%s","ms":%d,"why":%s}\n' "$(json_text "$name")" "$result" "$milliseconds" \
        "$( ((status == 0)) && echo '""' || json_text "$(tail -n 1 "$output" | cut -c 1-300)")" >> "$records"
    return "$status"
}

# must NAME COMMAND…: a step without which the others mean nothing.
must() { step "$@" || fail "$1"; }

# value KEY TEXT [EXPECTED]: records a value that both daemons should have alike; with EXPECTED it is a step as well.
value() {
    printf '{"value":%s,"is":%s}\n' "$(json_text "$1")" "$(json_text "$2")" >> "$records"
    (($# < 3)) || step "$1" same_text "$2" "$3"
}

same_text() {
    [[ $1 == "$2" ]] && return
    printf "got '%s', expected '%s'\n" "$1" "$2"
    return 1
}

# contains TEXT WORDS…: every one of them is in the text.
contains() {
    local text=$1 word
    shift
    for word in "$@"; do
        [[ $text == *"$word"* ]] || { printf '%s\nthere is no %s in this\n' "$text" "$word"; return 1; }
    done
}

# daemon_ends: stops the daemon. Not within `step`, whose subshell could not wait for it.
daemon_ends() {
    local status="it still runs after 30 s"
    kill -TERM "$daemon_pid" 2> /dev/null
    if until_true 30 eval '! kill -0 "$daemon_pid" || grep -q "^State:.Z" "/proc/$daemon_pid/status"'; then
        status=0
        wait "$daemon_pid" 2> /dev/null || status=$?
    fi
    step "the daemon ends at SIGTERM, with status 0" same_text "$status" 0
}

# verdict: the job's end. The record's last line says that there was one: a run that was killed has none.
verdict() {
    step "the daemon is alive" daemon_alive
    daemon_ends
    step "the kernel's log is clean" kernel_log_clean
    echo '{"end":true}' >> "$records"
    say "records: $(grep -c '"step"' "$records") steps, $(grep -c '"value"' "$records") values, ${#failed_steps[@]} failed"
    ((${#failed_steps[@]} == 0)) || fail "$(printf '%s; ' "${failed_steps[@]}")"
}

# --- the machine --------------------------------------------------------------------------------

# gateway_machine: names, places that may be written, and the configuration of the install guide for one gateway.
gateway_machine() {
    # ceph-iscsi takes the fully qualified name for the gateway's, and needs an address that is not loopback's.
    hostname gw1.test
    printf '127.0.0.1 localhost\n%s gw1.test gw1\n' "$gateway_address" > /etc/hosts
    export HOME=$LAB_STATE/home
    mkdir -p "$HOME" /var/log/rbd-target-api /var/log/rbd-target-gw /etc/rtslib-fb-target/{pr,alua,backup} /run/ceph
    gateway_settings
}

# gateway_settings [LINE…]: /etc/ceph/iscsi-gateway.cfg.
gateway_settings() {
    cat > /etc/ceph/iscsi-gateway.cfg << CONFIGURATION
[config]
cluster_name = ceph
gateway_keyring = ceph.client.admin.keyring
pool = rbd
api_secure = false
api_user = admin
api_password = admin
minimum_gateways = 1
trusted_ip_list = $gateway_address
loop_delay = 1
log_to_stderr = true
$(printf '%s\n' "$@")
CONFIGURATION
}

# bus_policy: the bus started before the job; it learns now who may own our name.
bus_policy() {
    mkdir -p /etc/dbus-1/system.d
    cp /mnt/project/systemd/dbus/org.kernel.TCMUService1.conf /etc/dbus-1/system.d/tcmud.conf
    limit 20 dbus-send --system --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.ReloadConfig
}

# start_api: rbd-target-api, ready when it answers.
start_api() {
    setsid /usr/bin/rbd-target-api >> "$results/api.log" 2>&1 &
    echo $! > "$LAB_STATE/api.pid"
    until_true 90 api_ready || { tail -n 20 "$results/api.log"; return 1; }
}

api_ready() { kill -0 "$(< "$LAB_STATE/api.pid")" && [[ $(curl -s -m 10 -u admin:admin http://localhost:5000/api/_ping) == *pong* ]]; }

# stop_api [SIGNAL]: as a service manager stops it; it takes the target and the LUNs away.
stop_api() {
    local pid
    pid=$(< "$LAB_STATE/api.pid")
    kill "-${1:-TERM}" "$pid" || return
    bounded 100 wait_for_process "$pid" || { echo "rbd-target-api still runs after 100 s"; return 1; }
}

start_exporter() {
    setsid /usr/bin/rbd-target-gw >> "$results/gw.log" 2>&1 &
    echo $! > "$LAB_STATE/gw.pid"
    until_true 60 curl -s -m 10 "http://localhost:9287/metrics"
}

# --- asking -------------------------------------------------------------------------------------

# api METHOD PATH [KEY=VALUE…]: a REST call; its answer is in $LAB_STATE/answer. Status 0 for 2xx.
api() {
    local method=$1 path=$2 word words=() code
    shift 2
    for word in "$@"; do words+=(-d "$word"); done
    code=$(limit 130 curl -s -m 120 -u admin:admin -X "$method" -o "$LAB_STATE/answer" -w '%{http_code}' "${words[@]}" \
        "http://localhost:5000/api/$path")
    [[ $code == 2* ]] && return
    echo "$method $path: $code $(tr '\n' ' ' < "$LAB_STATE/answer")"
    return 1
}

# asked EXPRESSION: of the last answer's JSON, which is d.
asked() { /usr/bin/python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$LAB_STATE/answer" "$1"; }

# configured EXPRESSION EXPECTED: of the gateway's configuration. gwcli's status says nothing.
configured() {
    local got
    api GET config || return
    got=$(asked "$1") || return
    same_text "$got" "$2"
}

# gw WORD…: one command of gwcli.
gw() { limit 150 /usr/bin/gwcli "$@" 2>&1; }

# on_gw_configured WORD… -- EXPRESSION EXPECTED: gwcli, and then what is configured.
gw_then() {
    local words=()
    while [[ $1 != -- ]]; do
        words+=("$1")
        shift
    done
    shift
    gw "${words[@]}" || return
    configured "$@" || { tail -n 5 "$HOME/gwcli.log"; return 1; }
}

# watchers IMAGE, locks IMAGE: how many Ceph knows; no number when it does not answer, which would look like none.
watchers() {
    local text
    text=$(on_host "rbd status rbd/$1") || { echo unknown; return 1; }
    grep -c 'watcher=' <<< "$text"
}
locks() {
    local text
    text=$(on_host "rbd lock ls rbd/$1 --format json") || { echo unknown; return 1; }
    grep -o '"id":"auto [^"]*"' <<< "$text" | wc -l
}

# service_status IMAGE KEY: what the manager has of the daemon's status.
service_status() {
    on_host "ceph service status --format json 2> /dev/null || ceph service status" |
        /usr/bin/python3 -c '
import json, sys
status = json.load(sys.stdin).get("tcmu-runner", {}).get("gw1.test:rbd/" + sys.argv[1], {}).get("status", {})
print(" ".join(sorted(status)) if sys.argv[2] == "keys" else status.get(sys.argv[2], "absent"))' "$1" "$2"
}

status_becomes() { [[ $(service_status "$1" "$2") == "$3" ]]; }

# backstore IMAGE: its configfs directory.
backstore() { ls -d "$target"/core/user_*/"rbd.$1"; }

# --- the initiator ------------------------------------------------------------------------------

# start_initiator: iscsid, with the name that the target knows.
start_initiator() {
    mkdir -p /etc/iscsi/nodes /run/lock/iscsi
    echo "InitiatorName=$client_name" > /etc/iscsi/initiatorname.iscsi
    [[ -s /etc/iscsi/iscsid.conf ]] || : > /etc/iscsi/iscsid.conf
    setsid iscsid -f > "$LAB_STATE/iscsid.log" 2>&1 &
    until_true 20 limit 5 iscsiadm -m iface
}

node() { limit "${node_limit:-60}" iscsiadm -m node -T "$target_name" -p "$gateway_address" "$@"; }

# log_in PASSWORD: discovery, CHAP, login; LUN 0's path is in the file of that name afterwards.
log_in() {
    found_with_password "$1" || return
    node --login || return
    find_disk
}

# found_with_password PASSWORD: all that comes before the login.
found_with_password() {
    limit 30 iscsiadm -m discovery -t sendtargets -p "$gateway_address" || return
    node -o update -n node.session.auth.authmethod -v CHAP || return
    node -o update -n node.session.auth.username -v "$chap_user" || return
    node -o update -n node.session.auth.password -v "$1"
}

find_disk() {
    local session
    until_true 20 eval "ls -d /sys/class/iscsi_session/session*/device/target*"
    session=$(ls -d /sys/class/iscsi_session/session*/device/target*) || { echo "no session, or no unit answers INQUIRY"; return 1; }
    until_true 60 eval "ls /sys/bus/scsi/devices/${session##*/target}:0/block/*/size" || { echo "no disk"; return 1; }
    disk=/dev/$(ls "/sys/bus/scsi/devices/${session##*/target}:0/block")
    until_true 10 test -b "$disk" || return
    echo "$disk" > "$LAB_STATE/disk"
}

log_out() { node --logout; }

# rescan: the initiator looks at the size again.
rescan() { echo 1 > "/sys/block/${disk##*/}/device/rescan"; }
