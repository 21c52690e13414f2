#!/usr/bin/python3
"""What a measurement was taken with: the machine and the versions, as report.py wants them in machine.json.

    machine.py note machine.json TEXT      adds a sentence that the report prints
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


def describe(tcmud, command, order, folder=None):
    """The object for machine.json. tcmud: version or commit of ours; folder: where the file backend's image lies."""
    versions = {"tcmud": tcmud}
    versions |= {name: _package(package) for name, package in PACKAGES}
    memory = int(_value("/proc/meminfo", "MemTotal").split()[0]) >> 20
    return {
        "machine": f"{_value('/proc/cpuinfo', 'model name')}, {os.cpu_count()} processors online, {memory} GiB",
        "kernel": f"{platform.system()} {platform.release()}", "file_system": folder and _file_system(folder),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"), "command": command, "order": order,
        "versions": versions, "notes": [], "not_comparable": []}


def note(path, text):
    """Adds a sentence to those that the report prints below what was measured with."""
    path = pathlib.Path(path)
    description = json.loads(path.read_text())
    description["notes"].append(text)
    # In one step: who is killed in the middle leaves the old one.
    new = path.with_suffix(".new")
    new.write_text(json.dumps(description, indent=2) + "\n")
    new.replace(path)


def _file_system(folder):
    done = subprocess.run(["findmnt", "-n", "-o", "FSTYPE,OPTIONS", "-T", str(folder)], capture_output=True, text=True)
    return " ".join(done.stdout.split()) or "not recorded"


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
    parser.add_argument("what", choices=["note"])
    parser.add_argument("path")
    parser.add_argument("text")
    words = parser.parse_args()
    note(words.path, words.text)


if __name__ == "__main__":
    main()
