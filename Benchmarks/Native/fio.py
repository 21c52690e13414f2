#!/usr/bin/python3
"""fio as the yardstick: its rbd engine on an image, its io_uring engine on a file. One JSON record per measurement.

    fio.py rbd --pool rbd --image bench [--conf PATH] [--id admin] [--set rbd_cache=false] --depth 1 32 128
    fio.py file --path /var/tmp/image --pattern randread randwrite --depth 32

What is measured how:

- IOPS and percentiles are fio's own, over the time after the ramp; latency is the total one, from submission to
  completion (`lat`).
- CPU is that of the whole process. fio's `usr_cpu` and `sys_cpu` are those of the job's thread alone: the kernel's
  io_uring workers and librbd's threads are missing there (a buffered write through io_uring: 0.44 s by fio, 1.65 s by
  the kernel). So /proc is read shortly after the ramp and shortly before the end, and the rate between is divided by
  the IOPS. Start-up and ramp are in neither.
- The image's cache is off, as both daemons have it; with librbd's own default a write would be answered from memory.
- A file is read through the page cache (`invalidate=0`): the daemons' backend does that too.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

#: Seconds left out at both ends of the window in which CPU is counted.
MARGIN = 0.15
#: Seconds that fio may take beyond its run: connecting to a cluster, reading its answers.
PATIENCE = 60
TICKS = os.sysconf("SC_CLK_TCK")


class FioError(Exception):
    """fio did not run, or not to its end."""


def version():
    """`fio-3.33`; nil where there is none."""
    program = shutil.which("fio")
    if program is None:
        return None
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def rbd(pool, image, conf=None, client="admin", settings=None, **measurement):
    """fio's rbd engine on one image, or on each of a list of images.

    settings: options of ceph.conf for this client, over what `conf` says; the default turns the cache off.
    measurement: see `measure`. The conf is $CEPH_CONF or /etc/ceph/ceph.conf where none is given.
    """
    images = [image] if isinstance(image, str) else list(image)
    conf = conf or os.environ.get("CEPH_CONF") or "/etc/ceph/ceph.conf"
    settings = {"rbd_cache": "false"} if settings is None else settings
    jobs = [[f"--pool={pool}", f"--rbdname={name}", f"--clientname={client}"] for name in images]
    with tempfile.TemporaryDirectory() as folder:
        # A section of the client's own is the most specific there is; fio has no option for settings.
        own = pathlib.Path(folder, "ceph.conf")
        lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
        own.write_text(f"{pathlib.Path(conf).read_text()}\n[client.{client}]\n{lines}")
        return measure("rbd", jobs, backend="rbd", environment={"CEPH_CONF": str(own)}, **measurement)


def file(path, more=(), **measurement):
    """fio's io_uring engine on one file, or on each of a list of files, through the page cache. more: options of fio."""
    paths = [path] if isinstance(path, (str, os.PathLike)) else list(path)
    jobs = [[f"--filename={one}", f"--size={os.path.getsize(one)}"] for one in paths]
    options = ["--direct=0", "--invalidate=0", "--fallocate=none", *more]
    return measure("io_uring", jobs, backend="file", options=options, **measurement)


def measure(engine, jobs, *, backend, pattern, depth, block=4096, seconds=5, ramp=1, round=0, variant="",
            options=(), environment=None):
    """Runs fio once and gives one record. jobs: what tells one job from the others, each a list of arguments."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "fio", f"--output={folder}/out.json", "--output-format=json", f"--ioengine={engine}", f"--rw={pattern}",
            f"--bs={block}", f"--iodepth={depth}", "--time_based", f"--runtime={milliseconds(seconds)}",
            f"--ramp_time={milliseconds(ramp)}",
            "--norandommap", "--randrepeat=0", "--group_reporting", "--unified_rw_reporting=1", "--lat_percentiles=1",
            "--clat_percentiles=0", "--percentile_list=50:99:99.9", "--exec_prerun=true", *options]
        for number, job in enumerate(jobs):
            command += [f"--name=job{number}", *job]
        # fio leaves the pre-run command's output where it is started; its appearance tells that the ramp begins.
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | (environment or {}), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            usage = _watch(process, pathlib.Path(folder, f"job{len(jobs) - 1}.prerun.txt"), seconds, ramp)
            said, _ = process.communicate(timeout=PATIENCE)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        written = pathlib.Path(folder, "out.json")
        text = written.read_text() if written.exists() else ""
        if process.returncode != 0 or usage is None:
            raise FioError(f"fio ended with status {process.returncode}: {said.strip()} {text.partition('{')[0]}")
        # An engine that runs its jobs as threads writes a line about the pre-run command before the report.
        report = json.loads(text[text.index("{"):])
    identity = {
        "round": round, "subject": "fio", "variant": variant, "backend": backend, "luns": len(jobs),
        "pattern": pattern, "block": block, "depth": depth}
    return identity | figures(report, usage)


def milliseconds(duration):
    """Seconds as fio takes them where they are no whole number."""
    return f"{int(duration * 1000)}ms"


def figures(report, usage):
    """The figures of a record out of fio's report and what `_watch` found."""
    job = report["jobs"][0]
    mixed = job["mixed"]
    if job["error"] or not mixed["total_ios"]:
        raise FioError(f"fio reports error {job['error']} after {mixed['total_ios']} I/Os")
    iops = mixed["iops"]
    points = mixed["lat_ns"]["percentile"]
    user, system = usage["user"] / iops * 1e6, usage["system"] / iops * 1e6
    return {
        "seconds": mixed["runtime"] / 1000, "commands": mixed["total_ios"], "iops": iops,
        "p50_us": points["50.000000"] / 1000, "p99_us": points["99.000000"] / 1000,
        "p999_us": points["99.900000"] / 1000, "cpu_us": user + system, "user_us": user, "system_us": system,
        "doorbells": None, "syscalls": None, "switches": usage["switches"] / iops, "peak_kib": usage["peak_kib"],
        "threads": usage["threads"]}


def _watch(process, started, seconds, ramp):
    """CPU seconds and context switches per second of the run's middle; memory and threads at its end. None where fio
    ended before its last job began."""
    limit = time.monotonic() + PATIENCE
    while not started.exists():
        if process.poll() is not None:
            return None
        if time.monotonic() > limit:
            raise FioError(f"fio has started no job in {PATIENCE} s")
        time.sleep(0.01)
    begin = time.monotonic() + ramp
    time.sleep(ramp + MARGIN)
    first = _sample(process.pid)
    time.sleep(max(0, begin + seconds - MARGIN - time.monotonic()))
    last = _sample(process.pid)
    elapsed = last["time"] - first["time"]
    switched = sum(count - first["switches"].get(task, 0) for task, count in last["switches"].items())
    return {
        "user": (last["user"] - first["user"]) / elapsed, "system": (last["system"] - first["system"]) / elapsed,
        "switches": switched / elapsed, "peak_kib": last["peak_kib"], "threads": last["threads"]}


def _sample(root):
    """Sums over fio and the processes it has forked, and the largest of their memory peaks. A process' times include
    those of its ended threads."""
    found = {"time": time.monotonic(), "user": 0, "system": 0, "peak_kib": 0, "threads": 0, "switches": {}}
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        # A process or thread that ends while it is looked at is left out.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found["user"] += int(fields[11]) / TICKS
            found["system"] += int(fields[12]) / TICKS
            status = _status(f"/proc/{pid}/status")
            found["peak_kib"] = max(found["peak_kib"], int(status["VmHWM"].split()[0]))
            found["threads"] += int(status["Threads"])
            for task in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    one = _status(f"/proc/{pid}/task/{task}/status")
                    found["switches"][task] = (
                        int(one["voluntary_ctxt_switches"]) + int(one["nonvoluntary_ctxt_switches"]))
                    waiting += pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split()
    return found


def _status(path):
    return dict(line.split(":\t", 1) for line in pathlib.Path(path).read_text().splitlines() if ":\t" in line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    engines = parser.add_subparsers(dest="engine", required=True)
    image = engines.add_parser("rbd", help="an image, by librbd")
    image.add_argument("--pool", default="rbd")
    image.add_argument("--image", required=True, nargs="+")
    image.add_argument("--conf")
    image.add_argument("--id", default="admin", help="cephx user without its client.")
    image.add_argument("--set", action="append", metavar="NAME=VALUE", help="instead of rbd_cache=false")
    plain = engines.add_parser("file", help="a file, by io_uring")
    plain.add_argument("--path", required=True, nargs="+")
    for each in (image, plain):
        each.add_argument("--pattern", nargs="+", default=["randread", "randwrite"])
        each.add_argument("--depth", nargs="+", type=int, default=[32])
        each.add_argument("--block", type=int, default=4096)
        each.add_argument("--seconds", type=float, default=5)
        each.add_argument("--ramp", type=float, default=1)
        each.add_argument("--rounds", type=int, default=1)
    words = parser.parse_args()
    for number in range(words.rounds):
        for pattern in words.pattern:
            for depth in words.depth:
                common = {
                    "pattern": pattern, "depth": depth, "block": words.block, "seconds": words.seconds,
                    "ramp": words.ramp, "round": number}
                if words.engine == "file":
                    record = file(words.path, **common)
                else:
                    settings = dict(one.split("=", 1) for one in words.set) if words.set else None
                    record = rbd(words.pool, words.image, words.conf, words.id, settings, **common)
                print(json.dumps(record), flush=True)


if __name__ == "__main__":
    try:
        main()
    except (FioError, OSError) as error:
        sys.exit(f"fio.py: {error}")
