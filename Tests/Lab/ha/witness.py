"""Writes one block at a time with a number that only grows, and says when each write was confirmed.

witness.py DISK SECONDS. Sixteen blocks are written over and over, each write after the last one's end. So a block must
always hold the number that was confirmed last: an older one is a lost write, or a late write of a gateway
that had no right to write any more. Read back every 25 writes and at the end. One line of JSON at the end.
"""

import json
import mmap
import os
import random
import struct
import sys
import time
import zlib

BLOCK = 4096
BLOCKS = 16
#: Bytes from the disk's start, out of the way of the other writer.
OFFSET = 512 << 20
#: Seconds between two writes at least: a witness, not a load.
PAUSE = 0.02
#: Confirmed later than this after its start counts as a stall worth a line of its own.
STALL = 0.5

disk = os.open(sys.argv[1], os.O_RDWR | os.O_DIRECT)
end = time.time() + float(sys.argv[2])
buffer = mmap.mmap(-1, BLOCK)
confirmed = {}
uncertain = {}
stalls, errors, miscompares = [], [], []
number = writes = 0
longest = 0.0


def block_of(index, value):
    body = struct.pack("<QQ", index, value) * 255
    return body + struct.pack("<QII", value, index, zlib.crc32(body))


def check(index):
    """Compares a block with what was confirmed last; after a failed write its number may be there as well."""
    if os.preadv(disk, [buffer], OFFSET + index * BLOCK) != BLOCK:
        raise OSError("short read")
    found = struct.unpack_from("<Q", buffer, 8)[0]
    allowed = {confirmed[index]} | uncertain.get(index, set())
    if found not in allowed or buffer[:] != block_of(index, found):
        miscompares.append({"at": time.time(), "block": index, "found": found, "confirmed": confirmed[index]})


def attempt(action, *words):
    """One operation, with its time and its failure noted."""
    global longest
    began = time.time()
    try:
        action(*words)
        good = True
    except OSError as error:
        errors.append({"at": time.time(), "what": action.__name__, "error": str(error)})
        good = False
    took = time.time() - began
    longest = max(longest, took)
    if took > STALL:
        stalls.append({"began": began, "seconds": round(took, 3), "what": action.__name__})
    return good


def write(index, value):
    buffer[:] = block_of(index, value)
    if os.pwritev(disk, [buffer], OFFSET + index * BLOCK) != BLOCK:
        raise OSError("short write")


random.seed(7)
while time.time() < end:
    number += 1
    index = random.randrange(BLOCKS)
    if attempt(write, index, number):
        confirmed[index] = number
        uncertain.pop(index, None)
        writes += 1
    elif index in confirmed:
        uncertain.setdefault(index, set()).add(number)
    if number % 25 == 0 and index in confirmed:
        attempt(check, index)
    time.sleep(PAUSE)
for index in confirmed:
    attempt(check, index)
print(json.dumps({"writes": writes, "longest": round(longest, 3), "stalls": stalls, "errors": errors, "miscompares": miscompares}))
