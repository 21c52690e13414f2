"""Which daemon serves the LUNs of a run: ours, or the original for comparison."""

import dataclasses
import os
import pathlib
import shutil

from harness.jobs import PROJECT
from harness.sandbox import LabError

OURS = "tcmud"
ORIGINAL = "tcmu-runner"
CHOICES = (OURS, ORIGINAL)


@dataclasses.dataclass
class Daemon:
    """A daemon's kind, one of `CHOICES`, and its program on the host."""

    kind: str
    program: pathlib.Path


def _newest_build():
    """The newest of the debug and release builds: the one just built is the one to try."""
    builds = [PROJECT / ".build" / mode / OURS for mode in ("debug", "release")]
    present = [build for build in builds if build.exists()]
    return max(present, key=lambda build: build.stat().st_mtime, default=None)


def choose(kind, binary=None):
    """Finds the program of a daemon; `LabError` says how to get it when there is none."""
    if binary is not None:
        program = pathlib.Path(binary).resolve()
    elif kind == ORIGINAL:
        # Our own compatibility link may have that name too, so the distribution's place is meant.
        program = pathlib.Path(shutil.which(ORIGINAL, path="/usr/bin") or "/usr/bin/tcmu-runner")
    else:
        program = _newest_build()
    if program is None:
        raise LabError("tcmud is not built: swift build --product tcmud (or name one with --binary)")
    if not os.access(program, os.X_OK):
        hint = "apt-get install tcmu-runner" if kind == ORIGINAL else "name another with --binary"
        raise LabError(f"{program} cannot be run: {hint}")
    return Daemon(kind, program)
