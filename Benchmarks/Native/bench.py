"""The measurements of one call: suites under load, and many LUNs that do nothing. Runs inside the sandbox."""

import dataclasses
import json
import pathlib
import subprocess
import time
import types

import fio
import idle
import machine
import plans
import records as data
import world
from harness import network
from harness.ceph import Cluster
from harness.sandbox import LabError
from session import Failed, Session, counting_problem, heap_problem
from surroundings import Watch

HERE = pathlib.Path(__file__).resolve().parent
#: What ends one turn and not the whole call.
TROUBLE = (Failed, LabError, fio.FioError, OSError, ValueError, KeyError, subprocess.SubprocessError)
#: Rounds in which system calls are counted; each costs two seconds per case.
COUNTED_ROUNDS = 3


def image_path(folder, directory):
    """The file backend's image; whoever ends this process by force can remove it by that name."""
    return pathlib.Path(folder) / f"tcmu-bench-{directory.name}.img"


class Bench:
    """All the measurements of one call, inside the sandbox."""

    def __init__(self, options, directory):
        self.options, self.directory = options, directory
        self.raw = pathlib.Path(options.raw)
        self.records = self.raw / "results.jsonl"
        self.programs = types.SimpleNamespace(
            tcmud=options.tcmud, tcmu_runner=options.tcmu_runner, ring_load=options.ring_load)
        self.cluster = None
        self.sessions = 0
        self.image = None
        self.failures = 0
        self.counts = self.counts_heap = False

    def run(self):
        """Every suite in turn; one that fails costs itself alone. Returns an exit status: 1 where a measurement failed."""
        problem = counting_problem()
        self.counts = problem is None
        if problem:
            self.fail(f"system calls are not counted: {problem}")
        problem = heap_problem() if self.counts else None
        self.counts_heap = self.counts and problem is None
        if problem:
            self.fail(f"heap allocations are not counted: {problem}")
        try:
            for name in self.options.suites:
                started = time.monotonic()
                try:
                    if name == "idle":
                        idle.measure(self)
                    else:
                        self.suite(name, self.adapted(plans.SUITES[name]))
                except TROUBLE as error:
                    self.fail(f"suite {name}: {error}")
                print(f"    suite {name}: {time.monotonic() - started:.0f} s", flush=True)
        finally:
            if self.image:
                self.image.unlink()
        return 1 if self.failures else 0

    def adapted(self, suite):
        """A suite with the one workload that was asked for, where one was; every subject gets it."""
        if self.options.load is None:
            return suite
        load = dataclasses.replace(self.options.load, counts=self.counts)
        subjects = [dataclasses.replace(subject, depths=()) for subject in suite.subjects
                    if load.units == 1 or subject.name != data.FIO]
        return dataclasses.replace(suite, subjects=tuple(subjects), loads=(load,), most_rounds=1000)

    def suite(self, name, suite):
        print(f"==> {name}: {suite.title}", flush=True)
        if suite.needs_cluster:
            self.need_images(max(load.units for load in suite.loads))
        rounds = suite.rounds(self.options.rounds)
        for number in range(1, rounds + 1):
            for subject in plans.in_turn(suite.subjects, number):
                work = self.turn_of_fio if subject.name == data.FIO else self.turn
                with self.watched(name, number, rounds, subject):
                    work(name, number, subject, suite)
        self.print_ratios(name, suite)

    def watched(self, name, number, rounds, subject):
        """A turn: what goes wrong in it is noted, and what else the machine did."""
        return Turn(self, name, number, rounds, subject)

    def fail(self, text):
        """Notes it at once: a table without a failed turn would look like one in which nothing failed."""
        self.failures += 1
        machine.note(self.raw / "machine.json", f"Failed: {text.splitlines()[0]}.")
        print(f"    failed: {text}", flush=True)

    # ------------------------------------------------------------------ under load

    def turn(self, name, number, subject, suite):
        loads = subject.loads_of(suite)
        units = max(load.units for load in loads)
        with self.session(subject, units, suite.unit_bytes, apart=suite.apart) as session:
            session.claim()
            # So that the first measurement pays for nothing that later ones do not.
            session.run(pattern="randwrite", block=4096, depth=32, units=units, span=suite.unit_bytes, seconds=0.7,
                        warmup=0, spin=suite.spin)
            for load in loads:
                workload = dict(pattern=load.pattern, block=load.block, depth=load.depth, units=load.units,
                                span=suite.unit_bytes, spin=suite.spin, pause=load.pause)
                figures = session.run(seconds=self.options.seconds, warmup=0.3, **workload)
                calls = allocations = None
                if load.counts and self.counts and number <= COUNTED_ROUNDS:
                    # With a real librbd in the process its own allocations would be counted with ours.
                    heap = self.counts_heap and subject.name == data.OURS and subject.backend != "rbd"
                    calls, allocations = session.count(heap, seconds=0.5, warmup=0, **workload)
                figures.pop("total_commands")
                self.save(suite=name, round=number, subject=subject.name, variant=subject.variant,
                          backend=subject.backend, luns=load.units, pattern=load.title, block=load.block,
                          depth=load.depth, syscalls=calls, allocations=allocations, **figures)

    def turn_of_fio(self, name, number, subject, suite):
        for load in subject.loads_of(suite):
            common = dict(pattern=load.pattern, depth=load.depth, block=load.block, seconds=self.options.seconds,
                          ramp=0.5, round=number, variant=subject.variant)
            if subject.backend == "rbd":
                record = fio.rbd("rbd", "bench0", conf=str(self.cluster.configuration), **common)
            else:
                record = fio.file(str(self.file(suite.unit_bytes)), more=subject.options, **common)
            self.save(suite=name, **record)

    def print_ratios(self, name, suite):
        """Ours to the peer's, round by round."""
        found = data.select(data.load(self.records), suite=name) if self.records.exists() else []
        for mine in (subject for subject in suite.subjects if subject.name == data.OURS):
            for peer in (subject for subject in suite.subjects if subject.name != data.OURS):
                for load in mine.loads_of(suite):
                    case = {"pattern": load.title, "depth": load.depth, "block": load.block, "luns": load.units}
                    pair = [data.select(found, subject=one.name, backend=one.backend, variant=one.variant, **case)
                            for one in (mine, peer)]
                    texts = []
                    for figure, title in (("iops", "commands/s"), ("cpu_us", "CPU"), ("p50_us", "p50")):
                        spread = data.ratios(*pair, figure)
                        if spread:
                            texts.append(f"{title} " + " ".join(f"{value:.2f}" for value in spread.values))
                    if texts:
                        names = [f"{one.name} {one.variant}".strip() for one in (mine, peer)]
                        print(f"    {' : '.join(names)}, {load.title} {load.block >> 10} KiB depth {load.depth}: "
                              f"{', '.join(texts)}", flush=True)

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
            cluster = Cluster(self.directory / "ceph")
            cluster.start()
            cluster.made = 0
            self.cluster = cluster
        for number in range(self.cluster.made, count):
            self.cluster.run("rbd", "create", "--size", str(plans.IMAGE_BYTES >> 20), f"rbd/bench{number}")
            if number == 0:
                print("    filling the image", flush=True)
                self.cluster.run("rbd", "bench", "--io-type", "write", "--io-size", "4M", "--io-pattern", "seq",
                                 "--io-total", str(plans.IMAGE_BYTES), "rbd/bench0")
            self.cluster.made = number + 1

    def file(self, size):
        if self.image is None:
            self.image = image_path(self.options.folder, self.directory)
            # Block by block: a file system that keeps large folios (ext4 since Linux 6.16) makes them out of larger
            # writes, and then walks over a whole one for each small write, whoever makes it.
            with open(self.image, "wb", buffering=0) as image:
                for _ in range(size // 4096):
                    image.write(bytes(4096))
        return self.image

    def save(self, **record):
        with open(self.records, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


class Turn:
    """One subject's turn, as a context manager that lets no trouble out."""

    def __init__(self, bench, name, number, rounds, subject):
        self.bench, self.name, self.number, self.rounds, self.subject = bench, name, number, rounds, subject

    def __enter__(self):
        self.watch = Watch()

    def __exit__(self, kind, error, _):
        if error and not isinstance(error, TROUBLE):
            return False
        subject, seen = self.subject, self.watch.end()
        label = " ".join(f"{subject.name} {subject.backend} {subject.variant}".split())
        if error:
            self.bench.fail(f"{self.name}, {label}, round {self.number}: {str(error) or kind.__name__}")
        self.bench.save(kind="turn", suite=self.name, round=self.number, subject=subject.name, variant=subject.variant,
                        backend=subject.backend, **seen)
        print(f"    round {self.number} of {self.rounds}: {label}, {seen['seconds']:.0f} s, load {seen['load1']:.1f}, "
              f"others {seen['others_before']:.2f} CPUs before, {seen['others']:.2f} meanwhile, stolen "
              f"{seen['steal']:.2f}", flush=True)
        return True
