#!/usr/bin/python3
"""Shows that the instant librbd does what the harness takes for granted, and runs the tests of the report.

    selftest.py [--daemon BINARY]...

Names every rbd_ or rados_ function that a BINARY (the newest build of tcmud where none is named) imports and the library
lacks: such a call would reach the real library with a handle that is none of its own. Then drives both ways of calling
back, one image and a hundred, and Debian's handler_rbd.so where that is installed. Needs no cluster and no daemon.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BUILDS = [HERE.parents[1] / ".build" / kind / "tcmud" for kind in ("debug", "release")]
ORIGINAL = "/usr/lib/x86_64-linux-gnu/tcmu-runner/handler_rbd.so"


def build_library(path):
    """The instant librbd, to be named in LD_PRELOAD."""
    subprocess.run(
        ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", path, HERE / "preload" / "librbd.c",
         "-ldl", "-lpthread"], check=True)


def symbols(binary, kind):
    """Names of a binary's dynamic symbols; kind is `undefined` or `defined`."""
    text = subprocess.run(["nm", "-D", f"--{kind}-only", binary], check=True, capture_output=True, text=True).stdout
    return {line.split()[-1].split("@")[0] for line in text.splitlines() if line.split()}


def missing_symbols(library, binary):
    """What `binary` would take from the real librados and librbd although `library` is preloaded."""
    wanted = {name for name in symbols(binary, "undefined") if re.match(r"(rbd|rados)_", name)}
    return sorted(wanted - symbols(library, "defined"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--daemon", action="append", default=[], metavar="BINARY", help="look at its imports too")
    daemons = parser.parse_args().daemon
    if not daemons:
        built = [path for path in BUILDS if path.exists()]
        daemons += sorted(built, key=lambda path: path.stat().st_mtime)[-1:]
    if os.path.exists(ORIGINAL):
        daemons.append(ORIGINAL)
    failures = subprocess.run([sys.executable, "-B", HERE / "test_report.py"]).returncode != 0
    with tempfile.TemporaryDirectory() as folder:
        library, driver = f"{folder}/librbd.so", f"{folder}/selftest"
        build_library(library)
        subprocess.run(
            ["cc", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-rdynamic", "-o", driver,
             HERE / "preload" / "selftest.c", "-lrbd", "-lrados", "-ldl", "-lpthread"], check=True)
        for daemon in daemons:
            missing = missing_symbols(library, daemon)
            failures += bool(missing)
            print(f"{daemon}: {'lacks ' + ', '.join(missing) if missing else 'all its calls are there'}")
        jobs = [["images", "1", "20000"], ["images", "100", "1000"]]
        if os.path.exists(ORIGINAL):
            jobs.append(["handler", ORIGINAL])
        for mode in ("instant", "handoff"):
            for job in jobs:
                print(f"mode {mode}: {' '.join(job)}", flush=True)
                environment = os.environ | {"LD_PRELOAD": library, "BENCH_RBD_MODE": mode}
                failures += subprocess.run([driver, *job], env=environment, timeout=120).returncode != 0
    print("failed" if failures else "passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
