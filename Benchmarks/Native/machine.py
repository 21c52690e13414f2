#!/usr/bin/python3
"""What a measurement was taken with: the machine and the versions, as report.py wants them in machine.json.

    machine.py [--tcmud TEXT] [--command TEXT] [--order TEXT] > machine.json
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import subprocess

#: Name in the report, Debian's package.
PACKAGES = (
    ("tcmu-runner", "tcmu-runner"), ("librbd", "librbd1"), ("Ceph daemons", "ceph-osd"), ("fio", "fio"),
    ("libc", "libc6"))


def describe(tcmud=None, command="make bench", order="not recorded", preload=None):
    """The object for machine.json. tcmud: version or commit of ours; preload: what LD_PRELOAD brings to whom."""
    versions = {"tcmud": tcmud or "not recorded"}
    versions |= {name: _package(package) for name, package in PACKAGES}
    if preload:
        versions["preloaded"] = preload
    memory = int(_value("/proc/meminfo", "MemTotal").split()[0]) >> 20
    return {
        "machine": f"{_value('/proc/cpuinfo', 'model name')}, {os.cpu_count()} processors online, {memory} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"), "command": command, "order": order,
        "versions": versions, "notes": [], "not_comparable": []}


def _value(path, key):
    for line in pathlib.Path(path).read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return "0" if path == "/proc/meminfo" else platform.machine()


def _package(name):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 and done.stdout else "not installed"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tcmud")
    parser.add_argument("--command", default="make bench")
    parser.add_argument("--order", default="not recorded")
    words = parser.parse_args()
    print(json.dumps(describe(words.tcmud, words.command, words.order), indent=2))


if __name__ == "__main__":
    main()
