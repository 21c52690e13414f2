# Two initiators: what changes the medium without Data-Out, and third-party copies, are held to reservations and read-only mappings
# timeout: 500
bytes=$((64 << 20))
initiator=iqn.2026-01.com.example:initiator
conflict="Reservation Conflict"
unseen=("WRITE SAME with NDOB" "FORMAT UNIT" "SANITIZE, BLOCK ERASE" "SANITIZE, EXIT FAILURE MODE")
declare -A cdb_of=(
    ["WRITE SAME with NDOB"]="93 01 00 00 00 00 00 00 00 08 00 00 00 64 00 00"
    ["FORMAT UNIT"]="04 00 00 00 00 00"
    ["SANITIZE, BLOCK ERASE"]="48 02 00 00 00 00 00 00 00 00"
    ["SANITIZE, EXIT FAILURE MODE"]="48 1f 00 00 00 00 00 00 00 00"
)

# ask DISK TITLE: sends that command.
# shellcheck disable=SC2086
ask() { sense "$1" ${cdb_of[$2]}; }

# refused TITLE DISK ANSWER [COMMAND]: all of them are, or that one, and the medium is as it was. Which of them a kind of
# reservation is about is one decision in the daemon, so every one is tried where it is first met.
refused() {
    local title titles=("${unseen[@]}")
    [[ -z ${4:-} ]] || titles=("$4")
    for title in "${titles[@]}"; do equal "$1: $title" "$(ask "$2" "$title")" "$3"; done
    same_as_model "$1" "$near_a"
}

# reserve TYPE | release TYPE: as the initiator that comes by tcm_loop.
reserve() { check "reserved, type $1" limit 20 sg_persist --out --reserve --param-rk=abc --prout-type="$1" "$near_a"; }
release() { check "released, type $1" limit 20 sg_persist --out --release --param-rk=abc --prout-type="$1" "$near_a"; }

# copy_list FROM TO: the parameter list of EXTENDED COPY (LID1), 8 blocks from the LUN named FROM to TO; made once, since each
# program costs this guest more than the command does.
copy_list() {
    perl -e '
        sub unit { my $hex = substr("6001405" . ($_[0] =~ s/-//gr), 0, 32); pack("C8 H32 x4 N", 0xe4, 0, 0, 0, 1, 3, 0, 16, $hex, 512) }
        print pack("C2 n x4 N x4", 1, 0, 64, 28), unit($ARGV[0]), unit($ARGV[1]), pack("C2 n3 x2 n Q>2", 2, 0, 24, 0, 1, 8, 16, 0);
    ' "$(serial_of "$1")" "$(serial_of "$2")" > "$LAB_STATE/copy-$1-$2"
}
copy_list a b
copy_list b a

# copy DISK FROM TO: that command, sent to DISK.
copy() { sense -s 108 -i "$LAB_STATE/copy-$2-$3" "$1" 83 00 00 00 00 00 00 00 00 00 00 00 00 6c 00 00; }

start_daemon
for name in a b; do
    image_file "$name" "$bytes"
    make_lun "$name" "file/$image;copy_group=lab" "$bytes"
    attach "$name"
    declare "near_$name=$disk"
done
export_iscsi a b
# shellcheck disable=SC2154
mapped=$iscsi/acls/$initiator
mkdir "$mapped" "$mapped/lun_0" "$mapped/lun_1" && ln -s "$iscsi/lun/lun_0" "$mapped/lun_0/lab" &&
    ln -s "$iscsi/lun/lun_1" "$mapped/lun_1/lab" || fail "mapped LUNs"
iscsi_login
far_a=$disk
wait_for_disk "$(readlink "/sys/block/${far_a##*/}/device" | sed 's|.*/||; s|:0$||'):1"
far_b=$disk
# shellcheck disable=SC2154
for disk in "$near_a" "$near_b" "$far_a" "$far_b"; do sense "$disk" 00 00 00 00 00 00 > /dev/null; done
fill "$near_a"

say "--- a mapping that is read-only"
put "$mapped/lun_0/write_protect" 1 || fail "write_protect"
new_block
equal "WRITE of the one that may only read" "$(sense -s 512 -i "$block_out" "$far_a" 2a 00 00 00 00 09 00 00 01 00)" 7/2700
refused "from there" "$far_a" 7/2700
refused "from elsewhere: the daemon cannot tell" "$near_a" 7/2700 "WRITE SAME with NDOB"
equal "WRITE of the other one" "$(sense -s 512 -i "$block_out" "$near_a" 2a 00 00 00 00 09 00 00 01 00)" good
expect_blocks 9 1 "$block_out"
equal "a copy onto it" "$(copy "$near_b" b a)" a/2700
equal "a copy from it" "$(copy "$near_b" a b)" good
same_as_model "copies" "$near_a"
put "$mapped/lun_0/write_protect" 0 || fail "write_protect"
equal "writable again" "$(ask "$far_a" "WRITE SAME with NDOB")" good
expect_zeros 8 100
same_as_model "WRITE SAME with NDOB" "$near_a"

say "--- initiators that are mapped without having been named"
put "$iscsi/attrib/demo_mode_write_protect" 1 || fail "demo_mode_write_protect"
refused "where they could only read" "$far_a" 7/2700 "FORMAT UNIT"
put "$iscsi/attrib/demo_mode_write_protect" 0 || fail "demo_mode_write_protect"

say "--- persistent reservations"
check "registered" limit 20 sg_persist --out --register --param-sark=abc "$near_a"
every=
for type in 1 5 7; do
    reserve "$type"
    equal "type $type: WRITE" "$(sense -s 512 -i "$block_out" "$far_a" 2a 00 00 00 00 09 00 00 01 00)" "$conflict"
    refused "type $type" "$far_a" "$conflict" "$every"
    every="SANITIZE, BLOCK ERASE"
    equal "type $type: a copy onto it" "$(copy "$far_b" b a)" "$conflict"
    equal "type $type: a copy from it" "$(copy "$far_b" a b)" good
    release "$type"
done
for type in 3 6 8; do
    reserve "$type"
    refused "type $type" "$far_a" "$conflict" "WRITE SAME with NDOB"
    equal "type $type: a copy onto it" "$(copy "$far_b" b a)" "$conflict"
    equal "type $type: a copy from it" "$(copy "$far_b" a b)" "$conflict"
    equal "type $type: its holder" "$(ask "$near_a" "WRITE SAME with NDOB")" good
    release "$type"
done
say "--- a reservation that has just been made counts, one that has just ended does not"
for _ in {1..3}; do
    limit 20 sg_persist --out --reserve --param-rk=abc --prout-type=5 "$near_a" > /dev/null 2>&1
    [[ $(ask "$far_a" "WRITE SAME with NDOB") == "$conflict" ]] || fail "a fresh reservation does not count"
    limit 20 sg_persist --out --release --param-rk=abc --prout-type=5 "$near_a" > /dev/null 2>&1
    [[ $(ask "$far_a" "WRITE SAME with NDOB") == good ]] || fail "a released reservation counts"
done
say "ok: three times"
check "unregistered" limit 20 sg_persist --out --register --param-rk=abc --param-sark=0 "$near_a"

say "--- RESERVE"
equal "RESERVE" "$(sense "$near_a" 16 00 00 00 00 00)" good
refused "by RESERVE" "$far_a" "$conflict" "FORMAT UNIT"
equal "a copy onto it" "$(copy "$far_b" b a)" "$conflict"
equal "a copy from it" "$(copy "$far_b" a b)" "$conflict"
equal "its holder" "$(ask "$near_a" "WRITE SAME with NDOB")" good
equal "RELEASE" "$(sense "$near_a" 17 00 00 00 00 00)" good
equal "free again" "$(ask "$far_a" "WRITE SAME with NDOB")" good
equal "a copy onto it" "$(copy "$far_b" b a)" good
check "SANITIZE with nobody excluded" limit 60 sg_sanitize --block --quick --early "$far_a"

iscsi_logout
rm "$mapped/lun_0/lab" "$mapped/lun_1/lab" && rmdir "$mapped/lun_0" "$mapped/lun_1" "$mapped" || fail "the mapped LUNs stay"
unexport_iscsi
remove_lun a
remove_lun b
stop_daemon
kernel_log_clean
