# shellcheck shell=bash
# The client of the two gateways: open-iscsi, a dm-multipath map without udev, a path checker, and the application.
# Sourced by the orders that the host's side gives to a guest.

state=$LAB_STATE/initiator
mkdir -p "$state"
sessions=/sys/class/iscsi_session

# log_in NAME TARGET USER PASSWORD PORTAL…: a session to each portal.
log_in() {
    local name=$1 iqn=$2 user=$3 password=$4 portal
    shift 4
    modprobe -a dm-mod dm-multipath dm-service-time || fail "no dm-multipath"
    mkdir -p /etc/iscsi/nodes /run/lock/iscsi
    echo "InitiatorName=$name" > /etc/iscsi/initiatorname.iscsi
    # What the Ceph documentation recommends, with the shortest timers that are in use.
    printf '%s\n' 'node.startup = manual' 'node.conn[0].timeo.noop_out_interval = 5' \
        'node.conn[0].timeo.noop_out_timeout = 5' 'node.session.timeo.replacement_timeout = 5' \
        'node.session.auth.authmethod = CHAP' "node.session.auth.username = $user" \
        "node.session.auth.password = $password" > /etc/iscsi/iscsid.conf
    setsid iscsid -f > "$LAB_SHARE/iscsid.log" 2>&1 < /dev/null &
    until_true 20 limit 5 iscsiadm -m iface || fail "iscsid does not answer: $(cat "$LAB_SHARE/iscsid.log")"
    for portal in "$@"; do
        check "discovery at $portal" limit 30 iscsiadm -m discovery -t sendtargets -p "$portal"
    done
    check "login" limit 60 iscsiadm -m node -T "$iqn" --login
    for portal in "$@"; do
        until_true 30 eval "[[ -n \$(disk_at $portal) ]]" || fail "no disk behind $portal"
        echo "$portal is $(disk_at "$portal")"
    done
}

# disk_at PORTAL: the name (sda) of the disk of the session to that address.
disk_at() {
    local session
    for session in "$sessions"/session*; do
        if [[ $(cat "$session"/device/connection*/iscsi_connection/connection*/persistent_address) == "$1" ]]; then
            ls "$session"/device/target*/*/block 2> /dev/null | head -1
            return
        fi
    done
}

# make_map PORTAL…: /dev/dm-0 over their disks, a group for each, the first preferred.
make_map() {
    local portal name table numbers
    table="0 $(blockdev --getsz "/dev/$(disk_at "$1")") multipath 1 queue_if_no_path 0 $# 1"
    : > "$state/paths"
    for portal in "$@"; do
        name=$(disk_at "$portal")
        numbers=$(< "/sys/block/$name/dev")
        table+=" service-time 0 1 1 $numbers 1"
        echo "$portal $name $numbers" >> "$state/paths"
    done
    check "multipath map: $table" limit 30 dmsetup create mp --noudevsync --noudevrules --table "$table"
    until_true 10 test -b /dev/dm-0 || fail "no /dev/dm-0"
    while read -r portal name numbers; do
        check_path "$portal" "$name" "$numbers" > /dev/null 2>&1 < /dev/null &
    done < "$state/paths"
    cat "$state/paths"
}

# check_path PORTAL DISK NUMBERS: what multipathd's checker `tur` does once a second. As there, a unit attention and an ALUA
# transition leave the path as it is, a standby port counts as usable, and all else that is not GOOD fails the path.
check_path() {
    local text status last=
    while :; do
        status=0
        text=$(sg_turs -v "/dev/$2" 2>&1) || status=$?
        if ((status == 2)) && [[ $text == *"asymmetric access state transition"* ]]; then
            status=transition
        elif ((status == 2)) && [[ $text == *"in standby state"* ]]; then
            status=0
        fi
        case $status in
            0) dmsetup message mp 0 "reinstate_path $3" ;;
            6 | transition) ;;
            *) dmsetup message mp 0 "fail_path $3" ;;
        esac
        if [[ $status != "$last" ]]; then
            echo "$(date +%s.%N) $1 TUR $status ${text//$'\n'/ | }" >> "$LAB_SHARE/checker.log"
            last=$status
        fi
        sleep 1
    done
}

# start_application SECONDS: fio over the map, and the witness beside it; both end by themselves. A time limit leaves fio no
# time for a reading phase, so it reads back 256 blocks at a time as it goes.
start_application() {
    local seconds=$1
    mkdir -p "$LAB_SHARE/results"
    rm -f "$state"/*.done
    (
        cd "$LAB_STATE" || exit
        fio --name=application --filename=/dev/dm-0 --rw=randwrite --bs=4k --iodepth=4 --ioengine=libaio --direct=1 \
            --size=64M --time_based --runtime="$seconds" --verify=crc32c --verify_backlog=256 --verify_state_save=0 --continue_on_error=all \
            --randseed=7 --write_lat_log="$LAB_STATE/fio" --log_unix_epoch=1 --per_job_logs=0 --eta=never \
            --output-format=json --output="$LAB_STATE/fio.json" > "$LAB_SHARE/results/fio.err" 2>&1
        echo $? > "$LAB_SHARE/results/fio.rc"
        cp "$LAB_STATE"/fio.json "$LAB_STATE"/fio_lat.log "$LAB_SHARE/results/"
        touch "$state/fio.done"
    ) > /dev/null 2>&1 < /dev/null &
    (
        /usr/bin/python3 /mnt/project/Tests/Lab/ha/witness.py /dev/dm-0 "$seconds" > "$LAB_STATE/witness.jsonl" \
            2> "$LAB_SHARE/results/witness.err"
        cp "$LAB_STATE/witness.jsonl" "$LAB_SHARE/results/"
        touch "$state/witness.done"
    ) > /dev/null 2>&1 < /dev/null &
    sleep 1
}

# await_application SECONDS
await_application() {
    until_true "$1" test -e "$state/fio.done" -a -e "$state/witness.done" || fail "the application hangs"
}

# turn_paths SECONDS: round robin by force, the preferred group changes each second.
turn_paths() {
    local end=$((SECONDS + $1)) group=2 groups
    groups=$(wc -l < "$state/paths")
    while ((SECONDS < end)); do
        dmsetup message mp 0 switch_group "$group"
        group=$((group % groups + 1))
        sleep 1
    done
}

# ask_questions SECONDS: whatever an initiator asks a path that it does not use; says how many.
ask_questions() {
    local end=$((SECONDS + $1)) name count=0
    name=/dev/$(sed -n '2s/^[^ ]* \([^ ]*\) .*/\1/p' "$state/paths")
    while ((SECONDS < end)); do
        check "INQUIRY" sg_inq "$name" > /dev/null
        check "VPD 83h" sg_vpd -p 0x83 "$name" > /dev/null
        check "VPD B0h" sg_vpd -p 0xb0 "$name" > /dev/null
        check "READ CAPACITY(16)" sg_readcap --long "$name" > /dev/null
        check "REPORT TARGET PORT GROUPS" sg_rtpg "$name" > /dev/null
        check "MODE SENSE" sg_modes -a "$name" > /dev/null
        check "READ" dd if="$name" of=/dev/null bs=4k count=1 iflag=direct > /dev/null
        ((count += 7))
    done
    echo "$count"
}

# map_state: what dm says of the paths, and who is logged in.
map_state() {
    dmsetup status mp
    iscsiadm -m session
}
