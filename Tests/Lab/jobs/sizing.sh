# What a LUN's settings leave room for: said in one line, a warning only if a setting limits the LUN; and it is so
# timeout: 150
ours || { note "only tcmud says it"; return 0; }
bytes=$((64 << 20))
start_daemon
# sized NAME LINE CONTROL…: a file LUN with these settings, and the one line of the daemon's log about them.
sized() {
    local name=$1 line=$2 said
    shift 2
    image_file "$name" "$bytes"
    make_lun "$name" "$(file_config "$image")" "$bytes" "$@"
    luns+=("$name")
    until_true 10 eval "daemon_log | grep -q 'file/$name: serving'" || fail "$name is not served"
    said=$(daemon_log | grep "file/$name: .*\(at once\|room for\)")
    equal "lines of the log about the sizing of $name" "$(grep -c . <<< "$said")" 1
    equal "$name" "${said#*file/"$name": }" "$line"
    # Whether it is a warning is whether there is something to change.
    if [[ $line == *"; raise"* || $line == *"; lower"* ]]; then level=warning; else level=info; fi
    [[ $said == *" $level "* ]] || fail "not at level $level: $said"
}
luns=()
depth="the queue depth of 128 is the bound;"
of="of a queue depth of 128;"
sized small "max_data_area_mb=1 lets 2 commands of 512 KiB run at once (256 of 4 KiB), $of raise max_data_area_mb to 128" \
    max_data_area_mb=1,hw_max_sectors=1024
sized ceph "max_data_area_mb=8 lets 16 commands of 512 KiB run at once (2048 of 4 KiB), $of raise max_data_area_mb to 128" \
    max_data_area_mb=8,hw_max_sectors=1024
sized advised "$depth max_data_area_mb=128 lets 256 commands of 512 KiB run at once (4096 of 4 KiB)" \
    max_data_area_mb=128,hw_max_sectors=1024
sized blocks "max_data_area_mb=64 with data_pages_per_blk=256 lets 64 commands of 512 KiB run at once (64 of 4 KiB), $of lower data_pages_per_blk to 128" \
    max_data_area_mb=64 data_pages_per_blk=256 hw_max_sectors=1024
sized ring "cmd_ring_size_mb=1 lets 62 commands of 4 MiB run at once (4096 of 4 KiB), $of raise cmd_ring_size_mb to 3" \
    cmd_ring_size_mb=1,hw_max_sectors=8192
sized none "max_data_area_mb=1 has no room for a command of 4 MiB, so that the kernel refuses it; raise max_data_area_mb to 1024" \
    max_data_area_mb=1,hw_max_sectors=8192

# in_ring NAME: commands in the ring of a daemon that stands still, read in the daemon's own mapping.
in_ring() {
    local node map
    node=$(basename "$(dirname "$(grep -l "/$1/" /sys/class/uio/*/name)")")
    map=$(awk -v node="/dev/$node" '$NF == node { print $1; exit }' "/proc/$daemon_pid/maps")
    perl -e '
        my ($start, $entry) = (hex $ARGV[1], 0);
        open(my $memory, "<:raw", "/proc/$ARGV[0]/mem") or die;
        sub words { sysseek($memory, $start + $_[0], 0) and sysread($memory, my $bytes, 4 * $_[1]) or die; unpack("L*", $bytes) }
        my (undef, $ring, $size, $head) = words(0, 4);
        my ($tail) = words(64, 1);
        for (my $count = 0; ; $tail = ($tail + ($entry & ~7)) % $size) {
            print("$count\n"), exit if $tail == $head;
            ($entry) = words($ring + $tail, 1);
            $count++ if ($entry & 7) == 1;
        }' "$daemon_pid" "${map%-*}"
}

# attached NAME: the disk of that LUN, without the unit attention for the LUNs made since, with which outstanding the
# initiator holds commands back.
attached() {
    attach "$1"
    echo none > "/sys/block/${disk##*/}/queue/scheduler"
    check "first read" limit 20 dd if="$disk" of=/dev/null bs=4k count=1 iflag=direct
}

# holds NAME BLOCK DEPTH EXPECTED: with DEPTH reads under way, that many are in the ring; the others wait in the kernel.
holds() {
    local name=$1 block=$2 queued=$3 expected=$4 fio_pid found
    kill -STOP "$daemon_pid"
    limit 60 fio --name="$name" --filename="$disk" --rw=read --bs="$block" --iodepth="$queued" --number_ios="$queued" \
        --size=64M --ioengine=libaio --direct=1 --eta=never --output="$LAB_STATE/fio.log" &
    fio_pid=$!
    until_true 30 eval "((\$(in_ring $name) >= $expected))"
    sleep 0.5
    found=$(in_ring "$name")
    kill -CONT "$daemon_pid"
    wait "$fio_pid" || fail "fio: $(tail -n 20 "$LAB_STATE/fio.log")"
    equal "reads of $block in the ring of $name, of $queued" "$found" "$expected"
}
attached small
holds small 512k 16 2
holds small 4k 400 256
attached blocks
holds blocks 4k 100 64
for name in "${luns[@]}"; do remove_lun "$name"; done
stop_daemon
kernel_log_clean
