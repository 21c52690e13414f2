# What the size of the data area does to throughput and to small commands beside large ones, on a disk that takes 100 ms
# suite: no
# timeout: 600
# Ratios inside this run are what it is for. The disk answers so late that the guest's one processor never is the limit;
# with a backend that answers at once, two commands in flight are as good as a hundred.
rounds=3 seconds=4 latency=100 sizes=(1 8 64)
bytes=$((64 << 20))
check "modules for slow disks" eval 'modprobe brd rd_nr="${#sizes[@]}" rd_size=$((bytes >> 10)) && modprobe dm-delay'
start_daemon
declare -A disk_of=() sum=()
for index in "${!sizes[@]}"; do
    size=${sizes[index]}
    check "a disk of $latency ms" dmsetup create --noudevsync --noudevrules "slow$size" \
        --table "0 $((bytes >> 9)) delay /dev/ram$index 0 $latency"
    config=$(file_config "/dev/$(dmsetup info -c --noheadings -o blkdevname "slow$size")")
    if ours; then config+=";direct=on"; fi
    make_lun "area$size" "$config" "$bytes" "max_data_area_mb=$size,hw_max_sectors=1024"
    attach "area$size"
    disk_of[$size]=$disk
    echo none > "/sys/block/${disk##*/}/queue/scheduler"
done

# load SIZE BLOCK DEPTH SECONDS FIELD: random reads; says one field of fio's terse output (7: KiB/s, 40: mean latency, us).
load() {
    limit 60 fio --name=load --filename="${disk_of[$1]}" --rw=randread --bs="$2" --iodepth="$3" --ioengine=libaio --direct=1 \
        --time_based --runtime="$4" --output-format=terse --terse-version=3 | cut -d ';' -f "$5"
}
add() { sum[$1]=$((${sum[$1]:-0} + ${2%.*})); }
for ((round = 1; round <= rounds; round++)); do
    for size in "${sizes[@]}"; do
        large=$(load "$size" 512k 64 "$seconds" 7)
        small=$(load "$size" 4k 64 "$seconds" 7)
        load "$size" 512k 64 $((seconds + 3)) 7 > /dev/null &
        sleep 1.5
        beside=$(load "$size" 4k 1 "$seconds" 40)
        wait $!
        say "round $round, max_data_area_mb=$size: 512 KiB $large KiB/s, 4 KiB $small KiB/s, one 4 KiB beside the large ones $beside us"
        add "large $size" "$large"
        add "small $size" "$small"
        add "beside $size" "$beside"
    done
done
# ratio NUMBER BASE
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf("%.2f", a / b) }'; }
say "as ratios to max_data_area_mb=8, $rounds rounds, reads at depth 64:"
printf '%18s %20s %20s %30s\n' max_data_area_mb "512 KiB throughput" "4 KiB throughput" "4 KiB latency beside 512 KiB"
for size in "${sizes[@]}"; do
    printf '%18s %20s %20s %30s\n' "$size" "$(ratio "${sum[large $size]}" "${sum[large 8]}")" \
        "$(ratio "${sum[small $size]}" "${sum[small 8]}")" "$(ratio "${sum[beside $size]}" "${sum[beside 8]}")"
done
((sum[large 64] > sum[large 8] && sum[large 8] > sum[large 1])) || fail "a larger data area is no faster"
for size in "${sizes[@]}"; do remove_lun "area$size"; done
stop_daemon
kernel_log_clean
