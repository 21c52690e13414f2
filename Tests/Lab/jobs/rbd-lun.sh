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
stop_daemon
kernel_log_clean
