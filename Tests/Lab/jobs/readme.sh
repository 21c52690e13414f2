# The README's recipe for one's own image, executed as it stands there
# needs: ceph
# timeout: 200
ours || { say "the README is about tcmud; nothing to compare"; exit 0; }
start_daemon
rbd_image disk_1 $((64 << 20))
awk '/^```/ { if (inside && text ~ /core\/user_0\/disk_1/) { printf "%s", text; exit } inside = !inside; text = ""; next }
    inside { text = text $0 "\n" }' "$(dirname "$library")/../../README.md" > "$LAB_STATE/recipe.sh"
grep -q 'dev_config=rbd/rbd/disk_1' "$LAB_STATE/recipe.sh" || fail "the README has no recipe any more"
check "the recipe" limit 60 bash -e "$LAB_STATE/recipe.sh"
cat "$LAB_STATE/output"
grep -q 'TCMU device' "$LAB_STATE/output" || fail "lsscsi shows no TCMU device"
disk=$(lsscsi | awk '/TCMU device/ { print $NF }')
check "mkfs.ext4 on the README's disk" limit 60 mkfs.ext4 -q "$disk"
[[ $(sg_inq --page=0x80 "$disk") == *-*-*-* ]] || fail "the serial is not there"
target=/sys/kernel/config/target
rm "$target/loopback/naa.5001405000000001/tpgt_1/lun/lun_0/disk_1"
bounded 20 rmdir "$target/core/user_0/disk_1" || fail "removal"
stop_daemon
kernel_log_clean
