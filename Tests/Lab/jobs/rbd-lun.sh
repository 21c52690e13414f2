# A LUN on an RBD image over tcm_loop: the same as file-lun, and Ceph's own view of the image
# needs: ceph
# timeout: 400
bytes=$((512 << 20))
# count PATTERN COMMAND: matching lines of a command on the host's side; no number when it failed.
count() {
    local text
    text=$(on_host "$2") || { echo "failed: $text"; return; }
    grep -c "$1" <<< "$text"
}
objects() { count '^rbd_data\.' "rados -p rbd ls"; }
start_daemon
rbd_image a "$bytes"
make_lun a rbd/rbd/a "$bytes"
attach a
inquiries "$disk" "$bytes" rbd/a a
equal "objects before the first write" "$(objects)" 0
if ours; then
    say "--- the very first command that writes waits for the exclusive lock and is carried out"
    head -c 512 /dev/urandom > "$LAB_STATE/first"
    equal "WRITE(10)" "$(sense -s 512 -i "$LAB_STATE/first" "/dev/$(ls "/sys/block/${disk##*/}/device/scsi_generic")" \
        2a 00 00 00 00 00 00 00 01 00)" good
    check "it is there" limit 60 cmp -n 512 "$disk" "$LAB_STATE/first"
    # The kernel repeats a command that got BUSY by itself; the daemon counts them.
    kill -USR1 "$daemon_pid"
    for _ in {1..50}; do
        status=$(daemon_log | sed -nE 's/.* check conditions, ([0-9]+ busy),.*/\1/p' | tail -n 1)
        [[ -z $status ]] || break
        sleep 0.1
    done
    equal "commands answered BUSY" "$status" "0 busy"
fi
file_system "$disk" ext4
file_system "$disk" xfs
fio_verify "$disk"
written=$(objects)
[[ $written =~ ^[1-9][0-9]*$ ]] || fail "fio wrote, but the image's objects are: $written"
say "ok: the image has $written objects in Ceph"
on_host "rbd du rbd/a" || fail "rbd du"
discard "$disk"
left=$(objects)
[[ $left =~ ^[0-9]+$ ]] && ((left < written)) || fail "$left objects after the discard of the whole disk, $written before"
say "ok: $left objects left after the discard"
remove_lun a
equal "watchers of the image after removal" "$(count 'watcher=' 'rbd status rbd/a')" 0

say "--- an image in a namespace, with a limit for its operations"
small=$((64 << 20))
check "a namespace" on_host "rbd namespace create rbd/ns1 && rbd create --size 64M rbd/ns1/image"
# The same name in the default namespace: a namespace that is overlooked would serve this one.
rbd_image image "$small"
config="rbd/rbd/ns1/image;osd_op_timeout=30"
if ! ours; then
    note "the original takes the namespace for a part of the image's name"
    config="rbd/rbd/image;osd_op_timeout=30"
fi
make_lun n "$config" "$small"
attach n
head -c 4M /dev/urandom > "$LAB_STATE/data"
check "write" limit 60 dd if="$LAB_STATE/data" of="$disk" bs=1M oflag=direct
check "read back" limit 60 cmp -n $((4 << 20)) "$disk" "$LAB_STATE/data"
if ours; then
    equal "the image in the namespace holds it" "$(on_host "rbd export rbd/ns1/image - 2> /dev/null | head -c 4194304 | sha256sum")" \
        "$(sha256sum < "$LAB_STATE/data")"
    equal "objects of the image of that name outside" "$(on_host 'rbd du rbd/image 2> /dev/null | tail -n 1 | tr -s " " | cut -d " " -f 4')" 0
fi
vital=$(limit 20 sg_vpd -p 0x83 "$disk") || fail "VPD page 83h"
[[ $vital == *"vendor specific: $config"* ]] || fail "VPD 83h is without the whole config string: $vital"
check "a snapshot of what was written" on_host "rbd snap create rbd/${config:8:-18}@s1"
check "something else over it" limit 60 dd if=/dev/zero of="$disk" bs=1M count=4 oflag=direct
remove_lun n

say "--- a snapshot"
if ours; then
    make_lun s rbd/rbd/ns1/image@s1 "$small"
    attach s
    equal "the disk is read-only" "$(blockdev --getro "$disk")" 1
    check "the snapshot reads as it was" limit 60 cmp -n $((4 << 20)) "$disk" "$LAB_STATE/data"
    # The disk's own node refuses whatever may write before the LUN sees it.
    generic=/dev/$(ls "/sys/block/${disk##*/}/device/scsi_generic")
    head -c 512 /dev/urandom > "$LAB_STATE/block"
    equal "WRITE(10)" "$(sense -s 512 -i "$LAB_STATE/block" "$generic" 2a 00 00 00 00 00 00 00 01 00)" 7/2700
    equal "WRITE SAME(16)" \
        "$(sense -s 512 -i "$LAB_STATE/block" "$generic" 93 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00)" 7/2700
    check "the snapshot still reads as it was" limit 60 cmp -n $((4 << 20)) "$disk" "$LAB_STATE/data"
    remove_lun s
else
    note "the original does not serve snapshots"
fi
stop_daemon
kernel_log_clean
