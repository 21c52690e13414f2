"""The directory of one run, and the sweeping of directories whose owner was killed."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import tempfile

PREFIX = "tcmu-lab-"


def _lock(directory):
    """Takes the directory's lock; None when a living run holds it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def sweep():
    """Removes what runs that were killed by SIGKILL left behind; the lock tells them from living ones."""
    for directory in pathlib.Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        if not directory.is_dir() or directory.is_symlink() or directory.stat().st_uid != os.getuid():
            continue
        if (directory / "keep").exists():
            continue
        with contextlib.suppress(OSError):
            descriptor = _lock(directory)
            if descriptor is not None:
                shutil.rmtree(directory, ignore_errors=True)
                os.close(descriptor)


@contextlib.contextmanager
def run_directory(keep=False):
    """A fresh directory for one run, removed at the end unless `keep`.

    Its path is short on purpose: Ceph's admin sockets live in it and a socket's path has at most 107 bytes.
    """
    sweep()
    directory = pathlib.Path(tempfile.mkdtemp(prefix=PREFIX))
    descriptor = _lock(directory)
    try:
        yield directory
    finally:
        if keep:
            (directory / "keep").touch()
            print(f"lab: kept {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
        os.close(descriptor)
