"""One daemon serving simulated rings, and a load generator that drives it."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import world
from heap import EVENTS, Probes, ProbeError

#: Seconds for a daemon to serve its units, and for the first write of each to be taken.
START_LIMIT = 60
CLAIM_LIMIT = 45
#: Counts what a process asks of the kernel; -x: one line, the number first.
PERF = ["perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter"]


class Failed(Exception):
    """A measurement could not be taken; the text says why."""


class Session:
    """Starts load generator and daemon; use as a context manager.

    `subject` is "tcmud" or "tcmu-runner"; `options` are further words of the daemon's command line.
    """

    def __init__(self, programs, subject, units, directory, preloads=(), data_mib=64, options=(), variables=None,
                 apart=False):
        self.programs, self.subject, self.units = programs, subject, units
        self.directory = pathlib.Path(directory)
        self.preloads, self.data_mib, self.options = list(preloads), data_mib, list(options)
        self.variables = dict(variables or {})
        cpus = sorted(os.sched_getaffinity(0)) if apart else []
        self.load_pin = ["taskset", "-c", str(cpus[-1])] if len(cpus) > 1 else []
        self.daemon_pin = ["taskset", "-c", ",".join(map(str, cpus[:-1]))] if len(cpus) > 1 else []
        self.daemon = self.load = None

    def __enter__(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            self._start_load()
            self._start_daemon()
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.daemon:
            self.daemon.stop()
        if self.load:
            self.load.stdin.close()
            self.load.stop()

    def _start_load(self):
        nodes = self.directory / "nodes"
        self.load = world.Process(
            [*self.load_pin, str(self.programs.ring_load), "--nodes", str(nodes), "--units", str(len(self.units)),
             "--data-mib", str(self.data_mib)], self.directory / "load.log",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.map_size = self._answer()["map_size"]
        self.variables["BENCH_NODES"] = str(nodes)

    def _start_daemon(self):
        world.build_trees(self.directory, self.units, self.map_size, self.data_mib)
        if self.subject == "tcmud":
            command = [str(self.programs.tcmud), "--lock-file", str(self.directory / "lock"), *self.options]
        else:
            logs = self.directory / "tcmu-log"
            logs.mkdir(exist_ok=True)
            command = [str(self.programs.tcmu_runner), "--tcmu-log-dir", str(logs), *self.options]
        command = self.daemon_pin + command
        environment = world.environment_with(self.preloads, **self.variables)
        self.daemon = world.start_in_world(self.directory, command, environment, self.directory / "daemon.log")

    def _wait_until_ready(self):
        end = time.monotonic() + START_LIMIT
        while True:
            try:
                return self.ask("ready seconds=1")
            except Failed as error:
                if self.daemon.has_ended():
                    raise Failed(f"{self.subject} has ended before it served its units:\n{self.daemon.tail()}") from error
                if time.monotonic() > end:
                    raise Failed(f"{self.subject} has not served its units in {START_LIMIT} s: {error}") from error

    def _answer(self):
        line = self.load.stdout.readline()
        if not line:
            raise Failed(f"the load generator has ended: {self.load.tail()}")
        return json.loads(line)

    def ask(self, line):
        """Sends a line to the load generator and waits for its answer."""
        self.load.stdin.write(line + "\n")
        self.load.stdin.flush()
        answer = self._answer()
        if "error" in answer:
            raise Failed(f"{self.subject}: {answer['error']}\n{self.daemon.tail()}")
        if self.daemon and self.daemon.has_ended():
            raise Failed(f"{self.subject} has ended:\n{self.daemon.tail()}")
        return answer

    def run(self, **workload):
        """One measurement: the load generator's figures."""
        words = " ".join(f"{key}={value}" for key, value in workload.items())
        return self.ask(f"run {words} pid={self.daemon.pid}")

    def claim(self):
        """Writes to every unit until it takes it: the first write asks for an image's exclusive lock."""
        self.ask(f"claim seconds={CLAIM_LIMIT}")

    def count(self, heap, **workload):
        """System calls per command, and with `heap` heap allocations per command, in a run of its own.

        Counted by the kernel over the whole run: the daemon is idle before and after it. The rare allocation that has
        nothing to do with a command is counted, too.
        """
        if not heap:
            return self._count([], **workload)
        with Probes(self.daemon.pid):
            return self._count(["-e", EVENTS], **workload)

    def _count(self, more, **workload):
        perf = subprocess.Popen(
            [*PERF, *more, "-p", str(self.daemon.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            time.sleep(0.7)
            answer = self.run(**workload)
            perf.send_signal(signal.SIGINT)
            text = perf.communicate(timeout=20)[1]
        finally:
            if perf.poll() is None:
                perf.kill()
                perf.communicate()
        counts = {event: int(count) for count, event in re.findall(r"^(\d+),[^,]*,([^,]+),", text, re.MULTILINE)}
        calls = counts.pop("raw_syscalls:sys_enter", None)
        if calls is None or (more and not counts):
            raise Failed(f"perf: {' '.join(text.split())}")
        commands = answer["total_commands"]
        return calls / commands, sum(counts.values()) / commands if more else None


def heap_problem():
    """Why allocations cannot be counted here; None where they can."""
    try:
        with Probes(os.getpid()):
            return None
    except ProbeError as error:
        return str(error)


def counting_problem():
    """Why system calls cannot be counted here, in perf's words; None where they can."""
    if shutil.which("perf") is None:
        return "no perf: apt-get install linux-perf"
    try:
        done = subprocess.run([*PERF, "true"], capture_output=True, text=True, timeout=20)
    except subprocess.TimeoutExpired:
        return "perf does not end"
    if done.returncode == 0 and re.search(r"^\d+,", done.stderr, re.MULTILINE):
        return None
    return " ".join(done.stderr.split())[:200] or f"perf ends with status {done.returncode}"
