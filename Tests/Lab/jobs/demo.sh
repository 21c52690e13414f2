# What `make demo` shows: an RBD image as a SCSI disk, used and looked at from all sides
# needs: ceph
# suite: no
# timeout: 300
bytes=$((1 << 30))
mount=$LAB_STATE/mnt

headline() { printf '\n--- %s\n' "$*"; }

# daemon_view: what the daemon itself says about the LUN: ours writes a status line per unit to its log on
# SIGUSR1, the original has only its log. A status command of the daemon belongs here once there is one.
daemon_view() {
    local lines
    lines=$(daemon_log | wc -l)
    if ! ours; then
        daemon_log | tail -n 12
        return
    fi
    kill -USR1 "$daemon_pid"
    until_true 5 eval '(($(daemon_log | wc -l) > lines))' || fail "no status after SIGUSR1"
    sleep 0.5
    daemon_log | tail -n "+$((lines + 1))"
}

headline "an image in Ceph, and the daemon ($LAB_DAEMON) on kernel $(uname -r)"
rbd_image demo "$bytes"
start_daemon
headline "the image becomes a SCSI disk"
make_lun demo rbd/rbd/demo "$bytes"
attach demo
lsscsi -s
limit 20 sg_inq "$disk" | sed -n '/endor identification/,$p'
headline "a file system on it"
check "mkfs.ext4" limit 120 mkfs.ext4 -q "$disk"
check "mount" limit 60 mount "$disk" "$mount"
head -c 32000000 /dev/urandom > "$mount/data" || fail "write"
(cd "$mount" && sha256sum data) | tee "$LAB_STATE/sums"
check "umount" limit 60 umount "$mount"
blockdev --flushbufs "$disk"
check "mount again" limit 60 mount "$disk" "$mount"
check "the file read back has the same checksum" same_sums "$mount"
df -h "$mount"
check "umount" limit 60 umount "$mount"
headline "fio: 4 KiB random writes, every block read back and verified"
fio_verify "$disk" 16
headline "the daemon's view"
daemon_view
headline "Ceph's view"
on_host "ceph -s; rbd info rbd/demo; rbd du rbd/demo; rbd status rbd/demo"
headline "cleaning up"
remove_lun demo
stop_daemon
kernel_log_clean
