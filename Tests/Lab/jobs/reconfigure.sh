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
reconfigured "more than the file has" dev_size $((2 * bytes)) 22
# Tools that restore a configuration write every attribute back that they have saved.
reconfigured "the write cache's attribute as it is" emulate_write_cache "$(< "$directory/attrib/emulate_write_cache")" 0
reconfigured "a write cache, which the unit has" emulate_write_cache 1 0
agree "the kernel's view of the cache" "$(cat "/sys/block/${disk##*/}/device/scsi_disk"/*/cache_type)" "write back"
reconfigured "no write cache" emulate_write_cache 0 95
check "the unit reads on" limit 20 dd if="$disk" of=/dev/null bs=1M count=8 iflag=direct
equal "its size" "$(blockdev --getsize64 "$disk")" "$bytes"

if ours; then
    say "--- the file grows, and the LUN after it"
    check "growing the file" truncate -s $((2 * bytes)) "$image"
    reconfigured "less than the disk had" dev_size $((bytes - 4096)) 22
    reconfigured "the file's new size" dev_size $((2 * bytes)) 0
    equal "the kernel's size" "$(sed -nE 's/.* Size: ([0-9]+).*/\1/p' "$directory/info")" $((2 * bytes))
    # TEST UNIT READY through sg, which takes the unit attention that the disk driver would swallow.
    generic=/dev/$(ls "/sys/block/${disk##*/}/device/scsi_generic")
    equal "a unit attention" "$(sense "$generic" 00 00 00 00 00 00)" 6/2a09
    equal "one" "$(sense "$generic" 00 00 00 00 00 00)" good
    check "a look at the disk" put "/sys/block/${disk##*/}/device/rescan" 1
    equal "the disk's size" "$(blockdev --getsize64 "$disk")" $((2 * bytes))
    check "a write to the new blocks" limit 20 dd if=/dev/urandom of="$disk" bs=1M seek=$((bytes >> 20)) count=64 oflag=direct
    check "its flush" blockdev --flushbufs "$disk"
    check "the same in disk and file" limit 60 cmp "$disk" "$image"
    reconfigured "the old size" dev_size "$bytes" 22
    for words in "has $bytes bytes, $((2 * bytes)) were asked for" "cannot change from $((2 * bytes)) to $bytes bytes" \
        "emulate_write_cache cannot become 0" "resized from $bytes to $((2 * bytes)) bytes"; do
        daemon_log | grep -F "file/a: " | grep -q -F -- "$words" || fail "no line in the log says '$words'"
    done
    say "ok: the log says what was refused, and why"
fi
remove_lun a

say "--- a unit without a write cache"
if ours; then
    make_lun b mem/b "$bytes"
    directory=$(device_directory b)
    reconfigured "no write cache, as it is" emulate_write_cache 0 0
    reconfigured "a write cache" emulate_write_cache 1 95
    reconfigured "another size" dev_size $((2 * bytes)) 95
    remove_lun b
fi
stop_daemon
kernel_log_clean
