# An impossible value in a ring under I/O: that unit is blocked, reset and reopened; its neighbour notices nothing; resets alone fill no ring
# timeout: 300
ours || { say "the original trusts the ring; nothing to compare"; exit 0; }
bytes=$((128 << 20))
start_daemon
for name in a b; do
    image_file "$name" "$bytes"
    make_lun "$name" "$(file_config "$image")" "$bytes"
    attach "$name"
    eval "disk_$name=$disk"
done
node=/dev/$(basename "$(find "/proc/$daemon_pid/fd" -lname '/dev/uio*' -printf '%l\n' | sort | head -n 1)")
[[ $(< "/sys/class/uio/${node#/dev/}/name") == */a/* ]] || fail "$node is not a's node"

# poke_ring OFFSET VALUE: 32 bits into the mailbox of a's ring, through the daemon's own mapping.
poke_ring() {
    /usr/bin/python3 - "$daemon_pid" "$node" "$1" "$2" << 'PYTHON'
import struct, sys
pid, node, offset, value = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for line in open(f"/proc/{pid}/maps"):
    if line.rstrip().endswith(node):
        start = int(line.split("-")[0], 16)
        break
else:
    sys.exit(f"{node} is not mapped")
with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
    memory.seek(start + offset)
    memory.write(struct.pack("=I", value))
PYTHON
}

fio_under_faults() {
    fio --name=faults --filename="$1" --rw=randwrite --bs=4k --size=32M --iodepth=8 --ioengine=libaio --direct=1 \
        --verify=crc32c --verify_fatal=1 --verify_state_save=0 --eta=never --rate_iops=600 --output="$2"
}
fio_under_faults "$disk_a" "$LAB_STATE/a.log" &
fio_a=$!
fio_under_faults "$disk_b" "$LAB_STATE/b.log" &
fio_b=$!
sleep 2
for fault in "12 7" "12 4294967288"; do
    before=$(daemon_log | grep -c 'at work again' || true)
    # shellcheck disable=SC2086
    poke_ring $fault || fail "the ring cannot be written"
    say "cmd_head of a's ring set to ${fault#* }"
    until_true 30 eval '(($(daemon_log | grep -c "at work again") > '"$before"'))' || fail "not at work again after 30 s"
    sleep 2
done
daemon_log | grep -F 'impossible ring' | sed 's/^/    log: /'
daemon_log | grep -F 'impossible ring' | grep -F 'file/b' > /dev/null && fail "the neighbour's ring was given up, too"
wait "$fio_a" || fail "fio on the broken unit: $(tail -n 20 "$LAB_STATE/a.log")"
say "ok: fio on the unit whose ring broke twice: no error, every block verified"
wait "$fio_b" || fail "fio on the neighbour: $(tail -n 20 "$LAB_STATE/b.log")"
say "ok: fio on its neighbour"

# A ring of 1 MiB has room for 32,768 notices of 32 bytes.
image_file c "$bytes"
make_lun c "$(file_config "$image")" "$bytes" cmd_ring_size_mb=1
attach c
check "40,000 resets of an idle LUN, then a READ within 5 s" limit 120 /usr/bin/python3 - "$disk" << 'PYTHON'
import fcntl, mmap, os, struct, sys, time
descriptor = os.open(sys.argv[1], os.O_RDONLY)
device, no_escalation = 1, 0x100
for _ in range(40_000):
    fcntl.ioctl(descriptor, 0x2284, struct.pack("i", device | no_escalation))  # SG_SCSI_RESET
os.close(descriptor)
begin = time.monotonic()
direct = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
buffer = mmap.mmap(-1, 4096)
if os.preadv(direct, [buffer], 0) != 4096 or time.monotonic() - begin > 5:
    sys.exit(f"a READ after the resets took {time.monotonic() - begin:.1f} s")
PYTHON
remove_lun c
remove_lun a
remove_lun b
stop_daemon
