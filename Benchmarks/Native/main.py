#!/usr/bin/python3
"""Measures daemons as processes, side by side, and writes the records. `make bench` without arguments measures all of it.

A part (--suites, --raw) leaves Benchmarks/RESULTS.md as it is. With --pattern, --block, --depth or --luns every subject
of the suites (instant, where none is named) gets that one workload, and a table is printed.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
sys.path.insert(0, str(PROJECT / "Tests/Lab"))

import machine
import plans
import records as data
import report
import world
from bench import Bench, image_path
from harness import rundir, sandbox


def arguments():
    parser = argparse.ArgumentParser(prog="run", description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", metavar="A,B", help=f"any of {', '.join(plans.NAMES)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5,
                        help=f"turns of each subject (default 5; at most 3 in mem and tuning, {plans.IDLE_ROUNDS} in idle)")
    parser.add_argument("--seconds", type=float, default=1.2, help="of each measurement (default 1.2)")
    parser.add_argument("--tcmud", default=str(PROJECT / ".build/release/tcmud"), help="ours")
    parser.add_argument("--tcmu-runner", default="/usr/bin/tcmu-runner", help="the original")
    parser.add_argument("--ring-load", default=str(PROJECT / ".build/release/ring-load"))
    parser.add_argument("--raw", default=str(PROJECT / ".lab/bench"), metavar="DIR",
                        help="where results.jsonl and machine.json go")
    parser.add_argument("--append", action="store_true", help="add to the results that are there")
    parser.add_argument("--folder", default="/var/tmp", help="where the file backend's image is made")
    parser.add_argument("--keep", action="store_true", help="keep the daemons' logs")
    parser.add_argument("--timeout", type=float, default=3600, metavar="S", help="seconds until all is killed (3600)")
    parser.add_argument("--command", default="Benchmarks/Native/main.py", help=argparse.SUPPRESS)
    own = parser.add_argument_group("a workload of one's own")
    own.add_argument("--pattern", choices=["randread", "randwrite", "read", "write", "randrw"])
    own.add_argument("--block", type=int, metavar="BYTES", help="of each command (4096)")
    own.add_argument("--depth", type=int, help="commands in flight per LUN (32)")
    own.add_argument("--luns", type=int, help="how many (1); more than one only for instant, handoff, mem, rbd, tuning")
    options = parser.parse_args()
    options.load = None
    if any((options.pattern, options.block, options.depth, options.luns)):
        options.load = plans.Load(options.pattern or "randread", options.depth or 32, options.block or 4096,
                                  options.luns or 1)
    options.suites = (options.suites or ("instant" if options.load else ",".join(plans.NAMES))).split(",")
    for name in options.suites:
        if name not in plans.NAMES:
            parser.error(f"suite {name}: expected {', '.join(plans.NAMES)}")
        if options.load and (name == "idle" or name == "file" and options.load.units > 1):
            parser.error(f"suite {name} cannot have that workload")
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("nothing to measure")
    return options


def main():
    options = arguments()
    raw = pathlib.Path(options.raw)
    raw.mkdir(parents=True, exist_ok=True)
    for program in ("gcc", "unshare", "fio", options.tcmud, options.tcmu_runner, options.ring_load):
        if shutil.which(program) is None:
            world.fail(f"{program} is missing; Benchmarks/Native/run installs and builds what is needed")
    if not options.append:
        (raw / "results.jsonl").unlink(missing_ok=True)
    if options.append and (raw / "machine.json").exists():
        extend(options, raw)
    else:
        describe(options, raw)
    sandbox.raise_on_signals()
    with rundir.run_directory(options.keep) as directory:
        try:
            status = sandbox.run(lambda: Bench(options, directory).run(), options.timeout)
        except sandbox.Interrupted as signal:
            print(f"bench: {signal}, everything is stopped", file=sys.stderr)
            return 128 + signal.number
        finally:
            image_path(options.folder, directory).unlink(missing_ok=True)
    if status == sandbox.TIMED_OUT:
        machine.note(raw / "machine.json", f"Failed: the time limit of {options.timeout:g} s was reached.")
    if options.load and (raw / "results.jsonl").exists():
        records = data.load(raw / "results.jsonl")
        print("\n".join([*report.figure_sections(records), *report.ratio_sections(records)]))
    return status


def extend(options, raw):
    """Adds the suites of this call to what the machine's description says was measured."""
    path = raw / "machine.json"
    description = json.loads(path.read_text())
    known = description.setdefault("suites", [])
    known += [name for name in options.suites if name not in known]
    path.write_text(json.dumps(description, indent=2) + "\n")


def version_of(program):
    """Ours by its commit, where it stands in a repository."""
    done = subprocess.run(["git", "-c", "safe.directory=*", "-C", str(PROJECT), "describe", "--always", "--dirty"],
                          capture_output=True, text=True)
    return f"{pathlib.Path(program).name} {done.stdout.strip()}".strip()


def describe(options, raw):
    """Writes what the measurements are taken with, and what cannot be compared."""
    capped = [f"{name} {suite.rounds(options.rounds)}" for name, suite in plans.SUITES.items()
              if name in options.suites and suite.rounds(options.rounds) < options.rounds]
    if "idle" in options.suites and plans.IDLE_ROUNDS < options.rounds:
        capped.append(f"idle {plans.IDLE_ROUNDS}")
    description = machine.describe(
        version_of(options.tcmud), options.command, folder=options.folder,
        order=f"{report.count_text(options.rounds, 'round', 'rounds')}{' (' + ', '.join(capped) + ')' if capped else ''} "
              f"of {options.seconds:g} s per measurement; in each round every subject of a suite has one turn, and another one is first")
    description["suites"], description["rounds"] = options.suites, options.rounds
    description["not_comparable"] = [
        "What the kernel does inside a doorbell and before a command (copying data, the target core) is in no figure here; "
        "the lab kernel's table has it.",
        "The original's file handler is not in Debian's package; its qcow handler serves the raw file.",
        "`mem` has no counterpart in the original.",
        "fio has no ring and no second process: on two CPUs the load generator takes CPU from the daemons that fio keeps.",
        "fio's io_uring engine by default submits commands one by one as they come free, ours a batch per system call; the "
        "variant `batch=16` hands over and takes back up to 16 at a time. The bar is held against the faster of the two.",
        "fio's rbd engine is no upper limit: where the original is faster than it, too, the engine is what limits, not "
        "librbd.",
        "`rbd` runs beside its own OSD and monitor on the same CPUs: its figures are the cluster's as much as the daemon's.",
    ]
    (raw / "machine.json").write_text(json.dumps(description, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
