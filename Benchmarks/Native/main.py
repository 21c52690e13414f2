#!/usr/bin/python3
"""Measures daemons as processes, side by side, and writes the records: see `run --help`."""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import time
import types

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
sys.path.insert(0, str(PROJECT / "Tests/Lab"))

import fio
import machine
import plans
import records as data
import world
from harness import network, rundir, sandbox
from harness.ceph import Cluster
from session import Failed, Session


def arguments():
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("--suites", default="instant,handoff,mem,file,rbd,tuning,idle", metavar="A,B",
                        help=f"any of {', '.join(plans.SUITES)}, idle (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each subject (default 3)")
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement (default 3)")
    parser.add_argument("--tcmud", default=str(PROJECT / ".build/release/tcmud"), help="ours")
    parser.add_argument("--tcmu-runner", default="/usr/bin/tcmu-runner", help="the original")
    parser.add_argument("--ring-load", default=str(PROJECT / ".build/release/ring-load"))
    parser.add_argument("--raw", default=str(PROJECT / ".lab/bench"), metavar="DIR",
                        help="where results.jsonl and machine.json go")
    parser.add_argument("--append", action="store_true", help="add to the results that are there")
    parser.add_argument("--folder", default="/var/tmp", help="where the file backend's image is made")
    parser.add_argument("--keep", action="store_true", help="keep the daemons' logs")
    parser.add_argument("--timeout", type=float, default=7200, metavar="S")
    options = parser.parse_args()
    for name in options.suites.split(","):
        if name not in plans.SUITES and name != "idle":
            parser.error(f"suite {name}: expected {', '.join(plans.SUITES)} or idle")
    return options


class Bench:
    """All the measurements of one call, inside the sandbox."""

    def __init__(self, options, directory):
        self.options, self.directory = options, directory
        self.records = pathlib.Path(options.raw) / "results.jsonl"
        self.programs = types.SimpleNamespace(
            tcmud=options.tcmud, tcmu_runner=options.tcmu_runner, ring_load=options.ring_load)
        self.cluster = None
        self.sessions = 0
        self.image = None
        self.failures = []

    def run(self):
        """Every suite in turn. Returns an exit status: 1 where a measurement failed."""
        names = self.options.suites.split(",")
        try:
            for name in names:
                if name == "idle":
                    self.idle()
                else:
                    self.suite(name, plans.SUITES[name])
        finally:
            if self.image:
                self.image.unlink()
            # A table without a failed turn would look like one in which nothing failed.
            path = pathlib.Path(self.options.raw) / "machine.json"
            description = json.loads(path.read_text())
            description["notes"] += [f"Failed, and not in the tables: {text.splitlines()[0]}." for text in self.failures]
            path.write_text(json.dumps(description, indent=2) + "\n")
        return 1 if self.failures else 0

    # ------------------------------------------------------------------ under load

    def suite(self, name, suite):
        print(f"==> {name}: {suite.title}", flush=True)
        if suite.needs_cluster:
            self.need_images(1)
        for number in range(1, self.options.rounds + 1):
            # Whoever comes first in every round would find the cluster at its freshest in every round.
            first = (number - 1) % len(suite.subjects)
            for subject in suite.subjects[first:] + suite.subjects[:first]:
                started = time.monotonic()
                try:
                    if subject.name == "fio":
                        self.turn_of_fio(number, subject, suite)
                    else:
                        self.turn(number, subject, suite)
                except (Failed, fio.FioError, OSError, ValueError, subprocess.SubprocessError) as error:
                    self.fail(f"{name}, {subject.name} {subject.variant}, round {number}: {error}")
                label = f"{subject.name} {subject.variant}".strip()
                print(f"    round {number} of {self.options.rounds}: {label}, {time.monotonic() - started:.0f} s",
                      flush=True)
        self.print_ratios(suite)

    def print_ratios(self, suite):
        """Ours to the peer's, round by round."""
        found = data.load(self.records) if self.records.exists() else []
        ours = [subject for subject in suite.subjects if subject.name == data.OURS]
        for mine in ours:
            for peer in (subject for subject in suite.subjects if subject.name != data.OURS):
                for load in suite.loads:
                    case = {"pattern": load.pattern, "depth": load.depth, "block": load.block, "luns": load.units}
                    pair = [data.select(found, subject=one.name, backend=one.backend, variant=one.variant, **case)
                            for one in (mine, peer)]
                    texts = []
                    for figure, title in (("iops", "commands/s"), ("cpu_us", "CPU"), ("p50_us", "p50")):
                        spread = data.ratios(*pair, figure)
                        if spread:
                            texts.append(f"{title} " + " ".join(f"{value:.2f}" for value in spread.values))
                    name = f"{mine.name} {mine.variant}".strip()
                    print(f"    {name} : {peer.name}, {load.pattern} {load.block >> 10} KiB depth {load.depth}: "
                          f"{', '.join(texts) or 'no pair'}", flush=True)

    def fail(self, text):
        self.failures.append(text)
        print(f"    failed: {text}", flush=True)

    def turn(self, number, subject, suite):
        units = max(load.units for load in suite.loads)
        with self.session(subject, units, suite.unit_bytes, apart=suite.apart) as session:
            self.warm(session, suite)
            for load in suite.loads:
                workload = dict(pattern=load.pattern, block=load.block, depth=load.depth, units=load.units,
                                span=suite.unit_bytes, spin=suite.spin)
                figures = session.run(seconds=self.options.seconds, warmup=0.5, **workload)
                calls = None
                if load.counts and number == 1:
                    calls = session.count_system_calls(seconds=0.5, warmup=0, **workload)
                figures.pop("total_commands")
                self.save(round=number, subject=subject.name, variant=subject.variant, backend=subject.backend,
                          luns=load.units, pattern=load.pattern, block=load.block, depth=load.depth, syscalls=calls,
                          **figures)

    def warm(self, session, suite):
        """A second of writes, so that the first measurement pays for nothing that later ones do not."""
        session.run(pattern="write", block=4096, depth=32, units=max(load.units for load in suite.loads),
                    span=suite.unit_bytes, seconds=1, warmup=0, spin=suite.spin)

    def turn_of_fio(self, number, subject, suite):
        for load in suite.loads:
            common = dict(pattern=load.pattern, depth=load.depth, block=load.block, seconds=self.options.seconds,
                          ramp=1, round=number)
            if subject.backend == "rbd":
                record = fio.rbd("rbd", "bench0", conf=str(self.cluster.configuration), **common)
            else:
                record = fio.file(str(self.file(suite.unit_bytes)), **common)
            self.save(**record)

    # ------------------------------------------------------------------ idle

    def idle(self):
        print("==> idle: many LUNs that do nothing", flush=True)
        self.need_images(max(luns for _, luns in plans.IDLE))
        for subject, luns in plans.IDLE:
            try:
                one, many = self.footprint(subject, 1), self.footprint(subject, luns)
            except (Failed, OSError, subprocess.SubprocessError) as error:
                self.fail(f"idle, {subject.name} {subject.backend} {subject.variant}: {error}")
                continue
            per_lun = {f"{key}_per_lun": (many[key] - one[key]) / (luns - 1) for key in ("threads", "rss")}
            self.save(kind="idle", subject=subject.name, variant=subject.variant, backend=subject.backend, luns=luns,
                      threads=many["threads"], threads_per_lun=per_lun["threads_per_lun"], rss_kib=many["rss"],
                      rss_per_lun_kib=per_lun["rss_per_lun"], cpu_ms_in_10s=many["cpu_ms"],
                      switches_in_10s=many["switches"])

    def footprint(self, subject, luns):
        """Threads, memory and ten seconds of nothing."""
        with self.session(subject, luns, plans.IMAGE_BYTES if subject.backend == "rbd" else 64 << 20, 8) as session:
            # Threads that helped at open end after some seconds without work.
            time.sleep(10)
            before = usage(session.daemon.pid)
            time.sleep(10)
            after = usage(session.daemon.pid)
            if luns > 1:
                workload = dict(pattern="randread", block=4096, depth=2, units=luns, span=32 << 20, spin=0)
                figures = session.run(seconds=self.options.seconds, warmup=1, **workload)
                figures.pop("total_commands")
                self.save(round=1, subject=subject.name, variant=subject.variant, backend=subject.backend, luns=luns,
                          pattern="randread", block=4096, depth=2, syscalls=None, **figures)
        return {"threads": after["threads"], "rss": after["rss"], "cpu_ms": after["cpu_ms"] - before["cpu_ms"],
                "switches": after["switches"] - before["switches"]}

    # ------------------------------------------------------------------ what they need

    def session(self, subject, luns, size, data_mib=64, apart=False):
        self.sessions += 1
        directory = self.directory / f"session{self.sessions}"
        preloads = [world.compile_preload("uio", self.directory)]
        variables = dict(subject.variables, BENCH_IMAGE_BYTES=str(size))
        for name in subject.preloads:
            if (HERE / "preload" / f"{name}.c").exists():
                preloads.append(world.compile_preload(name, self.directory))
            else:
                # Behind `uio`, whose mmap must be the one that counts; still before what the daemon is linked with.
                preloads.append(name)
        if subject.backend == "rbd":
            variables["CEPH_CONF"] = str(self.cluster.configuration)
        path = self.file(size) if "{path}" in subject.config else ""
        units = [world.Unit(f"disk{number}", subject.config.format(number, path=path), size) for number in range(luns)]
        return Session(self.programs, subject.name, units, directory, preloads, data_mib, subject.options, variables,
                       apart)

    def need_images(self, count):
        if self.cluster is None:
            network.make_bridge()
            self.cluster = Cluster(self.directory / "ceph")
            self.cluster.start()
            self.cluster.made = 0
        for number in range(self.cluster.made, count):
            self.cluster.run("rbd", "create", "--size", str(plans.IMAGE_BYTES >> 20), f"rbd/bench{number}")
            if number == 0:
                print("    filling the image", flush=True)
                self.cluster.run("rbd", "bench", "--io-type", "write", "--io-size", "4M", "--io-pattern", "seq",
                                 "--io-total", str(plans.IMAGE_BYTES), "rbd/bench0")
        self.cluster.made = max(self.cluster.made, count)

    def file(self, size):
        if self.image is None:
            self.image = pathlib.Path(self.options.folder) / f"tcmu-bench-{self.directory.name}.img"
            # Block by block: a file system that keeps large folios (ext4 since Linux 6.16) makes them out of larger
            # writes, and then walks over a whole one for each small write, whoever makes it.
            with open(self.image, "wb", buffering=0) as image:
                for _ in range(size // 4096):
                    image.write(bytes(4096))
        return self.image

    def save(self, **record):
        with open(self.records, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def usage(pid):
    """Threads, resident KiB, CPU milliseconds (by clock ticks) and context switches so far of a process."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    number = lambda name, text: int(re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE).group(1))
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    switches = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        text = (task / "status").read_text()
        switches += number("voluntary_ctxt_switches", text) + number("nonvoluntary_ctxt_switches", text)
    return {"threads": number("Threads", status), "rss": number("VmRSS", status),
            "cpu_ms": (int(fields[11]) + int(fields[12])) * 1000 // fio.TICKS, "switches": switches}


def version_of(program):
    """Ours by its commit, where it stands in a repository."""
    done = subprocess.run(["git", "-C", str(PROJECT), "describe", "--always", "--dirty"], capture_output=True,
                          text=True)
    return f"{pathlib.Path(program).name} {done.stdout.strip()}" if done.returncode == 0 else program


def main():
    options = arguments()
    raw = pathlib.Path(options.raw)
    raw.mkdir(parents=True, exist_ok=True)
    if not options.append:
        (raw / "results.jsonl").unlink(missing_ok=True)
    for program in ("gcc", "unshare", "fio", options.tcmud, options.tcmu_runner, options.ring_load):
        if shutil.which(program) is None:
            world.fail(f"{program} is missing; Benchmarks/Native/run installs and builds what is needed")
    if not options.append or not (raw / "machine.json").exists():
        describe(options, raw)
    with rundir.run_directory(options.keep) as directory:
        return sandbox.run(lambda: Bench(options, directory).run(), options.timeout)


def describe(options, raw):
    """Writes what the measurements are taken with, and what cannot be compared."""
    description = machine.describe(
        version_of(options.tcmud),
        order=f"{options.rounds} rounds of {options.seconds:g} s per measurement; in each round every subject of a suite "
              "has one turn, and another one is first")
    description["not_comparable"] = [
        "What the kernel does inside a doorbell and before a command (copying data, the target core) is in no figure here; "
        "the lab kernel's table has it.",
        "The original's file handler is not in Debian's package; its qcow handler serves the raw file.",
        "`mem` has no counterpart in the original.",
        "fio has no ring and no second process: on two CPUs the load generator takes CPU from the daemons that fio keeps.",
        "fio's io_uring engine submits commands one by one as they come free (its default), ours a batch per system call.",
        "`rbd` runs beside its own OSD and monitor on the same CPUs: its figures are the cluster's as much as the daemon's.",
    ]
    (raw / "machine.json").write_text(json.dumps(description, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
