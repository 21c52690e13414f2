"""Two gateways, an initiator and seven kinds of trouble: what the application sees of it."""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import time
import traceback

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parent.parent.parent
sys.path.insert(0, str(HERE.parent))

import cases as cases_module
import measure
import report
from harness import daemon as daemon_module
from harness import network, rundir, sandbox
from harness.ceph import Cluster
from harness.orders import OrderFailed
from lockwatch import LockWatch
from stage import Stage

ORACLE = HERE / "oracle.json"
RAW = PROJECT / ".lab" / "ha"
#: Seconds for one case, boot and verification included, and for Ceph's start.
CASE_LIMIT, CLUSTER_LIMIT = 420, 120
#: Attempts to get the gateways set up; what goes wrong there is ceph-iscsi's and the guests', and is told.
SET_UPS = 2


def _arguments():
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("--cases", default="", help='only these, as in "a g"; default: all')
    parser.add_argument("--oracle", action="store_true", help="the original as well, in the same run, before ours")
    parser.add_argument("--only-oracle", action="store_true", help="the original alone")
    parser.add_argument("--save-oracle", action="store_true", help=f"keep the original's figures in {ORACLE.name}")
    parser.add_argument("--binary", metavar="PATH", help="our daemon's program")
    parser.add_argument("--raw", metavar="DIR", type=pathlib.Path, default=RAW, help=f"records and logs (default {RAW})")
    parser.add_argument("--reuse", action="store_true", help="no boot: judge the records of an earlier run again")
    options = parser.parse_args()
    names = options.cases.split() or list(cases_module.BY_NAME)
    unknown = [name for name in names if name not in cases_module.BY_NAME]
    if unknown:
        parser.error(f"no case {' '.join(unknown)}; there are: {' '.join(cases_module.BY_NAME)}")
    options.chosen = [case for case in cases_module.ALL if case.name in names]
    return options


class Run:
    """All cases of one daemon, or of both, on one cluster."""

    def __init__(self, options, directory):
        self.options = options
        self.directory = directory
        self.started = time.monotonic()
        #: The same in all records of a run, so that figures of two runs are never compared.
        self.name = datetime.datetime.now().isoformat(timespec="seconds")
        self.number = 0

    def say(self, text):
        print(f"[{time.monotonic() - self.started:5.0f} s] {text}", flush=True)

    def __call__(self):
        network.make_bridge()
        cluster = Cluster(self.directory / "ceph")
        cluster.start()
        for case in self.options.chosen:
            for kind in self._kinds():
                self._one(cluster, case, kind)
        return 0

    def _kinds(self):
        # Side by side, case by case: what the machine does meanwhile meets both.
        original = [daemon_module.ORIGINAL] if self.options.oracle or self.options.only_oracle else []
        return original + ([] if self.options.only_oracle else [daemon_module.OURS])

    def _one(self, cluster, case, kind):
        self.say(f"== case {case.name}, {kind}: {case.title}")
        place = self.options.raw / kind / case.name
        record = {"run": self.name, "case": case.name, "title": case.title, "daemon": kind}
        for attempt in range(1, SET_UPS + 1):
            stage = self._stage(cluster, kind)
            try:
                stage.set_up()
                record["set_ups"] = attempt
                record.update(_play(stage, case))
                record.pop("failed", None)
            except Exception as error:
                # One case that cannot be played must not take the others with it.
                record["failed"] = str(error) or repr(error)
                self.say(f"case {case.name} failed: {error if isinstance(error, OrderFailed) else traceback.format_exc()}")
            try:
                stage.end(keep_in=place)
            except Exception as error:
                self.say(f"clearing up after case {case.name}: {error}")
            if "set_ups" in record:
                break
        record["load"] = os.getloadavg()[0]
        place.mkdir(parents=True, exist_ok=True)
        (place / "record.json").write_text(json.dumps(record, indent=1) + "\n")
        with open(self.options.raw / "results.jsonl", "a") as results:
            results.write(json.dumps(record) + "\n")
        self.say(_line(record))

    def _stage(self, cluster, kind):
        # Directory and image of its own: the image before may still be watched by guests that are gone.
        self.number += 1
        binary = self.options.binary if kind == daemon_module.OURS else None
        return Stage(self.directory / f"stage{self.number}", cluster, daemon_module.choose(kind, binary), f"disk_{self.number}", self.say)


def _line(record):
    if "failed" in record:
        return f"case {record['case']}, {record['daemon']}: FAILED"
    return (f"case {record['case']}, {record['daemon']}: longest stall {record['stall_s']} s, silence {record['silence_s']} s, "
            f"{record['iops']} IOPS, {record['errors']} errors, {record['miscompares']} miscompares, "
            f"{record['hand_overs']} hand-overs")


def _play(stage, case):
    image = f"rbd/{stage.image}"
    with LockWatch(stage.cluster, image, stage.by_address) as watch:
        began = time.time()
        stage.initiator("limit 60 dd if=/dev/zero of=/dev/dm-0 bs=4k count=1 oflag=direct", 90)
        first_write = time.time() - began
        stage.initiator(f"start_application {case.seconds}")
        time.sleep(cases_module.BEFORE)
        stage.say(f"fault: {case.title}")
        fault_at = time.time()
        case.fault(stage, watch)
        rest = fault_at - cases_module.BEFORE + case.seconds - time.time()
        stage.initiator(f"await_application {max(int(rest), 0) + 150}", max(rest, 0) + 180)
        map_state = stage.initiator("map_state", 60)
        changes = [(round(at - fault_at, 2), gateway, client) for at, gateway, client in watch.changes]
        results = stage.guests["client.test"].share / "results"
        return {
            **measure.application(results, fault_at), **measure.locks(watch, fault_at),
            "first_write_s": round(first_write, 2), "lock_changes": changes, "map_at_end": map_state.splitlines(),
        }


def _read(raw, kind, chosen):
    found = {}
    for case in chosen:
        path = raw / kind / case.name / "record.json"
        if path.exists():
            found[case.name] = json.loads(path.read_text())
    return found


def _machine():
    models = {line.partition(":")[2].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")}
    return f"{os.cpu_count()} CPUs ({', '.join(sorted(models))}), guests under User-Mode Linux"


def _versions():
    names = ("tcmu-runner", "ceph-osd", "ceph-iscsi", "user-mode-linux")
    return {name: subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], stdout=subprocess.PIPE, text=True,
                                 check=False).stdout for name in names}


def _save_oracle(cases, versions):
    kept = json.loads(ORACLE.read_text()) if ORACLE.exists() else {"cases": {}}
    today = datetime.date.today().isoformat()
    for name, record in cases.items():
        if "failed" not in record:
            left = {key: value for key, value in record.items() if key not in ("run", "lock_changes", "map_at_end")}
            kept["cases"][name] = {**left, "date": today, "machine": _machine(), "versions": versions}
    ORACLE.write_text(json.dumps(kept, indent=1) + "\n")


def _kept():
    return json.loads(ORACLE.read_text())["cases"] if ORACLE.exists() else {}


def _play_all(options):
    """Plays them in a sandbox; 0 or the status to leave with."""
    (options.raw / "results.jsonl").unlink(missing_ok=True)
    sandbox.raise_on_signals()
    limit = CLUSTER_LIMIT + (2 if options.oracle else 1) * CASE_LIMIT * len(options.chosen)
    try:
        with rundir.run_directory() as directory:
            return sandbox.run(Run(options, directory), limit)
    except sandbox.LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return sandbox.LAB_FAILED
    except sandbox.Interrupted as signal:
        print(f"lab: {signal}, everything is stopped", file=sys.stderr)
        return 128 + signal.number


def main():
    """Status 0 when all bars are kept that can be judged: those made of the original's figures only with --oracle."""
    options = _arguments()
    options.raw.mkdir(parents=True, exist_ok=True)
    began = time.time()
    # Before the sandbox: this process cannot start another one after it.
    versions = _versions()
    status = 0 if options.reuse else _play_all(options)
    if status != 0:
        return status
    ours = {} if options.only_oracle else _read(options.raw, daemon_module.OURS, options.chosen)
    kept = _kept()
    if options.oracle or options.only_oracle:
        original = _read(options.raw, daemon_module.ORIGINAL, options.chosen)
        told = "the original's figures are of this run"
    else:
        original = {case.name: kept[case.name] for case in options.chosen if case.name in kept}
        told = "; ".join(sorted({f"the original's figures were taken on {one['date']}, {one['machine']}" for one in original.values()}))
    if options.save_oracle:
        _save_oracle(original, versions)
    print(f"\n{report.table(options.chosen, ours, original)}\n\n{told}\n{_machine()}; {report.loads({**original, **ours})}; "
          f"{time.time() - began:.0f} s in all")
    missed, unjudged = [], []
    for case in options.chosen:
        if case.name in ours:
            found = report.judge(case, ours[case.name], original.get(case.name), options.oracle)
            missed += found[0]
            unjudged += found[1]
        elif not options.only_oracle:
            missed.append(f"case {case.name}: no record")
    for text in unjudged:
        print(f"note: {text}")
    for text in missed:
        print(f"MISSED {text}")
    if ours and not missed:
        print("every bar that could be judged is kept" if unjudged else "every bar is kept")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
