# RECONFIG: what cannot change is refused with a true errno, what is the same is fine, and the unit goes on
# timeout: 150
bytes=$((64 << 20))
start_daemon
image_file a "$bytes"
make_lun a "$(file_config "$image")" "$bytes"
attach a
directory=$(device_directory a)
# reconfigured TITLE ATTRIBUTE VALUE ERRNO: writes an attribute; the kernel asks the daemon first.
reconfigured() {  # 95 is EOPNOTSUPP
    local status=0
    bounded 30 put "$directory/attrib/$2" "$3" || status=$?
    ((status != 124)) || fail "$1 is not answered"
    if ours; then
        equal "$1: errno" "$status" "$4"
    else
        note "$1: the original's answer: $status"
    fi
}
reconfigured "the same size" dev_size "$bytes" 0
reconfigured "another size" dev_size $((2 * bytes)) 95
reconfigured "a write cache" emulate_write_cache 1 95
check "the unit reads on" limit 20 dd if="$disk" of=/dev/null bs=1M count=8 iflag=direct
equal "its size" "$(blockdev --getsize64 "$disk")" "$bytes"
remove_lun a
stop_daemon
kernel_log_clean
