"""How much of the machine others take while something is measured: what a slow window may be due to."""

import os
import time

_TICKS = os.sysconf("SC_CLK_TCK")


def _busy():
    """Processor seconds of the whole machine that were not idle."""
    with open("/proc/stat") as file:
        words = [int(word) for word in file.readline().split()[1:9]]
    return (sum(words) - words[3] - words[4]) / _TICKS


def _own():
    """Processor seconds of the lab's processes: those that this PID namespace has, their ended children included."""
    spent = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    words = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            spent += sum(int(word) for word in words[11:15])
    return spent / _TICKS


class Machine:
    """Looks once a second at most."""

    def __init__(self):
        self.seen = []
        self._last = None

    def look(self):
        """Notes (time, processors that others used since the last look)."""
        now = time.time()
        if self._last and now - self._last[0] < 1:
            return
        current = (now, _busy(), _own())
        if self._last:
            spent = (current[1] - self._last[1]) - max(current[2] - self._last[2], 0)
            self.seen.append((round(now, 1), round(max(spent, 0) / (now - self._last[0]), 2)))
        self._last = current
