# ALUA as ceph-iscsi sets it up: implicit and explicit groups of two gateways, told and set; no question takes the lock
# needs: ceph
# timeout: 300
bytes=$((64 << 20))
alua= other=${iscsi%_1}_2

# word FILE TEXT: `put` without a process of its own; there are many.
word() { printf '%s' "$2" > "$1"; }

# group NAME ID MEMBER-OF-TPG WORD=VALUE…: a group of ports, made in ceph-iscsi's order, with the LUN of one portal group.
group() {
    local name=$1 id=$2 tag=$3 set
    shift 3
    mkdir "$alua/$name" && word "$alua/$name/tg_pt_gp_id" "$id" || fail "group $name"
    for set in "$@" alua_support_active_optimized=1 alua_support_offline=0 alua_support_unavailable=0 \
        alua_support_transitioning=1 nonop_delay_msecs=0; do
        word "$alua/$name/${set%%=*}" "${set#*=}" || fail "$set of group $name"
    done
    word "${iscsi%_1}_$tag/lun/lun_0/alua_tg_pt_gp" "$name" || fail "binding LUN 0 of tpgt_$tag to $name"
}

# groups TYPE: as ceph-iscsi makes them for that alua_failover_type; this gateway owns the LUN.
groups() {
    local name
    for tag in 1 2; do
        [[ ! -d ${iscsi%_1}_$tag ]] || word "${iscsi%_1}_$tag/lun/lun_0/alua_tg_pt_gp" default_tg_pt_gp
    done
    for name in "$alua"/*; do [[ $name == */default_tg_pt_gp ]] || bounded 10 rmdir "$name" || fail "$name stays"; done
    if [[ $1 == implicit ]]; then
        group ao 1 1 alua_access_state=0 alua_support_active_nonoptimized=1 alua_access_type=1 implicit_trans_secs=45
        group ano2 2 2 alua_access_state=1 alua_support_active_nonoptimized=1 alua_access_type=1 implicit_trans_secs=45
    else
        group ao 1 1 preferred=1 alua_support_standby=1 alua_access_type=3 alua_access_state=2
        group standby2 2 2 alua_support_standby=1 alua_access_type=3 alua_access_state=2
    fi
    settled
}

# settled: every pending unit attention has been told.
settled() {
    for _ in {1..5}; do [[ $(turs) != 6/* ]] || continue; return; done
    fail "unit attentions do not end"
}

# rtpg [OPTION]: the parameter data in hex.
rtpg() { limit 20 sg_rtpg "$@" -r "$disk" | od -An -v -tx1 | tr -d ' \n'; }
# states: "ID=STATE" of each group.
states() {
    limit 20 sg_rtpg "$disk" |
        awk '/port group id/ { sub(",", "", $6); id = $6 } /asymmetric access state/ { printf "%s%s=%s", gap, id, $NF; gap = " " }'
}
tpgs() { limit 20 sg_inq "$disk" | sed -n 's/.*TPGS=\([0-3]\).*/\1/p'; }
locks() { on_host "rbd lock ls rbd/a" | grep -c client; }
read_block() { sense -r 512 "$disk" 28 00 00 00 00 00 00 00 01 00; }
# equal_quietly TITLE GOT EXPECTED
equal_quietly() { [[ $2 == "$3" ]] || fail "$1: got '$2', expected '$3'"; }
turs() { sense "$disk" 00 00 00 00 00 00; }
start_daemon
rbd_image a "$bytes"
make_lun a rbd/rbd/a "$bytes"
# As ceph-iscsi does, after the LUN is enabled.
for word in cmd_time_out=0 qfull_time_out=5; do
    put "$(device_directory a)/attrib/${word%=*}" "${word#*=}" || fail "$word"
done
alua=$(device_directory a)/alua
export_iscsi a
# The other gateway's portal group: the same LUN, never enabled here.
mkdir -p "$other/lun/lun_0" && ln -s "$(device_directory a)" "$other/lun/lun_0/lab" || fail "the second portal group"
iscsi_login

say "--- no groups yet"
agree "TPGS" "$(tpgs)" 0
agree "REPORT TARGET PORT GROUPS" "$(sense -r 64 "$disk" a3 0a 00 00 00 00 00 00 00 40 00 00)" 5/2000

say "--- implicit: made after the LUN, told all the same"
groups implicit
equal "TPGS" "$(tpgs)" 1
equal "states" "$(states)" "0x1=0x00 0x2=0x01"
plain=$(rtpg)
equal "RETURN DATA LENGTH" "${plain:0:8}" 00000018
agree "extended header, counted" "$(rtpg -e)" "0000001c102d0000${plain:8}"
equal "cut in the middle" "$(limit 20 sg_raw -b -r 10 "$disk" a3 0a 00 00 00 00 00 00 00 0a 00 00 2> /dev/null | od -An -v -tx1 | tr -d ' \n')" "${plain:0:20}"
vital=$(limit 20 sg_vpd -p di "$disk") || fail "VPD page 83h"
for word in "Target port group: 0x1" "Relative target port: 0x1" "$iscsi_name,t,0x0001"; do
    [[ $vital == *"$word"* ]] || fail "VPD page 83h is without '$word': $vital"
done
say "ok: VPD page 83h names port and group"
if ours; then
    equal "SET TARGET PORT GROUPS" "$(printf '\0\0\0\0\0\0\0\1' | sense -s 8 "$disk" a4 0a 00 00 00 00 00 00 00 08 00 00)" 5/2000
    opcodes=$(limit 20 sg_opcodes "$disk") || fail "REPORT SUPPORTED OPERATION CODES"
    [[ $opcodes == *"Report target port groups"* && $opcodes != *"Set target port groups"* ]] || fail "listed: $opcodes"
    say "ok: REPORT is listed, SET is not"
fi

say "--- a state that has changed is told at once"
for turn in {1..50}; do
    state=$((turn % 2))
    word "$alua/ao/alua_access_state" "$state"
    equal_quietly "unit attention $turn" "$(turs)" 6/2a06
    equal_quietly "states, turn $turn" "$(states)" "0x1=0x0$state 0x2=0x01"
    settled
done
say "ok: fifty times"

say "--- questions"
for _ in {1..6}; do
    limit 20 sg_inq "$disk" && limit 20 sg_vpd -p di "$disk" && limit 20 sg_readcap -l "$disk" && rtpg && turs
done > /dev/null || fail "a question is not answered"
equal "locks after a storm of questions" "$(locks)" 0

if ours; then
    say "--- explicit"
    groups explicit
    equal "TPGS" "$(tpgs)" 3
    settled
    equal "states: the preferred group became active" "$(states)" "0x1=0x00 0x2=0x02"
    equal "in the kernel, too" "$(< "$alua/ao/alua_access_state")" 0
    equal "a read" "$(settled; read_block)" good
    equal "no lock yet" "$(locks)" 0
    opcodes=$(limit 20 sg_opcodes "$disk") || fail "REPORT SUPPORTED OPERATION CODES"
    [[ $opcodes == *"Set target port groups"* ]] || fail "SET TARGET PORT GROUPS is not listed: $opcodes"
    say "ok: SET is listed"
    check "to standby" limit 20 sg_stpg --standby --tp=1 "$disk"
    limit 20 sg_rtpg "$disk" > /dev/null  # takes the unit attention: TEST UNIT READY is not served on standby ports
    equal "states" "$(states)" "0x1=0x02 0x2=0x02"
    equal "a read is refused" "$(read_block)" 2/040b
    equal "states stay as they were set" "$(states)" "0x1=0x02 0x2=0x02"
    put "$alua/standby2/alua_access_state" 0 || fail "the other gateway's group"
    check "to active/optimized" limit 60 sg_stpg --optimized --tp=1 "$disk"
    settled
    equal "states" "$(states)" "0x1=0x00 0x2=0x02"
    equal "the kernel's word on it" "$(< "$alua/ao/alua_access_status")" "Altered by Explicit STPG"
    equal "a read" "$(settled; read_block)" good
    equal "the other gateway's group" "$(printf '\0\0\0\0\0\0\0\2' | sense -s 8 "$disk" a4 0a 00 00 00 00 00 00 00 08 00 00)" 4/670a
    equal "a group that is not there" "$(printf '\0\0\0\0\0\0\0\7' | sense -s 8 "$disk" a4 0a 00 00 00 00 00 00 00 08 00 00)" 5/2600
    equal "half a descriptor" "$(printf '\0\0\0\0\0\0' | sense -s 6 "$disk" a4 0a 00 00 00 00 00 00 00 06 00 00)" 5/1a00
    check "a write" limit 60 dd if=/dev/zero of="$disk" bs=4k count=1 oflag=direct
    equal "the lock is taken" "$(locks)" 1
fi
iscsi_logout
bounded 30 rm "$other/lun/lun_0/lab" && rmdir "$other/lun/lun_0" "$other" || fail "the second portal group stays"
unexport_iscsi
for name in "$alua"/*; do [[ $name == */default_tg_pt_gp ]] || bounded 10 rmdir "$name" || fail "$name stays"; done
remove_lun a
equal "warnings about time-outs, with ceph-iscsi's own" "$(daemon_log | grep -c 'time_out.*initiators\|cmd_time_out is')" 0
stop_daemon
kernel_log_clean
