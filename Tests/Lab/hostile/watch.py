#!/usr/bin/python3
"""Looks once a second at the neighbour's disk and at the daemon, until FILE is there: a line of JSON each.

watch.py DISK PID FILE: operations that the disk's driver has ended; the daemon's start, threads, descriptors, and memory
without the rings' pages, which are the kernel's.
"""

import json
import os
import sys
import time


def disk_operations(name):
    with open(f"/sys/block/{name}/stat") as file:
        words = file.read().split()
    return int(words[0]) + int(words[4])


def daemon(pid, with_memory):
    """What it is made of now; nothing when it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            words = file.read().rpartition(")")[2].split()
        if words[0] == "Z":
            return {}
        found = {"start": words[19], "threads": _threads(pid), "descriptors": len(os.listdir(f"/proc/{pid}/fd"))}
        if with_memory:
            found["memory"] = _resident_without_rings(pid)
        return found
    except OSError:
        return {}


def _threads(pid):
    """Without the kernel's own workers for io_uring, which come and go."""
    names = []
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/comm") as file:
                names.append(file.read())
        except OSError:
            continue
    return sum(not name.startswith("iou-") for name in names)


def _resident_without_rings(pid):
    """KiB."""
    resident, ring = 0, False
    with open(f"/proc/{pid}/smaps") as file:
        for line in file:
            if line.startswith("Rss:"):
                resident += 0 if ring else int(line.split()[1])
            elif "-" in line.split(" ", 1)[0]:
                ring = "/dev/uio" in line
    return resident


def main():
    disk, pid, stop = sys.argv[1].removeprefix("/dev/"), int(sys.argv[2]), sys.argv[3]
    due, turn = time.time(), 0
    while not os.path.exists(stop):
        # The mappings take a while to be read in the guest, so not each time.
        sample = {"t": time.time(), "operations": disk_operations(disk), **daemon(pid, turn % 5 == 0)}
        print(json.dumps(sample), flush=True)
        turn += 1
        due = max(due + 1, time.time())
        time.sleep(max(due - time.time(), 0))


main()
