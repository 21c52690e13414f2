# shellcheck shell=bash
# What initiators and administrators read of a disk, recorded: section by section the same for both daemons, but for what
# is made anew in every run (serials), which is replaced by its name.

# anonymous: takes the run's serial and what is made of it out of a text.
anonymous() {
    local serial
    serial=$(sed -n 's/.*: //p' "$(backstore disk_1)/wwn/vpd_unit_serial")
    local digits=${serial//-/}
    sed -E "s/$serial/SERIAL/g; s/6001405${digits:0:25}/NAA/g; s/6001405${digits:0:9}/NAA-FIRST/g; s/${digits:9:16}/NAA-LAST/g; s/[[:space:]]+\$//" |
        grep -v -e '^VPD INQUIRY' -e '^$'
}

# field NAME: from a text of `Name: value` lines.
field() { sed -nE "s/^ *$1: *([^ ]*( [^ ]+)*).*/\1/p" | head -n 1; }

# identity DISK: the golden values of the contract, as values with what is expected where every daemon must have it.
identity() {
    local path=$1 text page
    text=$(limit 20 sg_inq "$path")
    value "INQUIRY vendor" "$(field 'Vendor identification' <<< "$text" | xargs)" LIO-ORG
    value "INQUIRY product" "$(field 'Product identification' <<< "$text" | xargs)" "TCMU device"
    value "INQUIRY revision" "$(field 'Product revision level' <<< "$text" | xargs)" 0002
    value "INQUIRY bits" "$(grep -oE '(TPGS|3PC|CmdQue|RMB|Protect|EncServ|MultiP|NormACA|HiSUP)=[0-9]' <<< "$text" | xargs)"
    value "INQUIRY TPGS" "$(grep -oE 'TPGS=[0-9]' <<< "$text")" "TPGS=1"
    value "INQUIRY 3PC" "$(grep -oE '3PC=[0-9]' <<< "$text")" "3PC=1"
    value "INQUIRY CmdQue" "$(grep -oE 'CmdQue=[0-9]' <<< "$text")" "CmdQue=1"
    value "INQUIRY version" "$(grep -oE 'version=0x[0-9a-f]+' <<< "$text")"
    value "INQUIRY length" "$(limit 20 sg_inq --len=36 --raw "$path" | wc -c)" 36
    text=$(limit 20 sg_vpd -p 0x00 "$path")
    step "VPD pages 00 80 83 b0 b1 b2 are there" contains "$text" 'sv' 'sn' 'di' 'bl' 'bdc' 'lbpv'
    for page in 00 80 83 b0 b1 b2; do
        value "VPD $page" "$(limit 20 sg_vpd -p "0x$page" "$path" | anonymous)"
    done
    text=$(limit 20 sg_vpd -p 0x80 "$path" | anonymous)
    value "VPD 80 serial" "$(sed -n 's/.*[Uu]nit serial number: *//p' <<< "$text")" SERIAL
    text=$(limit 20 sg_vpd -p 0x83 "$path" | anonymous)
    step "VPD 83 designators" contains "$text" 'vendor id: LIO-ORG' 'vendor specific: SERIAL' '0xNAA' 'vendor specific: rbd/rbd/disk_1;osd_op_timeout=30' \
        'Relative target port: 0x1' 'Target port group: 0x1' "$target_name,t,0x0001" "$target_name"
    text=$(limit 20 sg_vpd -p 0xb0 "$path")
    value "VPD b0 WSNZ" "$(sed -nE 's/.*Write same non-zero \(WSNZ\): ([01]).*/\1/p' <<< "$text")" 1
    value "VPD b0 maximum transfer" "$(sed -nE 's/.*Maximum transfer length: ([0-9]+) blocks.*/\1/p' <<< "$text")" 1024
    value "VPD b0 optimal transfer" "$(sed -nE 's/.*Optimal transfer length: ([0-9]+) blocks.*/\1/p' <<< "$text")" 1024
    value "VPD b0 unmap granularity" "$(sed -nE 's/.*Optimal unmap granularity: ([0-9]+) blocks.*/\1/p' <<< "$text")" 128
    # 0 and 128 mean the same: the first block of a unit of 128.
    value "VPD b0 unmap alignment" "$(($(sed -nE 's/.*Unmap granularity alignment: ([0-9]+).*/\1/p' <<< "$text") % 128))" 0
    text=$(limit 20 sg_vpd -p 0xb2 "$path")
    value "VPD b2 thin provisioning" "$(grep -oE '\((LBPU|LBPWS|LBPWS10|LBPRZ)\): [0-9]' <<< "$text" | tr -d '():' | xargs)" \
        "LBPU 1 LBPWS 1 LBPWS10 1 LBPRZ 1"
    text=$(limit 20 sg_readcap --long "$path")
    value "READ CAPACITY(16)" "$(anonymous <<< "$text")"
    value "READ CAPACITY(16) thin provisioning" "$(grep -oE 'lbpme=[01], lbprz=[01]' <<< "$text")" "lbpme=1, lbprz=1"
    value "READ CAPACITY(16) exponent and block" \
        "$(sed -nE 's/.*Logical block length=([0-9]+).*/\1/p; s/.*physical block exponent=([0-9]+).*/\1/p' <<< "$text" | xargs)" "512 0"
    text=$(limit 20 sg_rtpg --decode "$path")
    value "REPORT TARGET PORT GROUPS" "$text"
    step "RTPG: one group, active/optimized" contains "$text" 'target port group id : 0x1' 'asymmetric access state : 0x00' \
        'T_SUP : 1, O_SUP : 0, LBD_SUP : 0, U_SUP : 0, S_SUP : 1, AN_SUP : 1, AO_SUP : 1'
    for page in 1 8 0xa; do
        value "mode page $page" "$(limit 20 sg_modes --control=0 --page=$page "$path" | grep -E '^ *[0-9a-f]{2} ' | xargs)"
    done
    value "PR IN READ KEYS" "$(limit 20 sg_persist --no-inquiry --in --read-keys "$path" | xargs)"
}

# backstore_facts: what the kernel and rtslib have of the device.
backstore_facts() {
    local directory info
    directory=$(backstore disk_1)
    info=$(tr -s ' \n' '  ' < "$directory/info")
    value "info" "$info"
    step "info line" contains "$info" "Status: ACTIVATED" "Config: rbd/rbd/disk_1;osd_op_timeout=30 Size: $1" "MaxDataAreaMB: 8" \
        "DataPagesPerBlk: 1" "CmdRingSizeMB: 8" "HwMaxSectors: 1024"
    value "uio name" "$(cat /sys/class/uio/uio*/name | grep disk_1 | sed -E 's,/[0-9]+/,/N/,')" \
        "tcm-user/N/rbd.disk_1/rbd/rbd/disk_1;osd_op_timeout=30"
    value "attributes" "$(cd "$directory/attrib" && grep -s . cmd_time_out qfull_time_out emulate_write_cache emulate_pr hw_queue_depth \
        nl_reply_supported alua_support hw_block_size hw_max_sectors | xargs)"
    value "ALUA group" "$(cd "$directory/alua/ao" && grep -s . tg_pt_gp_id alua_access_state alua_access_type implicit_trans_secs preferred | xargs)" \
        "tg_pt_gp_id:1 alua_access_state:0 alua_access_type:Implicit implicit_trans_secs:45 preferred:0"
}

# service_map: what the manager, the status watcher and ceph -s know once the disk is open.
service_map() {
    local text
    text=$(on_host "ceph service dump --format json")
    value "service id" "$(/usr/bin/python3 -c '
import json, sys
print(*[d for d in json.load(sys.stdin)["services"].get("tcmu-runner", {}).get("daemons", {}) if ":" in d])' <<< "$text")" "gw1.test:rbd/disk_1"
    value "service metadata" "$(/usr/bin/python3 -c '
import json, sys
m = json.load(sys.stdin)["services"]["tcmu-runner"]["daemons"]["gw1.test:rbd/disk_1"]["metadata"]
m["image_id"] = "ID" if m.get("image_id") else ""
print(*[k + "=" + m.get(k, "absent") for k in ("pool_name", "image_name", "image_id", "daemon_type", "daemon_prefix", "hostname")])' <<< "$text")" \
        "pool_name=rbd image_name=disk_1 image_id=ID daemon_type=portal daemon_prefix=gw1.test hostname=gw1.test"
    value "service status keys" "$(service_status disk_1 keys)" "cmd_timed_out_cnt conn_lost_cnt lock_lost_cnt lock_owner"
    value "ceph -s" "$(on_host "ceph -s" | sed -nE 's/^ *(tcmu-runner:.*)/\1/p' | tr -s ' ')" "tcmu-runner: 1 portal active (1 hosts)"
}
