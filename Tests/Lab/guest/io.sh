# shellcheck shell=bash
# What is done with a disk: SCSI queries, file systems, fio, discard. All of it takes the disk's path.

# image_file NAME BYTES: a sparse file in the guest's memory, its path in $image.
image_file() {
    image=$LAB_STATE/$1.img
    truncate -s "$2" "$image" || fail "no image file"
}

# image_on_disk NAME BYTES: the same on the guest's own disk, which knows O_DIRECT; its path in $image.
image_on_disk() {
    if ! mountpoint -q /mnt/disk; then
        mkdir -p /mnt/disk
        check "file system for images" limit 60 mkfs.ext4 -q -F -E lazy_itable_init=1,nodiscard /dev/ubda
        mount /dev/ubda /mnt/disk || fail "mount of the guest's disk"
    fi
    image=/mnt/disk/$1.img
    truncate -s "$2" "$image" || fail "no image file"
}

# rbd_image NAME BYTES: makes an image in the pool.
rbd_image() { check "rbd create $1" on_host "rbd create --size $(($2 >> 20))M rbd/$1"; }

# inquiries DISK BYTES CONFIG: identity and limits as initiators read them.
inquiries() {
    local path=$1 bytes=$2 config=$3 name=$4 text
    text=$(limit 20 sg_inq "$path") || fail "INQUIRY"
    equal "vendor" "$(sed -n 's/^ *Vendor identification: *//p' <<< "$text" | xargs)" LIO-ORG
    equal "product" "$(sed -n 's/^ *Product identification: *//p' <<< "$text" | xargs)" "TCMU device"
    for page in 0x00 0x80 0x83 0xb0 0xb1 0xb2; do
        check "VPD page $page" limit 20 sg_vpd -p "$page" "$path"
    done
    text=$(limit 20 sg_vpd -p 0x80 "$path")
    [[ $text == *"$(serial_of "$name")"* ]] || fail "serial number: $text"
    text=$(limit 20 sg_vpd -p 0x83 "$path")
    [[ $text == *"$config"* ]] || fail "no config string in VPD 83h: $text"
    equal "identifier" "$(grep -o '0x6001405[0-9a-f]*' <<< "$text" | head -1)" \
        "0x6001405$(serial_of "$name" | tr -d - | cut -c1-25)"
    check "READ CAPACITY(10)" limit 20 sg_readcap "$path"
    text=$(limit 20 sg_readcap --long "$path") || fail "READ CAPACITY(16)"
    equal "capacity" "$(sed -nE 's/.*Device size: ([0-9]+) bytes.*/\1/p' <<< "$text")" "$bytes"
    check "TEST UNIT READY" limit 20 sg_turs "$path"
    check "MODE SENSE" limit 20 sg_modes -a "$path"
}

# file_system DISK TYPE: makes one, and proves that what was written is there after umount and mount.
file_system() {
    local path=$1 type=$2 mount=$LAB_STATE/mnt number
    wipefs -qa "$path"
    check "mkfs.$type" limit 120 "mkfs.$type" -q "$path"
    check "mount $type" limit 60 mount -t "$type" "$path" "$mount"
    for number in 1 2 3; do
        head -c $((number * 3000001)) /dev/urandom > "$mount/file$number" || fail "write of file$number"
    done
    (cd "$mount" && sha256sum file*) > "$LAB_STATE/sums"
    check "umount" limit 120 umount "$mount"
    # So that the check reads the disk and not what the page cache still has.
    blockdev --flushbufs "$path"
    check "mount again" limit 60 mount -t "$type" "$path" "$mount"
    check "$type: checksums after umount and mount" same_sums "$mount"
    check "umount" limit 120 umount "$mount"
}

same_sums() { (cd "$1" && limit 120 sha256sum -c --quiet "$LAB_STATE/sums"); }

# fio_verify DISK [MEBIBYTES] [OPTION…]: random writes, then every block read back and its CRC checked.
fio_verify() {
    local path=$1 size=${2:-24} options
    shift
    shift || true
    options=(--name=verify --filename="$path" --rw=randwrite --bs=4k --size="${size}M" --iodepth=16
        --ioengine=libaio --direct=1 --verify=crc32c --verify_fatal=1 --verify_state_save=0 --randseed=7 "$@")
    check "fio: $size MiB of random writes to $path" limit 240 fio "${options[@]}" --do_verify=0
    fio_figures
    blockdev --flushbufs "$path"
    check "fio: read back and verified" limit 240 fio "${options[@]}" --verify_only
    fio_figures
}

# fio_figures [LOG]: operations per second of the fio run just checked, or of that log.
fio_figures() { sed -nE 's/^ +(read|write): (IOPS=[^,]+), (BW=[^ ]+).*/         \1 \2 \3/p' "${1:-$LAB_STATE/output}"; }

# discard DISK: the whole of it; what was written before must read as zeros. A note when it is not offered.
discard() {
    local path=$1
    if [[ $(< "/sys/block/${path##*/}/queue/discard_max_bytes") == 0 ]]; then
        note "no UNMAP here"
        return
    fi
    dd if=/dev/urandom of="$path" bs=1M count=8 oflag=direct status=none || fail "write before the discard"
    check "blkdiscard" limit 120 blkdiscard "$path"
    blockdev --flushbufs "$path"
    check "discarded blocks read as zeros" limit 60 cmp -n $((8 << 20)) "$path" /dev/zero
}

# disk_work DISK: all of the above that writes.
disk_work() {
    file_system "$1" ext4
    file_system "$1" xfs
    fio_verify "$1"
    discard "$1"
}
