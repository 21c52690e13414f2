# SCSI commands one by one with sg3-utils, what each leaves on the medium, refusals with their sense, and ALUA
# timeout: 200
bytes=$((64 << 20))
start_daemon
image_file a "$bytes"
make_lun a "$(file_config "$image")" "$bytes"
attach a

# scsi_work DISK CAN_UNMAP WCE DPOFUA
scsi_work() {
    local path=$1 blocks=$((bytes / lun_block))
    provisioning "$path" "$2"
    mode_flags "$path" "$3" "$4"
    small_commands "$path"
    fill "$path"
    compare_and_write "$path"
    write_same "$path" "$2"
    if (($2)); then unmap "$path"; fi
    refusals "$path" "$blocks"
    read6 "$path"
    same_as_model "after all of it" "$path"
}

say "--- $disk, on a file"
if ours; then
    scsi_work "$disk" 1 1 1
else
    note "the original's stand-in for a file cannot unmap"
    scsi_work "$disk" 0 1 1
fi

detach a

say "--- ALUA over iSCSI, set up as rtslib and ceph-iscsi do"
group=$(device_directory a)/alua/ao
mkdir "$group" || fail "no target port group"
put "$group/tg_pt_gp_id" 16 || fail "the group's identifier"
put "$group/alua_access_type" 1 || fail "the group's access type"
export_iscsi a
put "$iscsi/lun/lun_0/alua_tg_pt_gp" ao || fail "the LUN cannot join its group"
iscsi_login
# rtpg: "GROUP STATE" of the group with our identifier, both in hex.
rtpg() {
    limit 20 sg_rtpg "$@" "$disk" | awk '
        /target port group id/ { id = $6 }
        /target port group asymmetric access state/ && id == "0x10" { print id, $NF }'
}
limit 20 sg_rtpg "$disk" || fail "REPORT TARGET PORT GROUPS"
equal "standard INQUIRY's TPGS" "$(limit 20 sg_inq "$disk" | sed -nE 's/.*TPGS=([0-9]).*/\1/p')" 1
text=$(limit 20 sg_vpd -p di "$disk") || fail "VPD page 83h"
equal "VPD 83h, target port group" "$(sed -nE 's/.*Target port group: *//p' <<< "$text")" 0x10
equal "VPD 83h, relative port" "$(sed -nE 's/.*Relative target port: *//p' <<< "$text")" \
    "0x$(printf %x "$(< "$iscsi/lun/lun_0/statistics/scsi_port/indx")")"
equal "state" "$(rtpg)" "0x10 0x00"
equal "state, extended format" "$(rtpg --extended)" "0x10 0x00"
agree "the extended answer's format byte" "$(limit 20 sg_rtpg --extended --raw "$disk" | od -An -tx1 -j 4 -N 1 | xargs)" 10
put "$group/alua_access_state" 1 || fail "the group's state cannot be changed"
until_true 15 eval '[[ $(rtpg) == "0x10 0x01" ]]' || fail "active/non optimized is not told: $(rtpg)"
say "ok: a new state in configfs is told to the initiator"
check "I/O in the new state" limit 20 dd if="$disk" of=/dev/null bs=1M count=4 iflag=direct
iscsi_logout
unexport_iscsi
rmdir "$group" || fail "the group cannot be removed"

if ours; then
    make_lun b mem/b "$bytes"
    attach b
    say "--- $disk, in memory"
    scsi_work "$disk" 1 0 1
    remove_lun b
else
    note "the original has no unit in memory"
fi
remove_lun a
stop_daemon
kernel_log_clean
