# shellcheck shell=bash
# Single SCSI commands through sg3-utils, and what must be on the medium after each.
#
# The first MiB of a disk is known: $model, a file, holds what it must read as. A job changes both and compares
# the whole of it, so that a command that also touches its neighbour's blocks is found out.

model=$LAB_STATE/model
model_bytes=$((1 << 20))
lun_block=512
block_out=$LAB_STATE/block

# agree TITLE GOT EXPECTED: like `equal`, but where the original differs it is only told.
agree() {
    if ours || [[ $2 == "$3" ]]; then
        equal "$@"
    else
        note "$1: the original has '$2' where '$3' is meant"
    fi
}

# sense DISK [OPTION…] BYTE…: one CDB by sg_raw; says "good", "KEY/ASCASCQ" in hex, or the status in words.
sense() {
    local text
    text=$(limit 60 sg_raw -v "$@" 2>&1)
    case $text in
        *'Raw sense data'*)
            awk '/Raw sense data/ { getline; printf "%s/%s%s\n", substr($3, 2), $13, $14 }' <<< "$text" ;;
        *'SCSI Status: Good'*) echo good ;;
        *) sed -n 's/^SCSI Status: *//p' <<< "$text" | sed 's/ *$//' | grep . || echo "${text:-nothing}" ;;
    esac
}

# lba16 LBA BLOCKS: the twelve bytes in the middle of a 16-byte CDB.
lba16() { printf '%02x ' $(($1 >> 56 & 255)) $(($1 >> 48 & 255)) $(($1 >> 40 & 255)) $(($1 >> 32 & 255)) \
    $(($1 >> 24 & 255)) $(($1 >> 16 & 255)) $(($1 >> 8 & 255)) $(($1 & 255)) \
    0 0 $(($2 >> 8 & 255)) $(($2 & 255)); }

# fill DISK: random bytes, remembered.
fill() {
    head -c "$model_bytes" /dev/urandom > "$model"
    dd if="$model" of="$1" bs=64k oflag=direct status=none || fail "first write to $1"
}

# new_block: random bytes of one block in $block_out.
new_block() { head -c "$lun_block" /dev/urandom > "$block_out"; }

# expect_blocks LBA BLOCKS FILE: from now on the medium must read as FILE's one block, again and again.
expect_blocks() {
    perl -e 'local $/; open(F, "<", $ARGV[0]); print <F> x $ARGV[1]' "$3" "$2" |
        dd of="$model" bs="$lun_block" seek="$1" conv=notrunc iflag=fullblock status=none
}

# expect_zeros LBA BLOCKS
expect_zeros() { dd if=/dev/zero of="$model" bs="$lun_block" seek="$1" count="$2" conv=notrunc status=none; }

# same_as_model TITLE DISK: the known part of the disk, read past the page cache.
same_as_model() {
    limit 60 dd if="$2" of="$LAB_STATE/read" bs=64k count=$((model_bytes >> 16)) iflag=direct status=none ||
        fail "$1: read"
    if cmp "$LAB_STATE/read" "$model" > "$LAB_STATE/output" 2>&1; then
        say "ok: $1: the medium reads as it must"
    elif ours; then
        fail "$1: $(< "$LAB_STATE/output")"
    else
        note "$1: the original: $(< "$LAB_STATE/output")"
        cp "$LAB_STATE/read" "$model"
    fi
}

# compare_and_write DISK: matching blocks are replaced, others are left alone.
compare_and_write() {
    local path=$1 status=0
    new_block
    dd if="$model" of="$LAB_STATE/both" bs="$lun_block" skip=10 count=1 status=none
    cat "$block_out" >> "$LAB_STATE/both"
    check "COMPARE AND WRITE of what is there" limit 20 sg_compare_and_write --in="$LAB_STATE/both" --lba=10 "$path"
    expect_blocks 10 1 "$block_out"
    same_as_model "COMPARE AND WRITE that matches" "$path"
    # The same again: block 10 is no longer what is compared with.
    limit 20 sg_compare_and_write --in="$LAB_STATE/both" --lba=10 "$path" > "$LAB_STATE/output" 2>&1 || status=$?
    equal "COMPARE AND WRITE of what is not there, sg3-utils' status for MISCOMPARE" "$status" 14
    # shellcheck disable=SC2046
    agree "its sense" "$(sense -s $((2 * lun_block)) -i "$LAB_STATE/both" "$path" 89 00 \
        $(lba16 10 1) 00 00)" e/1d00
    same_as_model "COMPARE AND WRITE that does not match" "$path"
}

# write_same DISK CAN_UNMAP: both forms, with and without the wish to unmap.
write_same() {
    local path=$1 can_unmap=$2
    new_block
    check "WRITE SAME(10)" limit 20 sg_write_same --10 --in="$block_out" --lba=20 --num=30 "$path"
    expect_blocks 20 30 "$block_out"
    same_as_model "WRITE SAME(10) with a pattern" "$path"
    new_block
    check "WRITE SAME(16)" limit 20 sg_write_same --16 --in="$block_out" --lba=100 --num=1000 "$path"
    expect_blocks 100 1000 "$block_out"
    same_as_model "WRITE SAME(16) with a pattern" "$path"
    if ((can_unmap)); then
        check "WRITE SAME(16) with UNMAP" limit 20 sg_write_same --16 --unmap --lba=205 --num=301 "$path"
        expect_zeros 205 301
        same_as_model "WRITE SAME(16) with UNMAP and zeros" "$path"
        check "WRITE SAME(10) with UNMAP" limit 20 sg_write_same --10 --unmap --ff --lba=300 --num=100 "$path"
        perl -e 'print "\xff" x $ARGV[0]' "$lun_block" > "$block_out"
        expect_blocks 300 100 "$block_out"
        same_as_model "WRITE SAME(10) with UNMAP and a pattern that no unmapped block has" "$path"
    else
        # UNMAP = 1 where it cannot be had is an invalid field, not a silent success.
        agree "WRITE SAME(16) with UNMAP" "$(sense -s "$lun_block" -i "$block_out" "$path" 93 08 00 00 00 00 00 00 00 00 \
            00 00 00 01 00 00)" 5/2400
        dd if="$path" of="$LAB_STATE/first" bs="$lun_block" count=1 iflag=direct status=none
        dd if="$LAB_STATE/first" of="$model" bs="$lun_block" count=1 conv=notrunc status=none
    fi
    local answer
    answer=$(sense "$path" 93 01 00 00 00 00 00 00 02 58 00 00 00 c8 00 00)
    agree "WRITE SAME(16) with NDOB" "$answer" good
    if [[ $answer == good ]]; then
        expect_zeros 600 200
        same_as_model "WRITE SAME(16) with NDOB" "$path"
    fi
}

# unmap DISK: two ranges in one command, neither aligned to anything.
unmap() {
    fill "$1"
    check "UNMAP" limit 20 sg_unmap --force --lba=3,700 --num=130,257 "$1"
    expect_zeros 3 130
    expect_zeros 700 257
    same_as_model "UNMAP of two ranges" "$1"
}

# refusals DISK BLOCKS: what does not exist, and what lies behind the end.
refusals() {
    local path=$1 blocks=$2
    equal "an operation code nobody serves" "$(sense "$path" 1c 00 00 00 00 00)" 5/2000
    # The original never answers a code whose group it does not know, and nothing behind it either.
    if ours; then
        equal "an operation code of a vendor's" "$(sense "$path" c1 00 00 00 00 00 00 00 00 00)" 5/2000
    fi
    # shellcheck disable=SC2046
    equal "READ(16) of the last block" "$(sense -r "$lun_block" -o /dev/null "$path" 88 00 \
        $(lba16 $((blocks - 1)) 1) 00 00)" good
    # shellcheck disable=SC2046
    agree "READ(16) behind the last block" "$(sense -r "$lun_block" -o /dev/null "$path" 88 00 \
        $(lba16 "$blocks" 1) 00 00)" 5/2100
    # shellcheck disable=SC2046
    agree "READ(16) across the end" "$(sense -r $((2 * lun_block)) -o /dev/null "$path" 88 00 \
        $(lba16 $((blocks - 1)) 2) 00 00)" 5/2100
    # shellcheck disable=SC2046
    agree "WRITE(16) at the largest LBA" "$(sense -s "$lun_block" -i "$block_out" "$path" 8a 00 \
        $(lba16 -1 1) 00 00)" 5/2100
}

# read6 DISK: a count of 0 means 256 blocks.
read6() {
    local size=$((256 * lun_block))
    agree "READ(6) with a count of 0" "$(sense -r "$size" -o "$LAB_STATE/six" "$1" 08 00 00 00 00 00)" good
    if cmp -n "$size" "$LAB_STATE/six" "$model" > "$LAB_STATE/output" 2>&1; then
        say "ok: READ(6) with a count of 0 returns 256 blocks"
    else
        agree "READ(6) with a count of 0, its data" "$(< "$LAB_STATE/output")" "256 blocks"
    fi
}

# mode_flags DISK WCE DPOFUA: the caching page and the header, and what this kernel's disk driver makes of them.
mode_flags() {
    local path=$1 text caching cache
    text=$(limit 20 sg_modes -p 0x8 "$path") || fail "MODE SENSE"
    agree "DPOFUA" "$(sed -nE 's/.*DpoFua=([01]).*/\1/p' <<< "$text")" "$3"
    caching=$(awk '$1 == "00" && $2 == "08" { print $4 }' <<< "$text")
    [[ -n $caching ]] || fail "no caching page: $text"
    agree "WCE" "$((0x$caching >> 2 & 1))" "$2"
    cache=$(cat "/sys/block/${path##*/}/device/scsi_disk"/*/cache_type)
    agree "the kernel's view of the cache" "$cache" "$( (($2)) && echo 'write back' || echo 'write through')"
}

# small_commands DISK
small_commands() {
    check "START STOP UNIT, start" limit 20 sg_start --start "$1"
    agree "REQUEST SENSE" "$(limit 20 sg_requests "$1" 2>&1 | grep -ciE 'sense key: no sense|no sense')" 1
    check "SYNCHRONIZE CACHE(10)" limit 60 sg_sync "$1"
    check "SYNCHRONIZE CACHE(16)" limit 60 sg_sync --16 --lba=8 --count=100 "$1"
}

# provisioning DISK LBPME: READ CAPACITY(16).
provisioning() {
    local text
    text=$(limit 20 sg_readcap --long "$1") || fail "READ CAPACITY(16)"
    agree "block size" "$(sed -nE 's/.*Logical block length=([0-9]+).*/\1/p' <<< "$text")" "$lun_block"
    agree "lbpme, lbprz" "$(sed -nE 's/.*lbpme=([01]), lbprz=([01]).*/\1 \2/p' <<< "$text")" "$2 $2"
}
