# shellcheck shell=bash
# The sg3-utils checks: single commands with the answer that the standards want, against a LUN logged in by iSCSI.
#
# One line per check goes to $results/sg.tsv: title, wanted, got, command. Wanted may be several, with | between.
# `tool` compares the exit status of a tool of sg3-utils (0 good, 5 illegal request, 7 data protect, 9 operation code
# not served, 10 copy aborted, 14 miscompare, 25 condition met), `cdb` the sense of a raw CDB.

generic=
zeros=$LAB_STATE/zeros ones=$LAB_STATE/ones bits=$LAB_STATE/bits

sg_row() {
    local IFS=$'\t'
    echo "$*" >> "$results/sg.tsv"
    echo "=== $1: wanted $2, got $3: $4"
}

# sg_run COMMAND…: a tool with a time limit; a function of this file without.
sg_run() {
    if declare -F "$1" > /dev/null; then "$@"; else limit 120 "$@"; fi
}

# tool TITLE WANTED COMMAND…
tool() {
    local title=$1 wanted=$2 status=0 output
    shift 2
    output=$(sg_run "$@" 2>&1 < /dev/null) || status=$?
    {
        sg_row "$title" "$wanted" "$status" "${*//$LAB_STATE\//}"
        echo "$output"
    } >> "$results/sg.txt"
}

# shows TITLE PATTERN COMMAND…: good, and the pattern is in what the tool says; status 97 when it is not.
shows() {
    local title=$1 pattern=$2 status=0 output
    shift 2
    output=$(sg_run "$@" 2>&1 < /dev/null) || status=$?
    ((status != 0)) || grep -qE "$pattern" <<< "$output" || status=97
    {
        sg_row "$title" 0 "$status" "${*//$LAB_STATE\//}"
        echo "$output"
    } >> "$results/sg.txt"
}

# cdb TITLE WANTED [OPTION…] BYTE…: one CDB; options of sg_raw before it.
cdb() {
    local title=$1 wanted=$2
    shift 2
    sg_row "$title" "$wanted" "$(sense "${sg_options[@]}" "$disk" "$@")" "${*//$LAB_STATE\//}" >> "$results/sg.txt"
    sg_options=()
}

# bytes_of COUNT NUMBER: a big-endian field, in hexadecimal.
bytes_of() { printf "%0$(($1 * 2))x" "$2" | sed 's/../& /g'; }

# with OPTION…: options of sg_raw for the next `cdb`.
with() { sg_options=("$@"); }

# listed_pages: reads every VPD page that page 00h names.
listed_pages() {
    local pages page
    pages=$(sg_inq --vpd --page=0 --raw "$disk" | od -An -v -tx1 -j 4) || return
    [[ -n $pages ]] || return 98
    for page in $pages; do
        sg_inq --vpd --page="0x$page" --hex "$disk" || return
    done
}

# reads_as LBA BLOCKS FILE: what the medium holds, without VERIFY, which not every target has; 14 when it differs.
reads_as() {
    limit 60 dd if="$disk" of="$LAB_STATE/read" bs=512 skip="$1" count="$2" iflag=direct status=none || return
    cmp -n $(($2 * 512)) "$LAB_STATE/read" "$3" || return 14
}

# leaving LBA BLOCKS FILE COMMAND…: the command's status, and when that is 0 what the medium then holds.
leaving() {
    local lba=$1 count=$2 file=$3
    shift 3
    limit 120 "$@" || return
    reads_as "$lba" "$count" "$file"
}

# sg_work: all of it, on $disk.
sg_work() {
    local blocks
    blocks=$(blockdev --getsz "$disk")
    sg_options=()
    # EXTENDED COPY's tool wants the generic node.
    generic=/dev/$(ls "/sys/block/${disk##*/}/device/scsi_generic")
    head -c 65536 /dev/zero > "$zeros"
    perl -e 'print "\xff" x 65536' > "$ones"
    perl -e 'print "\x0f" x 65536' > "$bits"
    printf 'abcd' > "$LAB_STATE/pattern"
    : > "$results/sg.txt"
    : > "$results/sg.tsv"
    say "sg3-utils checks on $disk"
    sg_identity
    sg_modes_and_logs
    sg_reading
    sg_writing
    sg_provisioning
    sg_copying
    sg_refusals
    sg_reservations
    sg_long
    say "sg3-utils checks done: $(wc -l < "$results/sg.tsv")"
}

sg_identity() {
    local page
    shows "INQUIRY, standard" 'Peripheral device type: disk' sg_inq "$disk"
    shows "INQUIRY claims SBC-3 or later" 'SBC-[3-9]' sg_inq --descriptors "$disk"
    for page in 00 80 83 b0 b1 b2; do
        tool "INQUIRY, VPD page ${page^^}h" 0 sg_vpd --page="0x$page" "$disk"
    done
    with -r 96
    cdb "INQUIRY, a VPD page nobody has" 5/2400 12 01 d1 00 60 00
    tool "INQUIRY, every VPD page that page 00h lists" 0 listed_pages
    shows "READ CAPACITY(10)" "Last LBA=$((blocks - 1))" sg_readcap "$disk"
    shows "READ CAPACITY(16)" "Last LBA=$((blocks - 1))" sg_readcap --long "$disk"
    cdb "READ CAPACITY(10) with an LBA but no PMI" "5/2400|good" 25 00 00 00 00 05 00 00 00 00
    tool "REPORT LUNS" 0 sg_luns "$disk"
    shows "REPORT SUPPORTED OPERATION CODES, all" 'READ\(16\)|Read\(16\)' sg_opcodes --pdt=0 "$disk"
    shows "REPORT SUPPORTED OPERATION CODES with timeouts" 'Read\(16\)' sg_opcodes --pdt=0 --rctd "$disk"
    shows "REPORT SUPPORTED OPERATION CODES, READ(16) alone" 'Usage data: 88' sg_opcodes --pdt=0 --opcode=0x88 "$disk"
    shows "REPORT SUPPORTED OPERATION CODES, READ CAPACITY(16) alone" 'Usage data: 9e' \
        sg_opcodes --pdt=0 --opcode=0x9e,0x10 "$disk"
    shows "REPORT SUPPORTED OPERATION CODES, a code nobody serves" 'NOT supported' \
        sg_opcodes --pdt=0 --opcode=0xd7 "$disk"
    with -r 64
    cdb "REPORT SUPPORTED OPERATION CODES, reporting option 7" 5/2400 a3 0c 07 00 00 00 00 00 00 40 00 00
    shows "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS" 'Logical unit reset' sg_opcodes --pdt=0 --tmf "$disk"
    tool "REPORT TARGET PORT GROUPS" 0 sg_rtpg "$disk"
    tool "REPORT TARGET PORT GROUPS, extended" 0 sg_rtpg --extended "$disk"
    tool "REQUEST SENSE, fixed format" 0 sg_requests "$disk"
    tool "REQUEST SENSE, descriptor format" 0 sg_requests --desc "$disk"
    with -r 252
    cdb "REQUEST SENSE answers without an error" good 03 01 00 00 fc 00
    tool "TEST UNIT READY" 0 sg_turs "$disk"
    tool "SEND DIAGNOSTIC, default self test" 0 sg_senddiag --test "$disk"
}

sg_modes_and_logs() {
    tool "MODE SENSE(10), all pages" 0 sg_modes --all "$disk"
    tool "MODE SENSE(10), all pages and subpages" 0 sg_modes --all --all "$disk"
    tool "MODE SENSE(6), all pages" 0 sg_modes --six --all "$disk"
    for page in 1 8 0xa 0x1c; do
        tool "MODE SENSE(10), page $page, all values" 0 sg_modes --control=0 --page=$page "$disk"
        tool "MODE SENSE(10), page $page, changeable" 0 sg_modes --control=1 --page=$page "$disk"
        tool "MODE SENSE(10), page $page, default" 0 sg_modes --control=2 --page=$page "$disk"
    done
    with -r 64
    cdb "MODE SENSE(6), saved values" 5/3900 1a 00 c8 00 40 00
    with -r 64
    cdb "MODE SENSE(6), a page nobody has" 5/2400 1a 00 2a 00 40 00
    tool "MODE SELECT of a page that cannot be changed" 5 sg_wr_mode --page=0x1c --contents=1c,0a,ff,ff,ff,ff,ff,ff,ff,ff,ff,ff "$disk"
    with -s 4 -i "$zeros"
    cdb "MODE SELECT(6), saving pages" 5/2400 15 11 00 00 04 00
    with -s 3 -i "$zeros"
    cdb "MODE SELECT(6), a cut parameter list" 5/1a00 15 10 00 00 03 00
    perl -e 'print pack("C*", 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 16, 0)' > "$LAB_STATE/descriptor"
    with -s 12 -i "$LAB_STATE/descriptor"
    cdb "MODE SELECT(6), blocks of another size" "5/2600|5/2400" 15 10 00 00 0c 00
    with -s 0
    cdb "MODE SELECT(6), no parameter list" good 15 10 00 00 00 00
    tool "LOG SENSE, supported pages" 0 sg_logs "$disk"
    tool "LOG SENSE, all pages" 0 sg_logs --all "$disk"
    with -r 64
    cdb "LOG SENSE, a page nobody has" 5/2400 4d 00 7a 00 00 00 00 00 40 00
}

sg_reading() {
    shows "READ(6)" records sg_dd if="$disk" of=/dev/null bs=512 count=16 cdbsz=6 blk_sgio=1
    shows "READ(10)" records sg_dd if="$disk" of=/dev/null bs=512 count=256 cdbsz=10 blk_sgio=1
    shows "READ(12)" records sg_dd if="$disk" of=/dev/null bs=512 count=256 cdbsz=12 blk_sgio=1
    shows "READ(16)" records sg_dd if="$disk" of=/dev/null bs=512 count=256 cdbsz=16 blk_sgio=1
    # What MODE SENSE says of DPO and FUA must hold for every form that has the bits.
    local fua=5/2400
    limit 20 sg_modes -p 8 "$disk" 2> /dev/null | grep -q DpoFua=1 && fua=good
    with -r 512
    cdb "READ(10) with DPO and FUA, as MODE SENSE says" $fua 28 18 00 00 00 00 00 00 01 00
    with -r 512
    cdb "READ(16) with FUA, as MODE SENSE says" $fua 88 08 00 00 00 00 00 00 00 00 00 00 00 01 00 00
    with -s 512 -i "$zeros"
    cdb "WRITE(10) with FUA, as MODE SENSE says" $fua 2a 08 00 00 00 00 00 00 01 00
    with -s 512 -i "$zeros"
    cdb "WRITE(16) with DPO, as MODE SENSE says" $fua 8a 10 00 00 00 00 00 00 00 00 00 00 00 01 00 00
    with -r 512
    cdb "READ(10) with RDPROTECT, which nothing here has" 5/2400 28 20 00 00 00 00 00 00 01 00
    with -s 512 -i "$zeros"
    cdb "WRITE(16) with WRPROTECT, which nothing here has" 5/2400 8a 20 00 00 00 00 00 00 00 00 00 00 00 01 00 00
    cdb "READ(10) of no blocks" good 28 00 00 00 00 00 00 00 00 00
    cdb "READ(10) of no blocks behind the end" 5/2100 28 00 $(bytes_of 4 $((blocks + 1))) 00 00 00 00
    with -r 512
    cdb "READ(16) at the largest LBA" 5/2100 88 00 ff ff ff ff ff ff ff ff 00 00 00 01 00 00
    tool "PRE-FETCH(10)" "0|25" sg_seek --pre-fetch --10 --num-blocks=8 "$disk"
    tool "PRE-FETCH(16)" "0|25" sg_seek --pre-fetch --num-blocks=8 --lba=1000 "$disk"
    cdb "PRE-FETCH(16) behind the end" 5/2100 90 00 $(bytes_of 8 "$blocks") 00 00 00 01 00 00
    tool "SYNCHRONIZE CACHE(10)" 0 sg_sync "$disk"
    tool "SYNCHRONIZE CACHE(16)" 0 sg_sync --16 --lba=8 --count=100 "$disk"
    with -r 4
    cdb "READ DEFECT DATA(10)" "good|1/1c00" 37 00 00 00 00 00 00 00 04 00
    with -r 8
    cdb "READ DEFECT DATA(12)" "good|1/1c00" b7 00 00 00 00 00 00 00 00 08 00 00
}

sg_writing() {
    tool "WRITE(16) of a pattern" 0 sg_dd if="$bits" of="$disk" bs=512 count=128 seek=0 cdbsz=16 blk_sgio=1
    tool "WRITE(10) with FUA by sg_dd" "0|5" sg_dd if="$bits" of="$disk" bs=512 count=128 cdbsz=10 blk_sgio=1 oflag=fua
    tool "VERIFY(10), the medium alone" 0 sg_verify --count=128 "$disk"
    tool "VERIFY(16), the medium alone" 0 sg_verify --16 --count=128 "$disk"
    tool "VERIFY(10) with BYTCHK 1, the same" 0 sg_verify --ndo=65536 --ebytchk=1 --count=128 --in="$bits" "$disk"
    tool "VERIFY(10) with BYTCHK 1, another" 14 sg_verify --quiet --ndo=65536 --ebytchk=1 --count=128 --in="$ones" "$disk"
    tool "VERIFY(16) with BYTCHK 1, another" 14 sg_verify --16 --quiet --ndo=65536 --ebytchk=1 --count=128 --in="$ones" "$disk"
    tool "VERIFY(10) with BYTCHK 3, the same" 0 sg_verify --ndo=512 --ebytchk=3 --count=128 --in="$bits" "$disk"
    tool "VERIFY(16) with BYTCHK 3, another" 14 sg_verify --16 --quiet --ndo=512 --ebytchk=3 --count=128 --in="$ones" "$disk"
    with -s 512 -i "$bits"
    cdb "VERIFY(12) with BYTCHK 1, the same" good af 02 00 00 00 00 00 00 00 01 00 00
    with -s 512 -i "$ones"
    cdb "VERIFY(12) with BYTCHK 1, another" e/1d00 af 02 00 00 00 00 00 00 00 01 00 00
    cdb "VERIFY(10) with the reserved BYTCHK 2" 5/2400 2f 04 00 00 00 00 00 00 01 00
    cdb "VERIFY(10) behind the end" 5/2100 2f 00 $(bytes_of 4 "$blocks") 00 00 01 00
    tool "WRITE AND VERIFY(10)" 0 sg_write_verify --lba=0 --num=128 --in="$bits" "$disk"
    tool "WRITE AND VERIFY(10) with BYTCHK 1" 0 sg_write_verify --bytchk=1 --lba=0 --num=128 --in="$bits" "$disk"
    tool "WRITE AND VERIFY(16) with BYTCHK 1" 0 sg_write_verify --16 --bytchk=1 --lba=0 --num=128 --in="$bits" "$disk"
    with -s 512 -i "$bits"
    cdb "WRITE AND VERIFY(12)" good ae 00 00 00 00 00 00 00 00 01 00 00
    # 0Fh OR 0Fh stays; then OR FFh makes all bits set, which VERIFY can tell.
    tool "ORWRITE(16) of all ones, and its result" 0 leaving 64 8 "$ones" \
        sg_write_x --or --lba=64 --num=8 --in="$ones" "$disk"
    tool "ORWRITE(16) leaves the block behind alone" 0 reads_as 72 1 "$bits"
    tool "WRITE ATOMIC(16)" 0 sg_write_x --atomic=0 --lba=0 --num=8 --in="$bits" "$disk"
    dd if="$bits" of="$LAB_STATE/compare" bs=512 count=1 status=none
    dd if="$ones" of="$LAB_STATE/compare" bs=512 seek=1 count=1 status=none
    tool "COMPARE AND WRITE that matches" 0 sg_compare_and_write --in="$LAB_STATE/compare" --lba=10 "$disk"
    tool "COMPARE AND WRITE that does not match" 14 sg_compare_and_write --in="$LAB_STATE/compare" --lba=10 "$disk"
    dd if="$bits" of="$LAB_STATE/compare" bs=512 count=4 status=none
    dd if="$ones" of="$LAB_STATE/compare" bs=512 seek=4 count=4 status=none
    tool "COMPARE AND WRITE of four blocks, and its result" 0 leaving 20 4 "$ones" \
        sg_compare_and_write --in="$LAB_STATE/compare" --lba=20 --num=4 "$disk"
}

sg_provisioning() {
    tool "WRITE SAME(10)" 0 sg_write_same --10 --in="$bits" --xferlen=512 --lba=200 --num=30 "$disk"
    tool "WRITE SAME(16), and its result" 0 leaving 300 30 "$bits" \
        sg_write_same --16 --in="$bits" --xferlen=512 --lba=300 --num=30 "$disk"
    tool "WRITE SAME(10) with UNMAP" 0 sg_write_same --10 --unmap --in="$zeros" --xferlen=512 --lba=200 --num=30 "$disk"
    tool "WRITE SAME(16) with UNMAP" 0 sg_write_same --16 --unmap --in="$zeros" --xferlen=512 --lba=300 --num=30 "$disk"
    tool "WRITE SAME(16) with NDOB" 0 sg_write_same --16 --ndob --lba=400 --num=30 "$disk"
    tool "WRITE SAME(16) with NDOB and UNMAP" 0 sg_write_same --16 --ndob --unmap --lba=400 --num=30 "$disk"
    with -s 512 -i "$zeros"
    cdb "WRITE SAME(16) with ANCHOR" 5/2400 93 18 00 00 00 00 00 00 01 00 00 00 00 01 00 00
    with -s 512 -i "$zeros"
    cdb "WRITE SAME(16) behind the end" 5/2100 93 00 $(bytes_of 8 "$blocks") 00 00 00 01 00 00
    tool "UNMAP of two ranges" 0 sg_unmap --force --lba=3,700 --num=130,257 "$disk"
    tool "UNMAP behind the end" 5\|22 sg_unmap --force --lba="$blocks" --num=1 "$disk"
    cdb "UNMAP without a parameter list" good 42 00 00 00 00 00 00 00 00 00
    with -s 7 -i "$zeros"
    cdb "UNMAP with a parameter list of 7 bytes" 5/1a00 42 00 00 00 00 00 00 00 07 00
    with -s 24 -i "$zeros"
    cdb "UNMAP with ANCHOR" 5/2400 42 01 00 00 00 00 00 00 18 00
    shows "GET LBA STATUS" 'LBA: 0x0+ ' sg_get_lba_status --lba=0 --maxlen=120 "$disk"
    tool "GET LBA STATUS behind the end" 5\|22 sg_get_lba_status --lba="$blocks" "$disk"
    tool "UNMAP of 4 MiB" 0 sg_unmap --force --lba=16384 --num=8192 "$disk"
    shows "GET LBA STATUS tells that they are not mapped" '^0x0*4000 +0x[0-9a-f]+ +[12] ' sg_get_lba_status --brief --lba=16384 --maxlen=24 "$disk"
}

sg_copying() {
    tool "WRITE(16) of what is copied" 0 sg_dd if="$bits" of="$disk" bs=512 count=128 seek=1000 cdbsz=16 blk_sgio=1
    tool "WRITE(16) of where it goes" 0 sg_dd if="$ones" of="$disk" bs=512 count=128 seek=5000 cdbsz=16 blk_sgio=1
    tool "EXTENDED COPY (LID1) within the LUN, and its result" 0 leaving 5000 128 "$bits" \
        sg_xcopy if="$generic" of="$generic" bs=512 skip=1000 seek=5000 count=128
    tool "RECEIVE COPY RESULTS, operating parameters" 0 sg_copy_results --params "$disk"
    with -r 64
    cdb "RECEIVE COPY RESULTS, a reserved service action" "5/2400|5/2000" 84 1e 00 00 00 00 00 00 00 00 00 00 00 40 00 00
    cdb "EXTENDED COPY without a parameter list" good 83 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    with -s 15 -i "$zeros"
    cdb "EXTENDED COPY with a cut parameter list" 5/1a00 83 00 00 00 00 00 00 00 00 00 00 00 00 0f 00 00
}

sg_refusals() {
    cdb "a reserved service action of SERVICE ACTION IN(16)" "5/2400|5/2000" 9e 1e 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    cdb "a reserved service action of MAINTENANCE IN" "5/2400|5/2000" a3 1e 00 00 00 00 00 00 00 00 00 00
    with -r 512
    cdb "READ(32)" "5/2000|5/2400" 7f 00 00 00 00 00 00 18 00 09 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01
    cdb "a variable-length CDB of a vendor's" "5/2000|5/2400" 7f 00 00 00 00 00 00 18 f0 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    with -r 36
    cdb "INQUIRY with an allocation length of 5" good 12 00 00 00 05 00
    cdb "INQUIRY with an allocation length of 0" good 12 00 00 00 00 00
    with -r 96
    cdb "INQUIRY with a page code but no EVPD" 5/2400 12 00 83 00 60 00
    with -r 4
    cdb "READ CAPACITY(16) with an allocation length of 4" good 9e 10 00 00 00 00 00 00 00 00 00 00 00 04 00 00
    with -r 3
    cdb "MODE SENSE(10) with an allocation length of 3" good 5a 00 3f 00 00 00 00 00 03 00
    cdb "START STOP UNIT, start" good 1b 00 00 00 01 00
    tool "PREVENT ALLOW MEDIUM REMOVAL, prevent" 0 sg_prevent "$disk"
    tool "PREVENT ALLOW MEDIUM REMOVAL, allow" 0 sg_prevent --allow "$disk"
}

sg_reservations() {
    tool "PERSISTENT RESERVE IN, capabilities" 0 sg_persist --no-inquiry --in --report-capabilities "$disk"
    tool "PERSISTENT RESERVE OUT, register" 0 sg_persist --no-inquiry --out --register --param-sark=0x77 "$disk"
    shows "PERSISTENT RESERVE IN, keys" 0x77 sg_persist --no-inquiry --in --read-keys "$disk"
    tool "PERSISTENT RESERVE OUT, reserve" 0 sg_persist --no-inquiry --out --reserve --param-rk=0x77 --prout-type=5 "$disk"
    tool "PERSISTENT RESERVE OUT, clear" 0 sg_persist --no-inquiry --out --clear --param-rk=0x77 "$disk"
    tool "logical unit reset" 0 sg_reset --no-esc --device "$disk"
    sg_turs --number=3 "$disk" > /dev/null 2>&1
    tool "TEST UNIT READY after the reset" 0 sg_turs "$disk"
}

# Commands that overwrite the whole LUN, last because nothing else is left on it.
sg_long() {
    tool "SANITIZE, overwrite, and its result" 0 leaving 1000 128 "$zeros" \
        sg_sanitize --overwrite --zero --quick --wait --timeout=100 "$disk"
    tool "SANITIZE, overwrite with IMMED" 0 sg_sanitize --overwrite --pattern="$LAB_STATE/pattern" --ipl=4 --quick --early "$disk"
    tool "REQUEST SENSE tells of its progress, or of its end" 0 sg_requests --progress "$disk"
    until_true 100 sg_turs "$disk"
    tool "TEST UNIT READY after it" 0 sg_turs "$disk"
    tool "SANITIZE, block erase" 0 sg_sanitize --block --quick --wait --timeout=100 "$disk"
    shows "GET LBA STATUS after the block erase: one range" '^0x0.* [12] ' sg_get_lba_status --brief --lba=0 --maxlen=120 "$disk"
    tool "SANITIZE, exit failure mode" "0|5" sg_sanitize --fail --quick --wait "$disk"
    cdb "SANITIZE, a reserved service action" 5/2400 48 04 00 00 00 00 00 00 00 00
    tool "FORMAT UNIT" 0 sg_format --format --quick --wait --timeout=100 "$disk"
    tool "TEST UNIT READY at the end" 0 sg_turs "$disk"
    # The very last, because the original never answers it.
    cdb "an operation code of a vendor's (C0h)" 5/2000 c0 00 00 00 00 00 00 00 00 00
}
