"""Runs a function as the first process of namespaces of its own, and leaves nothing of it behind.

The kernel does the cleaning. When the first process of a PID namespace dies the kernel kills every other
process in it, and the last process takes the mount and network namespaces (bridge, taps) with it. So
a time limit, Ctrl-C and a crash all come down to one SIGKILL, whatever the function has started.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import traceback

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1

#: Exit status for "the time limit was reached", the same as timeout(1) gives.
TIMED_OUT = 124
#: Exit status for "the lab itself failed", told apart from any failure of a job.
LAB_FAILED = 125

_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """The lab cannot go on; the text says what is missing or went wrong, and what to do about it."""


class Interrupted(Exception):
    """A signal asked the lab to stop; `number` is that signal."""

    def __init__(self, number):
        super().__init__(signal.Signals(number).name)
        self.number = number


def raise_on_signals():
    """Turns SIGINT, SIGTERM and SIGHUP into `Interrupted`, so that every `finally` runs."""

    def handler(number, _frame):
        raise Interrupted(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


def _unshare(flags):
    if _libc.unshare(flags) != 0:
        error = ctypes.get_errno()
        raise OSError(error, "unshare: " + os.strerror(error))


def _enter(function, new_session):
    """The first process: private mounts, its own /proc and an empty network with loopback up."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if new_session:
        os.setsid()
    _unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return function()


def _wait(pid, seconds):
    """Waits for `pid` up to `seconds`: its exit code (minus the signal's number), or None when it still runs."""
    pidfd = os.pidfd_open(pid)
    try:
        ended = select.poll()
        ended.register(pidfd, select.POLLIN)
        if not ended.poll(seconds * 1000):
            return None
    finally:
        os.close(pidfd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run(function, seconds, new_session=True, grace=0):
    """Runs `function()` in a sandbox for at most `seconds`; its result is the exit status given back.

    Only one sandbox per process: once its first process is gone, this process cannot fork any more, because
    the kernel starts no process in a dead PID namespace.
    `new_session` keeps the terminal's Ctrl-C from what runs inside; say False for an interactive command.
    With a `grace` the first process gets SIGTERM and so many seconds before it is killed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    _unshare(CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        status = LAB_FAILED
        try:
            status = _enter(function, new_session)
        except LabError as error:
            print(f"lab: {error}", file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    try:
        code = _wait(pid, seconds)
        if code is None:
            print(f"lab: time limit of {seconds:g} s reached, killing everything", file=sys.stderr)
            return TIMED_OUT
        pid = 0
        return code if code >= 0 else LAB_FAILED
    finally:
        if pid:
            if grace:
                os.kill(pid, signal.SIGTERM)
            if not grace or _wait(pid, grace) is None:
                os.kill(pid, signal.SIGKILL)
                # Returns only when the kernel has killed all the others too.
                os.waitpid(pid, 0)
