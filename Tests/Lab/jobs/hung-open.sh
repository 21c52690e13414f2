# A backend whose open hangs: the kernel is answered in time, other devices come and go meanwhile
# timeout: 200
ours || { say "the original opens one device after another and never gives up; nothing to compare"; exit 0; }
bytes=$((64 << 20))
hanging_config
start_daemon --open-timeout 20
declare_lun hung "$config" "$bytes" || fail "configfs refuses the device"
began=$SECONDS
enable_aside hung "$LAB_STATE/hung.rc"
sleep 1
image_file good "$bytes"
make_lun good "$(file_config "$image")" "$bytes"
attach good
check "another LUN opened and read while the open hangs" limit 20 dd if="$disk" of=/dev/null bs=1M count=8
remove_lun good
[[ ! -e $LAB_STATE/hung.rc ]] || fail "the open did not hang: $(< "$LAB_STATE/hung.rc")"
say "ok: another LUN came, worked and went while the open hangs"
until_true 40 test -e "$LAB_STATE/hung.rc" || fail "the kernel is not answered"
read -r status seconds < "$LAB_STATE/hung.rc"
((seconds -= began))
equal "errno of the hung device" "$(errno_name "$status")" ETIMEDOUT
((seconds <= 30)) || fail "answered after $seconds s"
say "ok: answered after $seconds s"
daemon_log | grep -F 'rbd/hung' | sed 's/^/    log: /'
bounded 20 rmdir "$(device_directory hung)" || fail "the refused device cannot be removed"
image_file later "$bytes"
make_lun later "$(file_config "$image")" "$bytes"
remove_lun later
stop_daemon
