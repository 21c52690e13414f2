# A LUN on an RBD image over tcm_loop: the same as file-lun, and Ceph's own view of the image
# needs: ceph
# timeout: 400
bytes=$((512 << 20))
objects() { on_host "rados -p rbd ls" | grep -c "^rbd_data\."; }
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
((written > 0)) || fail "fio wrote, but the image has no objects"
say "ok: the image has $written objects in Ceph"
on_host "rbd du rbd/a"
discard "$disk"
left=$(objects)
((left < written)) || fail "$left objects after the discard of the whole disk, $written before"
say "ok: $left objects left after the discard"
remove_lun a
equal "watchers of the image after removal" "$(on_host 'rbd status rbd/a' | grep -c 'watcher=')" 0
stop_daemon
kernel_log_clean
