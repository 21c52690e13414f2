# shellcheck shell=bash
# The steps of the scenario. Each is a function that `step` runs in a subshell: it says what is wrong and returns 1.

# --- what gwcli makes ---------------------------------------------------------------------------

create_with_gwcli() {
    must "gwcli: target" gw_then /iscsi-targets create "$target_name" -- "list(d['targets'])" "['$target_name']"
    must "gwcli: gateway" gw_then "/iscsi-targets/$target_name/gateways" create gw1.test "$gateway_address" skipchecks=true -- \
        "list(d['targets']['$target_name']['portals'])" "['gw1.test']"
    must "gwcli: disk of 90 GiB" gw_then /disks create pool=rbd image=disk_1 size=90G -- "list(d['disks'])" "['rbd/disk_1']"
    step "the disk is not held open before it is mapped" nothing_open disk_1
    must "gwcli: client" gw_then "/iscsi-targets/$target_name/hosts" create "$client_name" -- \
        "list(d['targets']['$target_name']['clients'])" "['$client_name']"
    must "gwcli: CHAP" gw_then "/iscsi-targets/$target_name/hosts/$client_name" auth "username=$chap_user" \
        "password=$chap_password" -- "d['targets']['$target_name']['clients']['$client_name']['auth']['username']" "$chap_user"
    must "gwcli: disk added to the client" gw_then "/iscsi-targets/$target_name/hosts/$client_name" disk add rbd/disk_1 -- \
        "list(d['targets']['$target_name']['clients']['$client_name']['luns'])" "['rbd/disk_1']"
    step "gwcli ls" gwcli_shows 90G
}

# The same by REST, with another size.
create_with_rest() {
    must "REST: target" api PUT "target/$target_name"
    must "REST: gateway" api PUT "gateway/$target_name/gw1.test" "ip_address=$gateway_address" skipchecks=true
    must "REST: disk" api PUT disk/rbd/disk_1 mode=create "size=$1"
    must "REST: disk mapped to the target" api PUT "targetlun/$target_name" disk=rbd/disk_1
    must "REST: client" api PUT "client/$target_name/$client_name"
    must "REST: CHAP" api PUT "clientauth/$target_name/$client_name" "username=$chap_user" "password=$chap_password" \
        mutual_username= mutual_password=
    must "REST: disk added to the client" api PUT "clientlun/$target_name/$client_name" disk=rbd/disk_1
}

# nothing_open IMAGE: neither a backstore nor a watcher nor a lock of it.
nothing_open() {
    [[ -z $(ls -d "$target"/core/user_*/"rbd.$1" 2> /dev/null) ]] || { echo "there is a backstore"; return 1; }
    until_true 10 watched_by "$1" 0 || { echo "somebody watches the image"; return 1; }
    same_text "$(locks "$1")" 0
}

# watched_by IMAGE NUMBER: asked of Ceph each time it is called.
watched_by() { [[ $(watchers "$1") == "$2" ]]; }

gwcli_shows() {
    local text
    text=$(gw ls)
    contains "$text" disk_1 "$1" Online "$client_name" gw1.test "$gateway_address"
}

# targetcli must be able to show what gwcli made.
targetcli_shows() {
    local text
    text=$(limit 60 /usr/bin/targetcli ls 2>&1) || { echo "$text"; return 1; }
    contains "$text" user:rbd rbd.disk_1 "rbd/disk_1;osd_op_timeout=30" activated ao "$target_name"
}

exporter_shows() { contains "$(curl -s -m 20 http://localhost:9287/metrics)" ceph_iscsi_gateway_tpg_total ceph_iscsi_lun_size_bytes; }

# --- the disk in use ----------------------------------------------------------------------------

# Refused for what it is and nothing else: 24 is open-iscsi's ISCSI_ERR_LOGIN_AUTH_FAILED.
refused_password() {
    local status=0
    found_with_password "wrongpassword" || { echo "the target is not even found"; return 1; }
    node --login || status=$?
    ((status != 0)) || node --logout
    same_text "login with a wrong password: status $status" "login with a wrong password: status 24"
}

# storm: what an initiator asks while it logs in, and more; nothing of it is a reason to take the lock.
storm() {
    local round page
    for round in 1 2 3; do
        limit 20 sg_inq "$disk" || return
        for page in 00 80 83 b0 b1 b2; do limit 20 sg_vpd -p "0x$page" "$disk" || return; done
        limit 20 sg_readcap "$disk" && limit 20 sg_readcap --long "$disk" || return
        limit 20 sg_rtpg "$disk" && limit 20 sg_turs "$disk" && limit 20 sg_modes -a "$disk" || return
    done
    same_text "$(locks disk_1)" 0
}

one_watcher() { until_true 10 watched_by disk_1 1 || { on_host "rbd status rbd/disk_1"; return 1; }; }

read_keeps_lock_free() {
    limit 60 dd if="$disk" of=/dev/null bs=64k count=4 iflag=direct || return
    same_text "$(locks disk_1)" 0
}

# The first write takes the lock; the manager knows of it within 3 s, the status interval of its clients besides.
write_takes_lock() {
    limit 60 dd if=/dev/urandom of="$disk" bs=64k count=4 oflag=direct || return
    same_text "$(locks disk_1)" 1
}

lock_owner_is_told() {
    until_true 15 status_becomes disk_1 lock_owner true || { on_host "ceph service status"; return 1; }
}

# A new manager knows the image from the monitors' map at most, and no status of it until the client comes back to it.
# What the old one had is not looked at: it must be gone first.
manager_restarts() {
    local before
    before=$(active_manager) || { echo "there is no manager"; return 1; }
    on_host 'pid=$(cat $LAB_CEPH/run/mgr.x.pid) && kill -KILL $pid &&
        for try in $(seq 100); do [ ! -e /proc/$pid ] || grep -q "^State:.Z" /proc/$pid/status && break; sleep 0.1; done' || return
    on_host 'setsid ceph-mgr -f -i x --keyring $LAB_CEPH/mgr/keyring -c $CEPH_CONF >> $LAB_CEPH/log/ceph-mgr.out 2>&1 < /dev/null &
        echo $! > $LAB_CEPH/run/mgr.x.pid' || return
    until_true 90 another_manager_than "$before" || { on_host "ceph mgr dump"; return 1; }
    until_true 60 status_becomes disk_1 lock_owner true || { on_host "ceph service status"; return 1; }
    same_text "$(service_status disk_1 keys)" "cmd_timed_out_cnt conn_lost_cnt lock_lost_cnt lock_owner"
}

# active_manager: its number, which no other process of its name has had.
active_manager() {
    on_host "ceph mgr dump --format json" |
        /usr/bin/python3 -c 'import json, sys; d = json.load(sys.stdin); print(d["active_gid"]); sys.exit(not d["available"])'
}
another_manager_than() {
    local now
    now=$(active_manager) && [[ $now != "$1" ]]
}

# The API polls every 10 s.
api_knows_owner() { until_true 30 api_owner_is gw1.test || { cat "$LAB_STATE/answer"; return 1; }; }
api_owner_is() { api GET disk/rbd/disk_1 && [[ $(asked "(d.get('status') or {}).get('lock_owner')") == "$1" ]]; }
api_online() { api GET disk/rbd/disk_1 && same_text "$(asked "(d.get('status') or {}).get('state')")" Online; }

# --- size ---------------------------------------------------------------------------------------

# grown COMMAND… : runs it, then: one UNIT ATTENTION 2A/09, no second, and the new size after a rescan.
# Arguments: bytes, then the command.
grown() {
    local bytes=$1 generic before attention
    shift
    generic=/dev/$(ls "/sys/block/${disk##*/}/device/scsi_generic")
    # Whatever else there was to tell, as that the cluster is nearly full.
    until_true 10 eval '[[ $(sense "$generic" 00 00 00 00 00 00) == good ]]'
    before=$(sense "$generic" 00 00 00 00 00 00)
    "$@" || return
    attention=$(sense "$generic" 00 00 00 00 00 00)
    same_text "before: $before, then $attention" "before: good, then 6/2a09" || return
    same_text "$(sense "$generic" 00 00 00 00 00 00)" good || return
    rescan
    same_text "$(limit 20 blockdev --getsize64 "$disk")" "$bytes" || return
    same_text "$(limit 20 sg_readcap --long "$disk" | sed -nE 's/.*Device size: ([0-9]+) bytes.*/\1/p')" "$bytes" || return
    contains "$(< "$(backstore disk_1)/info")" "Size: $bytes"
}

gwcli_resize() { gw_then /disks/rbd/disk_1 resize "$1" -- "len(d['disks'])" 1; }
rest_resize() { api PUT disk/rbd/disk_1 mode=resize "size=$1"; }

# Writes where the disk was not before.
write_at_end() {
    local blocks
    blocks=$(($(limit 20 blockdev --getsize64 "$disk") / 65536))
    head -c 65536 /dev/urandom > "$LAB_STATE/end"
    limit 60 dd if="$LAB_STATE/end" of="$disk" bs=64k seek=$((blocks - 1)) oflag=direct conv=notrunc || return
    limit 60 dd if="$disk" of="$LAB_STATE/end.read" bs=64k skip=$((blocks - 1)) count=1 iflag=direct || return
    cmp "$LAB_STATE/end" "$LAB_STATE/end.read"
}

# --- snapshots ----------------------------------------------------------------------------------

# mark NAME: random data at a known place, remembered under that name.
mark() {
    head -c 262144 /dev/urandom > "$LAB_STATE/mark.$1"
    limit 60 dd if="$LAB_STATE/mark.$1" of="$disk" bs=64k seek=1024 oflag=direct conv=notrunc
}

marked() {
    blockdev --flushbufs "$disk"
    limit 60 dd if="$disk" of="$LAB_STATE/mark.read" bs=64k skip=1024 count=4 iflag=direct || return
    cmp "$LAB_STATE/mark.read" "$LAB_STATE/mark.$1"
}

snapshots() { on_host "rbd snap ls rbd/disk_1 --format json" | grep -oE '"name":"[^"]+"' | cut -d '"' -f 4 | sort | xargs; }

gwcli_snapshot() {
    gw /disks/rbd/disk_1 snapshot create "$1" || return
    contains "$(snapshots)" "$1"
}

rest_snapshot() { api PUT "disksnap/rbd/disk_1/$1" mode=create && contains "$(snapshots)" "$1"; }
rest_snapshot_gone() {
    api DELETE "disksnap/rbd/disk_1/$1" || return
    [[ " $(snapshots) " != *" $1 "* ]]
}

# refused REASON WORD… : a REST call that must not be granted, and for that reason.
refused() {
    local reason=$1
    shift
    if api "$@"; then
        echo "granted: $*"
        return 1
    fi
    contains "$(tr '\n' ' ' < "$LAB_STATE/answer")" "$reason"
}

rollback() { api PUT "disksnap/rbd/disk_1/$1" mode=rollback; }

# --- the API's own life -------------------------------------------------------------------------

# devices_now: the kernel's numbers of the devices; a new one means that a device was made anew.
devices_now() { for name in /sys/class/uio/uio*/name; do echo "$name $(< "$name")"; done | xargs; }

# A reload under a running job of fio: no device is made anew.
reload_api() {
    local before
    before=$(devices_now)
    limit 60 dd if=/dev/urandom of="$disk" bs=64k count=256 seek=2048 oflag=direct &
    local writer=$!
    kill -HUP "$(< "$LAB_STATE/api.pid")" || return
    sleep 3
    until_true 60 api_ready || return
    wait "$writer" || { echo "the writer failed"; return 1; }
    same_text "$(devices_now)" "$before"
}

# A restart with the initiator logged in and reading: its session comes back by itself, and so does the disk.
restart_api() {
    local identity reader
    identity=$(limit 20 sg_vpd -p 0x83 "$disk")
    # Long enough to still be reading when the target goes away.
    limit 240 dd if="$disk" of=/dev/null bs=64k count=3000 iflag=direct &
    reader=$!
    sleep 1
    stop_api || return
    same_text "$(ls -d "$target"/core/user_*/*.* 2> /dev/null)" "" || return
    start_api || return
    wait "$reader" || { echo "the reader failed"; return 1; }
    same_text "$(limit 60 sg_vpd -p 0x83 "$disk")" "$identity"
}

# --- taking it down -----------------------------------------------------------------------------

# A disk's removal: the API asks for the image's removal at once, and a watcher left behind would hold it up.
delete_with_gwcli() {
    step "gwcli: disk removed from the client" gw_then "/iscsi-targets/$target_name/hosts/$client_name" disk remove rbd/disk_1 -- \
        "list(d['targets']['$target_name']['clients']['$client_name']['luns'])" "[]"
    step "gwcli: disk removed from the target" gw_then "/iscsi-targets/$target_name/disks" delete rbd/disk_1 -- \
        "d['targets']['$target_name']['disks']" "{}"
    step "nothing of the disk is held" nothing_open disk_1
    step "its service entry is gone" service_is_gone disk_1
    step "gwcli: disk deleted" gw_then /disks delete rbd/disk_1 -- "d['disks']" "{}"
    step "its image is gone" same_text "$(on_host 'rbd ls rbd' | xargs)" ""
}

service_is_gone() { until_true 10 status_becomes "$1" lock_owner absent || { on_host "ceph service status"; return 1; }; }

delete_with_rest() {
    step "REST: disk removed from the client" api DELETE "clientlun/$target_name/$client_name" disk=rbd/disk_1
    step "REST: disk removed from the target" api DELETE "targetlun/$target_name" disk=rbd/disk_1
    step "nothing of the disk is held" nothing_open disk_1
    step "REST: disk deleted" api DELETE disk/rbd/disk_1
    step "REST: client deleted" api DELETE "client/$target_name/$client_name"
    step "REST: target deleted" api DELETE "target/$target_name"
}

# The purge playbook's order: the API and the daemon are stopped first, and LIO is cleared with nobody to answer.
purge() {
    stop_api KILL
    kill -TERM "$daemon_pid"
    until_true 30 eval '! kill -0 "$daemon_pid" || grep -q "^State:.Z" "/proc/$daemon_pid/status"' || { echo "the daemon does not stop"; return 1; }
    [[ -n $(ls -d "$target"/core/user_*/rbd.disk_1) ]] || return
    local begin=$SECONDS
    bounded 40 /usr/bin/python3 -c 'import rtslib_fb; rtslib_fb.RTSRoot().clear_existing(confirm=True)' || { echo "LIO is not cleared (status $?)"; return 1; }
    ((SECONDS - begin < 20)) || { echo "it took $((SECONDS - begin)) s"; return 1; }
    until_true 40 watched_by disk_1 0 || { echo "the image is still watched"; return 1; }
    on_host "rbd rm --no-progress rbd/disk_1 && rados -p rbd rm gateway.conf"
}

# --- what goes wrong with the original ------------------------------------------------------------

# An image that somebody grows behind the gateway's back, and then a change of owner: the original never opens it again.
grown_behind() {
    rbd_image g $((1 << 30)) || return
    make_lun g "rbd/rbd/g;osd_op_timeout=30" $((1 << 30)) || return
    attach g || return
    echo "$disk" > "$LAB_STATE/disk"
    device_directory g > "$LAB_STATE/directory"
    head -c 1048576 /dev/urandom > "$LAB_STATE/grown"
    limit 60 dd if="$LAB_STATE/grown" of="$disk" bs=64k oflag=direct || return
    on_host "rbd resize --no-progress --size 2G rbd/g && $LAB_PROJECT/Tests/Lab/gateway/steal-lock.py g"
}

written_after_growth() {
    # Not by dd's own limit alone: what waits for the disk may be beyond signals.
    bounded 60 dd if="$LAB_STATE/grown" of="$disk" bs=64k seek=100 oflag=direct conv=notrunc || { echo "the write hangs or fails (status $?)"; return 1; }
    bounded 60 dd if="$disk" of="$LAB_STATE/grown.read" bs=64k skip=100 count=16 iflag=direct || return
    cmp "$LAB_STATE/grown" "$LAB_STATE/grown.read" || return
    same_text "$(limit 20 sg_readcap --long "$disk" | sed -nE 's/.*Device size: ([0-9]+) bytes.*/\1/p')" $((1 << 30))
}

size_made_up_for() {
    bounded 30 put "$(< "$LAB_STATE/directory")/attrib/dev_size" $((2 << 30)) || { echo "dev_size: status $?"; return 1; }
    rescan
    same_text "$(limit 20 blockdev --getsize64 "$disk")" $((2 << 30)) || return
    bounded 60 dd if="$LAB_STATE/grown" of="$disk" bs=64k seek=$((32768 - 16)) oflag=direct conv=notrunc
}

# With alua_failover_type = explicit, ceph-iscsi writes groups that are standby until the initiator says otherwise.
explicit_usable() {
    local state
    limit 60 sg_inq "$disk" || return
    state=$(limit 60 sg_rtpg --decode "$disk") || { echo "RTPG fails"; return 1; }
    contains "$state" 'target port group id : 0x1' || return
    # Where it is active already, or nothing is to be set, this may be refused.
    limit 60 sg_stpg --optimized "$disk"
    head -c 1048576 /dev/urandom > "$LAB_STATE/explicit"
    limit 90 dd if="$LAB_STATE/explicit" of="$disk" bs=64k oflag=direct || return
    limit 60 dd if="$disk" of="$LAB_STATE/explicit.read" bs=64k count=16 iflag=direct || return
    cmp "$LAB_STATE/explicit" "$LAB_STATE/explicit.read"
}

# --- targetcli ----------------------------------------------------------------------------------

tcli() { limit 60 /usr/bin/targetcli "$@" 2>&1; }

bus_objects() {
    local text
    text=$(limit 20 dbus-send --system --print-reply --dest=org.kernel.TCMUService1 /org/kernel/TCMUService1 \
        org.freedesktop.DBus.ObjectManager.GetManagedObjects) || return
    contains "$text" '"/org/kernel/TCMUService1/rbd"' '"org.kernel.TCMUService1"' '"ConfigDesc"'
}

targetcli_creates() {
    on_host "rbd create --size 1G rbd/cli" || return
    tcli /backstores/user:rbd create cli 1G rbd/cli || return
    contains "$(tcli ls /backstores/user:rbd)" cli rbd/cli deactivated
}

targetcli_saves() {
    tcli saveconfig "$LAB_STATE/saved.json" || return
    contains "$(< "$LAB_STATE/saved.json")" '"rbd/rbd/cli"' || return
    tcli clearconfig confirm=True || return
    same_text "$(ls -d "$target"/core/user_*/cli 2> /dev/null)" "" || return
    watched_by cli 0 || { echo "the image is still watched"; return 1; }
}

targetcli_restores() {
    local text
    text=$(tcli restoreconfig "$LAB_STATE/saved.json")
    contains "$text" "Configuration restored" || return
    # The original refuses to have emulate_write_cache written back, which is an error of the restoring, and ends it with a status.
    if ours; then same_text "$(grep -v "Configuration restored" <<< "$text")" "" || return; fi
    contains "$(tcli ls /backstores/user:rbd)" cli rbd/cli || return
    contains "$(< "$(ls -d "$target"/core/user_*/cli)/info")" ACTIVATED || return
    tcli /backstores/user:rbd delete cli
}

# targetcli_says CONFIG WORD…: a creation that cannot be says why, and leaves nothing behind.
targetcli_says() {
    local config=$1 text
    shift
    text=$(tcli /backstores/user:rbd create bad 1G "$config")
    [[ -z $(ls -d "$target"/core/user_*/bad 2> /dev/null) ]] || { echo "it was created"; return 1; }
    contains "$text" "$@"
}
