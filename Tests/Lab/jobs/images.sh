# RBD images of all kinds: encrypted, read-only, in namespaces and data pools, journaled, mirrored; and what must not be served
# needs: ceph
# timeout: 500
ours || { note "the original serves none of these"; return 0; }
bytes=$((64 << 20))
luns=/etc/tcmu/luns.d
secret='lab secret 7f3a'
mkdir -p "$luns" /etc/tcmu/keys
printf '%s\n' "$secret" > /etc/tcmu/keys/right
printf 'not it' > /etc/tcmu/keys/wrong
: > /etc/tcmu/keys/empty
chmod 600 /etc/tcmu/keys/*

# traces IMAGE: what Ceph has of the image's users, if anything.
traces() {
    local text
    text=$(on_host "rbd status $1; rbd lock ls $1; ceph service dump -f json") || { echo "failed: $text"; return; }
    [[ $text == *'Watchers: none'* ]] || echo "a watcher: $text"
    [[ $text != *auto* ]] || echo "a lock: $text"
    [[ $text != *":${1%/*}/${1##*/}\""* ]] || echo "a service entry: $text"
}
# left TITLE IMAGE: nothing of a refused or removed LUN may be in Ceph; the manager takes seconds to drop an entry.
left() {
    until_true 40 eval "[[ -z \$(traces '$2') ]]" || fail "$1: left in Ceph: $(traces "$2")"
    say "ok: $1: nothing is left in Ceph"
}
# lun_file NAME LINE…: a file of luns.d.
lun_file() {
    local name=$1
    shift
    printf '%s\n' "$@" > "$luns/$name.yaml"
}
encryption() { lun_file "$1" "lun: rbd/rbd/$1" encryption: "  format: $2" "  passphrase_file: /etc/tcmu/keys/$3"; }
# same DISK: writes 4 MiB of noise at its start and reads it back.
same() {
    head -c 4M /dev/urandom > "$LAB_STATE/data"
    check "write" limit 60 dd if="$LAB_STATE/data" of="$1" bs=1M oflag=direct
    check "read back" limit 60 dd if="$1" of="$LAB_STATE/back" bs=1M count=4 iflag=direct
    check "the same" cmp "$LAB_STATE/data" "$LAB_STATE/back"
}

# `rbd encryption format` makes a key slot that takes this machine two seconds and up to 1 GiB of memory, on purpose; in a
# guest with one CPU that faults in its memory slowly that is a minute. So the header is librbd's and the slot a cheap one.
start_daemon
say "--- encrypted images"
within=([1]=$((bytes - (4 << 20))) [2]=$((bytes - (16 << 20))))
check "two encrypted images" on_host "
    set -e; key=\$(dirname \"\$CEPH_CONF\")/passphrase; printf '%s' '$secret' > \"\$key\"
    for n in 1 2; do
        rbd create --size 64M rbd/costly\$n; rbd encryption format rbd/costly\$n luks\$n \"\$key\"
        rbd --no-progress export rbd/costly\$n - > \"\$key.raw\"
        case \$n in 1) cheap='--pbkdf-force-iterations 1000';; 2) cheap='--pbkdf argon2id --pbkdf-force-iterations 4
            --pbkdf-memory 32768 --pbkdf-parallel 1';; esac
        cryptsetup luksChangeKey -q --key-file \"\$key\" --key-slot 0 \$cheap \"\$key.raw\" \"\$key\"
        rbd --no-progress import \"\$key.raw\" rbd/luks\$n; rm \"\$key.raw\"; rbd --no-progress rm rbd/costly\$n
    done"
refused "no file for it, so the sizes differ" rbd/rbd/luks1 "${within[1]}" EINVAL "$bytes" "${within[1]}"
encryption luks1 luks1 wrong
refused "wrong passphrase" rbd/rbd/luks1 "${within[1]}" EPERM /etc/tcmu/keys/wrong 'is wrong'
encryption luks1 luks1 missing
refused "no passphrase file" rbd/rbd/luks1 "${within[1]}" ENOENT /etc/tcmu/keys/missing
encryption luks1 luks1 empty
refused "empty passphrase file" rbd/rbd/luks1 "${within[1]}" EINVAL /etc/tcmu/keys/empty 'no bytes'
encryption luks1 luks2 right
refused "another format" rbd/rbd/luks1 "${within[1]}" EINVAL luks2 'no such header'
left "five refusals" rbd/luks1
for n in 1 2; do
    encryption "luks$n" "luks$n" right
    make_lun "luks$n" "rbd/rbd/luks$n" "${within[n]}"
    attach "luks$n"
    equal "capacity" "$(blockdev --getsize64 "$disk")" "${within[n]}"
    same "$disk"
    equal "provisioning: nothing is freed, so nothing is promised" \
        "$(limit 20 sg_readcap --long "$disk" | sed -nE 's/.*lbpme=([01]).*/\1/p')" 0
    head -c 512 "$LAB_STATE/data" > "$LAB_STATE/block"
    equal "WRITE SAME(16) of 1 MiB" "$(sense -s 512 -i "$LAB_STATE/block" "$disk" 93 00 00 00 00 00 00 00 40 00 \
        00 00 08 00 00 00)" good
    [[ $(limit 20 sg_vpd -p 0x83 "$disk") != *"$secret"* ]] || fail "the secret is in VPD 83h"
    yes lab-marker-0815 | head -c 4096 > "$LAB_STATE/marker"
    check "a marker" limit 30 dd if="$LAB_STATE/marker" of="$disk" bs=4096 seek=100 oflag=direct conv=fsync
    on_host "rbd export rbd/luks$n - 2> /dev/null > \"\$CEPH_CONF.raw\"" || fail "export of the raw image"
    equal "LUKS headers in the raw image" "$(on_host "head -c 6 \"\$CEPH_CONF.raw\" | grep -c -a LUKS")" 1
    equal "markers in the raw image" "$(on_host "grep -c -a lab-marker \"\$CEPH_CONF.raw\"")" 0
    remove_lun "luks$n"
    left "an encrypted image, removed" "rbd/luks$n"
done

say "memory after two key slots: $(grep -E 'VmHWM|VmRSS' "/proc/$daemon_pid/status" | tr -s '\t\n ' ' ')"

say "--- read-only, in a namespace, with a data pool"
check "pool and images" on_host "ceph osd pool create lab-data 8 8 && rbd pool init lab-data && rbd namespace create rbd/ns1 &&
    rbd create --size 64M rbd/ns1/image && rbd create --size 64M --data-pool lab-data rbd/split"
lun_file namespace "lun: rbd/rbd/ns1/image" "read_only: true"
make_lun n rbd/rbd/ns1/image "$bytes"
attach n
equal "the disk is read-only" "$(blockdev --getro "$disk")" 1
generic=/dev/$(ls "/sys/block/${disk##*/}/device/scsi_generic")
equal "WRITE(10)" "$(sense -s 512 -i "$LAB_STATE/block" "$generic" 2a 00 00 00 00 00 00 00 01 00)" 7/2700
check "it reads" limit 30 dd if="$disk" of=/dev/null bs=1M count=4 iflag=direct
on_host "rbd status rbd/ns1/image" | grep -q 'watcher=' || fail "a read-only image is served and nothing watches it"
if on_host "rbd rm --no-progress rbd/ns1/image"; then fail "an image that is served read-only can be removed"; fi
say "ok: an image that is served read-only cannot be removed"
remove_lun n
lun_file namespace "lun: n" "read_only: false"
make_lun n rbd/rbd/ns1/image "$bytes"
attach n
equal "after the file has changed the disk is writable" "$(blockdev --getro "$disk")" 0
same "$disk"
remove_lun n
make_lun d rbd/rbd/split "$bytes"
attach d
same "$disk"
equal "objects in the data pool" "$(on_host 'rados -p lab-data ls | grep -c rbd_data')" 1
remove_lun d

say "--- files that cannot be used"
rbd_image plain "$bytes"
lun_file a "lun: rbd/rbd/plain" "colour: blue"
refused "unknown key" rbd/rbd/plain "$bytes" EINVAL "$luns/a.yaml:2" colour
lun_file a "lun: rbd/rbd/plain" "read_only: yes"
refused "wrong type" rbd/rbd/plain "$bytes" EINVAL "$luns/a.yaml:2" 'true or false'
lun_file a "lun: rbd/rbd/plain"
lun_file b "lun: rbd/rbd/plain"
refused "two files" rbd/rbd/plain "$bytes" EINVAL "$luns/b.yaml:1" "$luns/a.yaml:1"
head -c 4096 /dev/urandom > "$luns/a.yaml"
make_lun d rbd/rbd/split "$bytes"
daemon_log | grep -F "$luns/a.yaml" | grep -q 'counts for no LUN' || fail "no line about a file of nobody"
remove_lun d
rm "$luns/a.yaml" "$luns/b.yaml"

say "--- users who may not do what it takes"
# user NAME CAPABILITIES: a cephx user, its keyring where librados looks for it.
user() { on_host "ceph auth get-or-create client.$1 $2" > "/etc/ceph/ceph.client.$1.keyring" || fail "no user $1"; }
user no-osd "mon 'profile rbd'"
user other-pool "mon 'profile rbd' osd 'profile rbd pool=lab-data'"
user no-locks "mon 'profile rbd' osd 'allow rw pool=rbd, allow class rbd'"
user reader "mon 'profile rbd' osd 'profile rbd-read-only pool=rbd'"
user no-data "mon 'profile rbd' osd 'profile rbd pool=rbd'"
user single "mon 'allow r' osd 'allow rwx pool=rbd'"
needed='"profile rbd pool=rbd"'
for name in no-osd other-pool no-locks reader; do
    refused "client.$name" "rbd/rbd/plain;id=$name" "$bytes" EPERM "client.$name" 'osd capabilities' "$needed"
done
left "four refusals" rbd/plain
refused "no right to the data pool" "rbd/rbd/split;id=no-data" "$bytes" EPERM client.no-data '"profile rbd pool=lab-data"'
left "a refusal" rbd/split
lun_file reader "lun: rbd/rbd/plain" "read_only: true"
make_lun r "rbd/rbd/plain;id=reader" "$bytes"
attach r
check "a read-only unit of a user who may only read" limit 30 dd if="$disk" of=/dev/null bs=1M count=4 iflag=direct
remove_lun r
rm "$luns/reader.yaml"

say "--- a user who may not blocklist: a LUN of one gateway"
make_lun s "rbd/rbd/plain;id=single" "$bytes"
daemon_log | grep -F '/s: ' | grep -q 'client.single may not blocklist' || fail "no line says what client.single may not do"
attach s
same "$disk"
stop_daemon KILL
start_daemon
generic=/dev/$(ls "/sys/block/${disk##*/}/device/scsi_generic")
# The kernel tries again for 20 s before it gives up.
equal "a write after a crash" "$(sense -s 512 -i "$LAB_STATE/block" "$generic" 2a 00 00 00 00 00 00 00 01 00)" Busy
daemon_log | grep -F '/s: ' | grep -q 'cannot take the exclusive lock: access denied' || fail "no line says why the lock cannot be taken"
check "an operator removes the dead daemon's lock" on_host "
    rbd lock ls --format json rbd/plain | /usr/bin/python3 -c '
import json, subprocess, sys
for lock in json.load(sys.stdin): subprocess.run([\"rbd\", \"lock\", \"rm\", \"rbd/plain\", lock[\"id\"], lock[\"locker\"]], check=True)'"
same "$disk"
remove_lun s
left "a LUN of one gateway, removed" rbd/plain

say "--- an image with a feature that nobody knows"
check "an image and its bit 40" on_host "
    set -e; rbd create --size 64M rbd/future
    header=rbd_header.\$(rbd info rbd/future --format json | sed -E 's/.*\"id\":\"([^\"]*).*/\1/')
    printf '\\075\\0\\0\\0\\0\\001\\0\\0' | rados -p rbd setomapval \"\$header\" features"
refused "a feature from the future" rbd/rbd/future "$bytes" ENOSYS rbd/future '(bit 40)' 'newer librbd'
left "a refusal" rbd/future

say "--- journaled and mirrored images"
check "images" on_host "
    set -e; rbd mirror pool enable rbd image
    rbd create --size 64M --image-feature layering,exclusive-lock,journaling rbd/journal
    rbd create --size 64M --image-feature layering,exclusive-lock rbd/snapshot
    rbd create --size 64M --image-feature layering,exclusive-lock,journaling rbd/journaled"
make_lun j rbd/rbd/journaled "$bytes"
attach j
same "$disk"
remove_lun j
for mode in snapshot journal; do
    check "a demoted image" on_host "rbd mirror image enable rbd/$mode $mode && rbd mirror image demote rbd/$mode"
    make_lun "$mode" "rbd/rbd/$mode" "$bytes"
    attach "$mode"
    generic=/dev/$(ls "/sys/block/${disk##*/}/device/scsi_generic")
    until_true 20 eval '[[ $(sense "$generic" 00 00 00 00 00 00) == 2/040b ]]' ||
        fail "$mode: TEST UNIT READY of a demoted image: $(sense "$generic" 00 00 00 00 00 00)"
    say "ok: $mode: TEST UNIT READY of a demoted image is 2/040b"
    equal "$mode: a write" "$(sense -s 512 -i "$LAB_STATE/block" "$generic" 2a 00 00 00 00 00 00 00 01 00)" 2/040b
    check "promotion" on_host "rbd mirror image promote rbd/$mode"
    until_true 20 eval '[[ $(sense "$generic" 00 00 00 00 00 00) == good ]]' ||
        fail "$mode: TEST UNIT READY of a promoted image: $(sense "$generic" 00 00 00 00 00 00)"
    say "ok: $mode: ready after promotion, without a restart"
    blockdev --rereadpt "$disk" 2> /dev/null
    same "$disk"
    # The LUN has the lock now, and keeps it: nobody else wants it. Whoever wants to demote the image must say so.
    if on_host "rbd mirror image demote rbd/$mode" > /dev/null; then fail "$mode: demoted under the LUN's lock"; fi
    say "ok: $mode: no demotion while the LUN has the lock"
    check "the lock is asked for" on_host "/usr/bin/python3 -c '
import os, rados
with rados.Rados(conffile=os.environ[\"CEPH_CONF\"]) as cluster, cluster.open_ioctx(\"rbd\") as pool:
    pool.notify(\"rbd_id.$mode\", \"tcmH\\1\\1operator\\7console\")'"
    check "demotion" on_host "rbd mirror image demote rbd/$mode"
    # In journal mode librbd tells nobody: the write itself finds it out.
    until_true 30 eval '[[ $(sense -s 512 -i "$LAB_STATE/block" "$generic" 2a 00 00 00 00 00 00 00 01 00) == 2/040b ]]' ||
        fail "$mode: a write to an image demoted at work"
    say "ok: $mode: not ready after a demotion at work"
    remove_lun "$mode"
    left "a mirrored image, removed" "rbd/$mode"
done

say "--- hostile config strings"
on_host 'sed -n "s/.*key = //p" "$(dirname "$CEPH_CONF")/client/ceph.client.admin.keyring"' > "$LAB_STATE/key"
key=$(tr -d '[:space:]' < "$LAB_STATE/key")
[[ -n $key ]] || fail "the admin's key is not known"
# Files that are no ceph.conf, and hold a secret. A keyring has the form of one, but names no monitor.
refused "a keyring as conf" "rbd/rbd/plain;conf=/etc/ceph/ceph.client.admin.keyring" "$bytes" ENOENT client.admin
refused "a passphrase file as conf" "rbd/rbd/plain;conf=/etc/tcmu/keys/right" "$bytes" EINVAL
refused "a secret in the config string" "rbd/rbd/plain;passphrase=$secret" "$bytes" EINVAL luns.d
perl -e '
    srand 7; my @parts = ("rbd/", "/", ";", "@", "=", "conf", "id=", "osd_op_timeout=", "%s%n", "\e[2J", "\xff", "..", "plain",
        "encryption=", "luks1", "connection_group=", "ms_async_op_threads=", "9" x 30, " ", "{}", "\"", "\x27");
    for (1 .. 12) {
        my $text = "rbd/";
        $text .= rand() < 0.3 ? chr(1 + int rand 255) : $parts[rand @parts] while length $text < 255;
        $text =~ tr/,\n\0//d;
        print substr($text, 0, 255), "\n";
    }' > "$LAB_STATE/hostile"
number=0
while IFS= read -r config; do
    name=hostile$((number++))
    if declare_lun "$name" "$config" "$bytes" 2> /dev/null; then
        status=0
        enable_lun "$name" 60 || status=$?
        ((status != 0 && status != 124)) || fail "hostile string $number: status $status"
    fi
    daemon_alive || fail "the daemon died of hostile string $number"
    bounded 20 rmdir "$(device_directory "$name")" || fail "hostile string $number: the device stays"
    unset "hba_of[$name]"
done < "$LAB_STATE/hostile"
say "ok: $number hostile strings refused"
left "after all of it" rbd/plain
for word in "$secret" "$key"; do
    if daemon_log | grep -q -a -F -- "$word" || kernel_log | grep -q -F -- "$word"; then fail "a secret is in the log"; fi
done
say "ok: no secret in the logs"
stop_daemon
