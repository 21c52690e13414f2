# The daemon is stopped while a backend's open hangs, and started while an image is missing: nobody hangs with it
# timeout: 250
ours || { say "the original opens one device after another and cannot be stopped meanwhile; nothing to compare"; exit 0; }
bytes=$((64 << 20))
hanging_config

# stop_while_opening SIGNAL: whoever waits for the open gets an errno, the daemon ends in order.
stop_while_opening() {
    local began status seconds answer=$LAB_STATE/hung.$1
    start_daemon
    declare_lun "hung$1" "$config" "$bytes" || fail "configfs refuses the device"
    enable_aside "hung$1" "$answer"
    sleep 3
    [[ ! -e $answer ]] || fail "the open did not hang: $(< "$answer")"
    began=$SECONDS
    stop_daemon "$1"
    say "ended $((SECONDS - began)) s after SIG$1"
    until_true $((began + 20 - SECONDS)) test -e "$answer" || fail "who enables the device hangs on after SIG$1"
    read -r status seconds < "$answer"
    [[ $status != 0 ]] || fail "a device that nobody opened was enabled"
    [[ $status != 124 ]] || fail "who enables the device hangs on after SIG$1"
    say "ok: who enables the device had $(errno_name "$status") ($status) $((seconds - began)) s after SIG$1"
    bounded 20 rmdir "$(device_directory "hung$1")" || fail "the refused device cannot be removed"
}
stop_while_opening TERM
stop_while_opening INT

start_daemon
image_file a "$bytes"
file=$image
make_lun a "$(file_config "$file")" "$bytes"
attach a
head -c 4M /dev/urandom > "$LAB_STATE/data"
check "write before the stop" limit 30 dd if="$LAB_STATE/data" of="$disk" bs=1M oflag=direct
stop_daemon INT
gate=$(device_directory a)/action/block_dev
equal "the device without a daemon" "$(< "$gate")" unblocked

mv "$file" "$file.away"
start_daemon
until_true 20 eval 'daemon_log | grep -F "file/a" | grep -F "$file" | grep -q "next attempt\|cannot be opened"' ||
    fail "no line about the missing image"
equal "the device whose image is missing" "$(< "$gate")" blocked
check "a command is answered BUSY" eval '[[ $(sense -t 2 "$disk" 00 00 00 00 00 00) == Busy ]]'
stop_daemon
equal "the device after SIGTERM while its image is missing" "$(< "$gate")" unblocked
start_daemon
until_true 20 eval '[[ $(< "$gate") == blocked ]]' || fail "not blocked again"
mv "$file.away" "$file"
# Attempts come after 1, 2, 4 … s.
until_true 30 eval '[[ $(< "$gate") == unblocked ]]' || fail "the image is back, but the device stays blocked"
say "ok: the image is back, the device serves again without a restart"
check "read afterwards" limit 30 dd if="$disk" of="$LAB_STATE/read" bs=1M count=4 iflag=direct
check "the data is what was written" cmp "$LAB_STATE/read" "$LAB_STATE/data"
remove_lun a
stop_daemon
kernel_log_clean
