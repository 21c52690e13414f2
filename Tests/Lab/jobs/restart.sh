# The daemon stopped and started, then killed, under a file LUN that is mounted and written, its write cache switched off
# timeout: 400
bytes=$((512 << 20))
cache_type() { put "$(echo /sys/block/"${disk##*/}"/device/scsi_disk/*/cache_type)" "$1" || fail "cache_type $1"; }

# as_left: the write cache is off for a daemon that did not hear of it, and no word of a change comes.
as_left() {
    ours || return 0
    mode_flags "$disk" 0 1
    equal "the first command" "$(sense "$disk" 00 00 00 00 00 00)" good
}

# select_cache WCE: MODE SELECT (6) of the caching page.
select_cache() {
    perl -e 'print pack("C24", 0, 0, 0, 0, 8, 18, $ARGV[0] << 2)' "$1" > "$LAB_STATE/list"
    equal "MODE SELECT, WCE=$1" "$(sense -s 24 -i "$LAB_STATE/list" "$disk" 15 10 00 00 18 00)" good
}

# told ANSWER: the next command's answer after a MODE SELECT.
told() { equal "the command after it" "$(sense "$disk" 00 00 00 00 00 00)" "$1"; }

start_daemon
image_file a "$bytes"
make_lun a "$(file_config "$image")" "$bytes"
attach a
if ours; then
    cache_type "write through"
    as_left
fi
restart_work "$disk" as_left
if ours; then
    say "--- one session is not told of its own change, of several the next one is"
    select_cache 1
    told good
    other=${loop%/*/*}/naa.5001405770000009/tpgt_1
    mkdir -p "$other/lun/lun_0" && put "$other/nexus" naa.500140577000000a && ln -s "$(device_directory a)" "$other/lun/lun_0/lab" ||
        fail "a second session"
    sense "$disk" 00 00 00 00 00 00 > /dev/null
    select_cache 0
    told 6/2a01
    told good
    rm "$other/lun/lun_0/lab" && rmdir "$other/lun/lun_0" "$other" "${other%/*}" || fail "the second session stays"
fi
remove_lun a
until_true 10 eval '! compgen -G "/run/tcmud/modes*"' || fail "mode parameters outlive their LUN: $(ls /run/tcmud)"
stop_daemon
kernel_log_clean
