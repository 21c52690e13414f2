"""Counts what a daemon asks its allocator for: probes on the allocator's entry points, which perf then counts."""

import pathlib
import re
import subprocess

#: The probes' group; `perf probe` keeps them until they are removed.
GROUP = "tcmubench"
EVENTS = f"{GROUP}:*"
#: What C and the Swift runtime allocate with.
FUNCTIONS = ("malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc")


class ProbeError(Exception):
    """There are no such probes on this machine; the text has perf's words."""


def allocator(pid):
    """The shared library that `malloc` of this process comes from."""
    found = set(re.findall(r"(/\S+)$", pathlib.Path(f"/proc/{pid}/maps").read_text(encoding="utf-8"), re.MULTILINE))
    for name in ("libtcmalloc", "libjemalloc", "libc.so"):
        for path in sorted(found):
            if path.rsplit("/", 1)[-1].startswith(name):
                return path
    raise ProbeError("no allocator among the process's libraries")


def probe(*words):
    try:
        done = subprocess.run(["perf", "probe", "-q", *words], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProbeError(f"perf probe: {error}") from error
    if done.returncode:
        raise ProbeError(f"perf probe {' '.join(words)}: {' '.join(done.stderr.split())[:200]}")


class Probes:
    """Probes on a process's allocator, for the time of a `with`."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        library = allocator(self.pid)
        self.remove()
        try:
            for function in FUNCTIONS:
                probe("-x", library, "-a", f"{GROUP}:{function}={function}")
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_):
        self.remove()

    @staticmethod
    def remove():
        """None left is no error."""
        subprocess.run(["perf", "probe", "-q", "-d", EVENTS], capture_output=True, timeout=30, check=False)
