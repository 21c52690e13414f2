# The gateway's set-up in short: ceph-iscsi over REST, the initiator, identity, lock, resize, snapshot, removal, targetcli
# needs: ceph
# timeout: 900
# The whole of it, gwcli as well, is the job gateway.
source "$library/gateway.sh"
source "$library/gateway-identity.sh"
source "$library/gateway-steps.sh"
[[ -z ${LAB_HOST:-} ]] || fail "it is written for the lab's guest"
gateway_machine
if ours; then must "bus policy" bus_policy; fi
start_daemon
must "rbd-target-api starts, with no disk" start_api
create_with_rest 1G
backstore_facts $((1 << 30))
must "iscsid" start_initiator
step "a wrong CHAP password is refused" refused_password
must "login with CHAP" log_in "$chap_password"
disk=$(< "$LAB_STATE/disk")
identity "$disk"
step "INQUIRY, VPD, READ CAPACITY, RTPG, MODE SENSE take no lock" storm
service_map
value "lock_owner before the first write" "$(service_status disk_1 lock_owner)" false
step "the first write takes the lock" write_takes_lock
step "lock_owner is told" lock_owner_is_told
step "the manager restarts and is told all again" manager_restarts
step "xfs, checksums after umount and mount" file_system "$disk" xfs
step "REST: resize to 2 GiB, one UNIT ATTENTION" grown $((2 << 30)) rest_resize 2G
step "the new end can be written" write_at_end
step "a smaller size is refused" refused "must be larger than" PUT disk/rbd/disk_1 mode=resize size=1G
step "data before the snapshot" mark before
step "REST: snapshot" rest_snapshot snap1
step "data after the snapshot" mark after
step "REST: rollback is refused while logged in" refused "LUN disk_1 in-use" PUT disksnap/rbd/disk_1/snap1 mode=rollback
step "rbd-target-api: restart under I/O, the session comes back" restart_api
step "the data is still there" marked after
step "logout" log_out
step "REST: rollback" rollback snap1
step "login after the rollback" log_in "$chap_password"
step "the snapshot's data is back" marked before
step "logout at the end" log_out
step "REST: the snapshot deleted" rest_snapshot_gone snap1
delete_with_rest
step "rbd-target-api stops" stop_api
step "D-Bus: the object of rbd" bus_objects
step "targetcli: create and list" targetcli_creates
step "targetcli: saveconfig and clearconfig" targetcli_saves
step "targetcli: restoreconfig and delete" targetcli_restores
verdict
