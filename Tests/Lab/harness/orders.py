"""Commands that the host's side gives to a guest: the other direction of `hostside`.

An order is a file share/orders/N.go (shell, run by the job `agent` in a subshell, several at once); the answer is
N.out (output) and then N.rc (exit status), in that order.
"""

import itertools
import pathlib
import threading
import time

from harness.sandbox import LabError

_PAUSE = 0.05


class OrderFailed(Exception):
    """The guest carried the order out and it failed; the text has the order's output."""


class Agent:
    """The host's end for one guest; orders may be given from several threads."""

    def __init__(self, name, share):
        self.name = name
        self.directory = pathlib.Path(share) / "orders"
        self.directory.mkdir()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def wait_until_up(self, seconds):
        """Returns when the guest takes orders."""
        self._await(self.directory / "ready", seconds, "boot")

    def ask(self, command, seconds=60):
        """Has it carried out and gives its output; raises `OrderFailed`, or `LabError` after `seconds`."""
        return self.answer(self.give(command), seconds, command)

    def give(self, command):
        """Starts it and gives the number to wait with."""
        with self._lock:
            number = f"{next(self._numbers):05}"
        temporary = self.directory / f"{number}.tmp"
        temporary.write_text(command + "\n")
        temporary.rename(temporary.with_suffix(".go"))
        return number

    def answer(self, number, seconds, command=""):
        """Waits for the end of what `give` started."""
        result = self.directory / f"{number}.rc"
        self._await(result, seconds, command)
        output = (self.directory / f"{number}.out").read_text(errors="replace")
        code = int(result.read_text())
        if code != 0:
            raise OrderFailed(f"{self.name}: {command}: status {code}\n{output}")
        return output

    def _await(self, path, seconds, command):
        end = time.monotonic() + seconds
        while not path.exists():
            if time.monotonic() > end:
                raise LabError(f"{self.name}: no answer in {seconds} s to: {command}")
            time.sleep(_PAUSE)
