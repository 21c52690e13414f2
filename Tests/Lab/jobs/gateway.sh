# The install guide's whole scenario on one gateway: ceph-iscsi, gwcli, REST and targetcli as they are, with an initiator
# needs: ceph
# suite: no
# timeout: 2400
# `make gateway-lab` runs it and shows the table; records.jsonl in --results has a line per step and per value.
# --set PARTS="…" leaves the others out: main purge targetcli explicit growth.
source "$library/gateway.sh"
source "$library/gateway-identity.sh"
source "$library/gateway-steps.sh"
[[ -z ${LAB_HOST:-} ]] || fail "it is written for the lab's guest"

the_guides_scenario() {
    step "rbd-target-gw starts" start_exporter
    step "gwcli ls, with nothing there" gw ls

    say "--- made with gwcli"
    create_with_gwcli
    step "targetcli shows it" targetcli_shows
    step "the exporter shows it" exporter_shows
    backstore_facts $((90 << 30))

    say "--- the initiator"
    step "a wrong CHAP password is refused" refused_password
    must "login with CHAP" log_in "$chap_password"
    disk=$(< "$LAB_STATE/disk")
    identity "$disk"
    step "INQUIRY, VPD, READ CAPACITY, RTPG, MODE SENSE take no lock" storm
    step "one watcher" one_watcher
    step "a read takes no lock" read_keeps_lock_free
    service_map
    value "lock_owner before the first write" "$(service_status disk_1 lock_owner)" false
    step "the first write takes the lock" write_takes_lock
    step "lock_owner is told" lock_owner_is_told
    step "the API knows the owner" api_knows_owner
    step "the API says Online" api_online

    say "--- in use"
    step "ext4, checksums after umount and mount" file_system "$disk" ext4
    step "fio with crc32c verify" fio_verify "$disk" 16
    step "gwcli: resize to 91 GiB, one UNIT ATTENTION" grown $((91 << 30)) gwcli_resize 91G
    step "REST: resize to 92 GiB, one UNIT ATTENTION" grown $((92 << 30)) rest_resize 92G
    step "the new end can be written" write_at_end
    step "a smaller size is refused" refused "must be larger than" PUT disk/rbd/disk_1 mode=resize size=91G
    step "data before the snapshot" mark before
    step "gwcli: snapshot" gwcli_snapshot snap1
    step "REST: another snapshot" rest_snapshot snap2
    step "data after the snapshots" mark after
    step "REST: rollback is refused while logged in" refused "LUN disk_1 in-use" PUT disksnap/rbd/disk_1/snap1 mode=rollback
    step "REST: a snapshot deleted" rest_snapshot_gone snap2
    step "rbd-target-api: reload under I/O, no device made anew" reload_api
    step "rbd-target-api: restart under I/O, the session comes back" restart_api
    step "the data is still there" marked after

    say "--- logged out"
    step "logout" log_out
    step "REST: rollback" rollback snap1
    step "REST: the other snapshot deleted" rest_snapshot_gone snap1
    step "gwcli: reconfigure max_data_area_mb" gw_then /disks/rbd/disk_1 reconfigure max_data_area_mb 64 -- \
        "d['disks']['rbd/disk_1']['controls'].get('max_data_area_mb')" 64
    step "it reaches the device" contains "$(cat "$(backstore disk_1)/info")" "MaxDataAreaMB: 64"
    if step "login after rollback and reconfigure" log_in "$chap_password"; then disk=$(< "$LAB_STATE/disk"); fi
    step "the snapshot's data is back" marked before
    step "logout at the end" log_out
    delete_with_gwcli
    step "REST: client deleted" api DELETE "client/$target_name/$client_name"
    step "REST: target deleted" api DELETE "target/$target_name"
}

purge_order() {
    create_with_rest 2G
    step "the daemon stopped before LIO is cleared, then the image deleted" purge
    # The daemon of the next part is started anew.
    wait "$daemon_pid"
    start_daemon
}

with_targetcli() {
    step "D-Bus: the object of rbd" bus_objects
    step "targetcli: create and list" targetcli_creates
    step "targetcli: saveconfig and clearconfig" targetcli_saves
    step "targetcli: restoreconfig and delete" targetcli_restores
    step "targetcli: an image that is not there is named" targetcli_says rbd/absent absent
    step "targetcli: a pool that is not there is named" targetcli_says nopool/cli nopool
}

explicit_alua() {
    if api_ready 2> /dev/null; then stop_api; fi
    gateway_settings "alua_failover_type = explicit"
    must "rbd-target-api starts, with explicit ALUA" start_api
    create_with_rest 1G
    # A login that finds no disk may not be waited for as long as one that does.
    if step "explicit ALUA: login" log_in "$chap_password"; then
        disk=$(< "$LAB_STATE/disk")
        step "explicit ALUA: INQUIRY, RTPG, write, read" explicit_usable
    fi
    node_limit=30 step "explicit ALUA: logout" log_out
    delete_with_rest
    step "rbd-target-api stops" stop_api
}

grown_out_of_band() {
    step "an image grown behind the gateway, its lock stolen" grown_behind
    disk=$(< "$LAB_STATE/disk")
    step "it is written and read on, at the size exported" written_after_growth
    step "the size is made up for" size_made_up_for
}

parts=" ${PARTS:-main purge targetcli explicit growth} "
gateway_machine
if ours; then must "bus policy" bus_policy; fi
start_daemon
must "iscsid" start_initiator
if [[ $parts == *" main "* || $parts == *" purge "* ]]; then must "rbd-target-api starts, with no disk" start_api; fi
[[ $parts != *" main "* ]] || the_guides_scenario
[[ $parts != *" purge "* ]] || purge_order
say "--- targetcli"
[[ $parts != *" targetcli "* ]] || with_targetcli
say "--- explicit ALUA"
[[ $parts != *" explicit "* ]] || explicit_alua
say "--- an image that grows out of band"
[[ $parts != *" growth "* ]] || grown_out_of_band
verdict
