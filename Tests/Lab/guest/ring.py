#!/usr/bin/python3
"""Says where the ring of a TCMU device stands, from the memory of the daemon that has it open: ring.py /dev/uioN.

The node can be opened once only, so it is read through /proc/PID/mem (struct tcmu_mailbox of linux/target_core_user.h).
"""

import glob
import struct
import sys


def mapping(node):
    """(PID, address) of the daemon's mapping of the node, or none."""
    for maps in glob.glob("/proc/[0-9]*/maps"):
        try:
            lines = open(maps).read().splitlines()
        except OSError:
            continue
        for line in lines:
            if line.endswith(node):
                return maps.split("/")[2], int(line.split("-")[0], 16)
    return None


def main():
    found = mapping(sys.argv[1])
    if not found:
        print(f"{sys.argv[1]}: not mapped")
        return
    process, address = found
    with open(f"/proc/{process}/mem", "rb") as memory:
        memory.seek(address)
        mailbox = memory.read(192)
        version, flags, offset, size, head = struct.unpack_from("<HHIII", mailbox)
        tail, = struct.unpack_from("<I", mailbox, 64)
        print(f"{sys.argv[1]}: version {version}, flags {flags:#x}, ring of {size} bytes, head {head}, tail {tail}")
        entry = tail
        while entry != head and size:
            memory.seek(address + offset + entry)
            length, identifier = struct.unpack_from("<IH", memory.read(8))
            print(f"{sys.argv[1]}: entry at {entry}: id {identifier}, operation {length & 7}, {length & ~7} bytes")
            entry = (entry + (length & ~7 or size)) % size


main()
