"""Commands that a job asks the host's side to run: Ceph's own view, or faults from outside the guest.

A request is a file share/requests/N (a shell command); the answer is N.out (output) and then N.rc (exit
status), in that order, so that a guest that sees the status finds the whole output.
"""

import os
import pathlib
import subprocess
import threading

#: Seconds between two looks at the directory; inotify does not see what a guest writes through hostfs at once.
_PAUSE = 0.05
#: Seconds a request may take.
_LIMIT = 120


class Requests:
    """Answers a guest's requests, one at a time, on a thread of its own while the `with` block runs."""

    def __init__(self, share, cluster=None):
        self.directory = pathlib.Path(share) / "requests"
        self.environment = dict(os.environ)
        if cluster is not None:
            self.environment["CEPH_CONF"] = str(cluster.configuration)
            # The process of osd.0 is in run/osd.0.pid there, and so on.
            self.environment["LAB_CEPH"] = str(cluster.directory)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.directory.mkdir()
        self._thread.start()
        return self

    def __exit__(self, *_error):
        self._stop.set()

    def _serve(self):
        answered = set()
        while not self._stop.wait(_PAUSE):
            for path in sorted(self.directory.glob("*.go")):
                if path.stem not in answered:
                    answered.add(path.stem)
                    self._answer(path.stem)

    def _answer(self, name):
        command = (self.directory / f"{name}.go").read_text()
        try:
            done = subprocess.run(
                ["bash", "-c", command], env=self.environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_LIMIT, check=False)
            output, code = done.stdout, done.returncode
        except subprocess.TimeoutExpired as error:
            output, code = (error.stdout or b"") + b"time limit reached\n", 124
        (self.directory / f"{name}.out").write_bytes(output)
        temporary = self.directory / f"{name}.rc~"
        temporary.write_text(f"{code}\n")
        temporary.rename(self.directory / f"{name}.rc")
