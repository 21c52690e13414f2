# The unit under a real systemd: it starts, outlives SIGHUP and kill -9, and is stopped only after what stands on its disks
# init: systemd
# timeout: 200
ours || { say "the unit is this project's own; nothing to compare"; return 0; }
bytes=$((64 << 20))
daemon_log() { journalctl --unit=tcmud --output=short-monotonic --no-pager; }
property() { systemctl show --value --property="$1" tcmud.service; }
unit_is() { [[ $(systemctl show --value --property=ActiveState "$1") == "$2" ]]; }
reads() { limit 20 dd if="$1" of=/dev/null bs=1M count=4 iflag=direct; }
# Compared in the image, which the disk's page cache has no part in.
writes_through() {
    head -c 1M /dev/urandom > "$LAB_STATE/pattern"
    limit 20 dd if="$LAB_STATE/pattern" of="$disk" bs=64k seek=16 oflag=direct conv=fsync &&
        cmp -n $((1 << 20)) -i 0:$((1 << 20)) "$LAB_STATE/pattern" "$image"
}

say "--- the start"
until_true 60 unit_is tcmud.service active || fail "the unit is $(property ActiveState), result $(property Result)"
say "ok: active, process $(property MainPID)"
equal "type" "$(property Type)" notify
equal "restarts until now" "$(property NRestarts)" 0
# The hardening is in force, not only written down.
status=/proc/$(property MainPID)/status
equal "no new privileges" "$(awk '/^NoNewPrivs/ { print $2 }' "$status")" 1
equal "system calls are filtered" "$(awk '/^Seccomp:/ { print $2 }' "$status")" 2
until_true 20 busctl --system status org.kernel.TCMUService1 || fail "no name on the bus"
say "ok: the bus name is owned"
image_file a "$bytes"
make_lun a "$(file_config "$image")" "$bytes"
attach a
check "the LUN is written" writes_through
check "the LUN is read" reads "$disk"

say "--- SIGHUP"
before=$(property MainPID)
systemctl kill --signal=HUP tcmud || fail "systemctl kill"
until_true 10 eval 'daemon_log | grep -q "SIGHUP"' || fail "the daemon says nothing of SIGHUP"
equal "state" "$(property ActiveState)" active
equal "process" "$(property MainPID)" "$before"
check "the LUN is read" reads "$disk"

say "--- kill -9, under I/O"
fio --name=killed --filename="$disk" --rw=randwrite --bs=4k --offset=32M --size=8M --iodepth=8 --ioengine=libaio --direct=1 \
    --verify=crc32c --verify_fatal=1 --verify_state_save=0 --eta=never --rate_iops=500 --output="$LAB_STATE/fio.log" &
fio_pid=$!
sleep 1
kill -9 "$before"
until_true 20 eval '[[ $(property NRestarts) == 1 ]] && unit_is tcmud.service active' ||
    fail "not restarted: $(property ActiveState), $(property NRestarts) restarts"
[[ $(property MainPID) != "$before" ]] || fail "the same process"
say "ok: restarted, process $(property MainPID)"
bounded 60 wait_for_process "$fio_pid" || fail "fio hangs"
wait "$fio_pid" || fail "fio: $(tail -n 20 "$LAB_STATE/fio.log")"
say "ok: fio wrote and verified across it"
check "the LUN is written" writes_through

say "--- a crash loop: the first restarts follow at once, then the pauses grow, and the LUN works after it"
restarts=$(property NRestarts) crashes=4
for ((crash = 1; crash <= crashes; ++crash)); do
    until_true 30 unit_is tcmud.service active || fail "the unit is $(property ActiveState) after crash $((crash - 1))"
    kill -9 "$(property MainPID)"
    until_true 30 eval '(($(property NRestarts) >= restarts + crash))' || fail "not restarted after crash $crash"
done
until_true 30 unit_is tcmud.service active || fail "the unit is $(property ActiveState) after $crashes crashes in a row"
daemon_log | grep -q 'start [5-9] in a row, none of which lasted a minute; this one goes on in [1-9][0-9]* s' ||
    fail "the daemon makes no pause after $crashes crashes in a row: $(daemon_log | grep 'in a row')"
say "ok: $crashes more crashes in a row, $(property NRestarts) restarts, with a pause before the last start"
check "the LUN is written" writes_through
check "the LUN is read" reads "$disk"

say "--- the power-off, with a file system and dirty data on the LUN"
mount_point=/mnt/lun
mkdir -p "$mount_point"
check "mkfs.ext4" limit 60 mkfs.ext4 -q -F "$disk"
# Stands in for Debian's service that clears the target, with the order towards mounts that this one lacks. It tells what it found.
cat > "$LAB_STATE/clear" << SCRIPT
#!/bin/bash
echo "mount \$(systemctl is-active mnt-lun.mount), daemon \$(systemctl is-active tcmud)" > "$LAB_STATE/cleared"
rm "$loop/lun/lun_${lun_of[a]}/lab" && rmdir "$loop/lun/lun_${lun_of[a]}" && rmdir "$(device_directory a)"
SCRIPT
chmod 755 "$LAB_STATE/clear"
printf '%s\n' '[Unit]' 'Before=remote-fs-pre.target' '[Service]' Type=oneshot RemainAfterExit=yes ExecStart=/bin/true \
    "ExecStop=$LAB_STATE/clear" > /run/systemd/system/rtslib-fb-targetctl.service
check "systemd reads the unit" systemctl daemon-reload
check "the target's service" systemctl start rtslib-fb-targetctl.service
# No page is written back before somebody asks for it.
echo 360000 > /proc/sys/vm/dirty_expire_centisecs
echo 0 > /proc/sys/vm/dirty_writeback_centisecs
check "mount" limit 20 mount -o _netdev "$disk" "$mount_point"
until_true 10 unit_is mnt-lun.mount active || fail "systemd does not know of the mount"
head -c 20M /dev/urandom > "$mount_point/file"
sum=$(sha256sum < "$mount_point/file")
debugfs -R "cat /file" "$image" 2> /dev/null | sha256sum | grep -q "${sum%% *}" && fail "the data is in the image already"
say "ok: the data is dirty, not in the image"
began=$SECONDS
systemctl --no-block --job-mode=replace-irreversibly start poweroff.target
until_true 60 unit_is tcmud.service inactive || fail "the unit is $(property ActiveState), the mount $(systemctl is-active mnt-lun.mount)"
say "ok: the daemon is stopped $((SECONDS - began)) s after the power-off was asked for"
# A file system that waits for a daemon that is gone waits 90 s.
((SECONDS - began <= 40)) || fail "that took too long"
# Not mountpoint: a mount leaves the table before its data is written.
equal "the mount's unit by then" "$(systemctl show --value --property=ActiveState mnt-lun.mount)" inactive
equal "result of the mount's unit" "$(systemctl show --value --property=Result mnt-lun.mount)" success
equal "result of the daemon's unit" "$(property Result)" success
equal "when the target was cleared" "$(< "$LAB_STATE/cleared")" "mount inactive, daemon active"
equal "result of the target's unit" "$(systemctl show --value --property=Result rtslib-fb-targetctl.service)" success
check "the file system in the image is clean" e2fsck -fn "$image"
equal "the file in the image" "$(debugfs -R "cat /file" "$image" 2> /dev/null | sha256sum)" "$sum"
kernel_log_clean
