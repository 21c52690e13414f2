"""The command line of `lab`."""

import argparse
import os
import shutil
import subprocess
import sys

from harness import daemon, hostkernel, jobs, network, rundir, sandbox
from harness.ceph import Cluster
from harness.guest import Guest


def _parser():
    parser = argparse.ArgumentParser(prog="lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    listing = commands.add_parser("list", help="name every job and what it shows")
    listing.add_argument("--suite", action="store_true", help="those that `make test` runs, the longest first, each with `alone` or `beside`: may another run meanwhile?")

    run = commands.add_parser("run", help="boot a guest, run a job in it, give back its exit status")
    run.add_argument("job")
    run.add_argument("--daemon", choices=daemon.CHOICES, default=daemon.OURS, help="who serves the LUNs")
    run.add_argument("--binary", metavar="PATH", help="the daemon's program (default: the newest build)")
    run.add_argument("--ceph", action="store_true", help="a one-node Ceph, also for a job that does not ask for it")
    run.add_argument("--timeout", type=float, metavar="S", help="seconds until everything is killed, status 124")
    run.add_argument("--mem", default="2G", metavar="SIZE", help="the guest's memory (default 2G)")
    run.add_argument("--keep", action="store_true", help="keep the run's directory with all logs")
    run.add_argument("--results", metavar="DIR", help="where to copy what the job left in $LAB_SHARE/results")
    run.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable for the job")

    host = commands.add_parser("host", help="run a job on this machine's own kernel, if it has TCMU")
    host.add_argument("job", nargs="?")
    host.add_argument("--check", action="store_true", help="only say whether this kernel can")
    host.add_argument("--daemon", choices=daemon.CHOICES, default=daemon.OURS)
    host.add_argument("--binary", metavar="PATH")
    host.add_argument("--timeout", type=float, metavar="S")
    host.add_argument("--keep", action="store_true")

    ceph = commands.add_parser("ceph", help="run a command on the host beside a fresh one-node Ceph")
    ceph.add_argument("--timeout", type=float, default=3600, metavar="S")
    ceph.add_argument("--keep", action="store_true", help="keep the cluster's directory with all logs")
    ceph.add_argument("--osds", type=int, default=1, metavar="N", help="how many OSDs it has (default 1)")
    ceph.add_argument("words", nargs="+", metavar="-- COMMAND", help="sees the cluster through CEPH_CONF (and TCMU_TEST_CEPH_CONF)")
    return parser


def _list(suite):
    if suite:
        # By their time limits, so that no long one is left for the end.
        for job in sorted((job for job in jobs.all_jobs().values() if job.in_suite), key=lambda job: -job.timeout):
            print(job.name, "alone" if job.alone else "beside")
        return 0
    for job in jobs.all_jobs().values():
        notes = ("ceph " if job.needs_ceph else "") + ("" if job.in_suite else "on demand ")
        print(f"{job.name:14} {job.about}" + (f" [{notes.strip()}]" if notes else ""))
    return 0


def _cluster(directory, osds=1, long_leases=False):
    """A running cluster; called inside the sandbox."""
    network.make_bridge()
    cluster = Cluster(directory / "ceph", osds, long_leases=long_leases)
    cluster.start()
    return cluster


def _run(options):
    job = jobs.find(options.job)
    chosen = daemon.choose(options.daemon, options.binary)
    variables = dict(pair.partition("=")[::2] for pair in options.set)
    with rundir.run_directory(options.keep) as directory:

        def inside():
            cluster = _cluster(directory, job.osds) if job.needs_ceph or options.ceph else None
            return Guest(directory, job, chosen, options.mem, cluster, variables).run()

        try:
            return sandbox.run(inside, options.timeout or job.timeout)
        finally:
            left = directory / "share" / "results"
            if options.results and left.is_dir():
                shutil.copytree(left, options.results, dirs_exist_ok=True)


def _host(options):
    if options.check:
        hostkernel.check()
        return 0
    job = jobs.find(options.job)
    chosen = daemon.choose(options.daemon, options.binary)
    hostkernel.prepare()
    with rundir.run_directory(options.keep) as directory:

        def inside():
            cluster = _cluster(directory, job.osds) if job.needs_ceph else None
            return hostkernel.run(directory, job, chosen, cluster)

        try:
            return sandbox.run(inside, options.timeout or job.timeout, grace=hostkernel.GRACE)
        finally:
            hostkernel.clean()


def _ceph(options):
    with rundir.run_directory(options.keep) as directory:

        def inside():
            path = str(_cluster(directory, options.osds, long_leases=True).configuration)
            # The second name is for tests that make and remove images: CEPH_CONF alone may be a real cluster's.
            environment = dict(os.environ, CEPH_CONF=path, TCMU_TEST_CEPH_CONF=path)
            code = subprocess.run(options.words, env=environment, check=False).returncode
            return code if code >= 0 else 128 - code

        return sandbox.run(inside, options.timeout, new_session=False)


def main(arguments):
    """Runs the lab; the exit status is the job's, 124 for a time limit, 125 for a failure of the lab itself."""
    options = _parser().parse_args(arguments)
    sandbox.raise_on_signals()
    try:
        if options.command == "list":
            return _list(options.suite)
        if options.command == "host" and options.check:
            return _host(options)
        if os.geteuid() != 0:
            raise sandbox.LabError("must be root: it makes namespaces, a bridge and a tap")
        return {"run": _run, "host": _host, "ceph": _ceph}[options.command](options)
    except sandbox.LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return sandbox.LAB_FAILED
    except sandbox.Interrupted as signal:
        print(f"lab: {signal}, everything is stopped", file=sys.stderr)
        return 128 + signal.number
