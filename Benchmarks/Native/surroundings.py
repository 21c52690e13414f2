"""What else the machine does while something is measured: other processes' CPU, time stolen by the hypervisor.

To be used inside the sandbox: what has a number in its /proc is ours (daemon, load generator, fio, the cluster), the
rest of the machine's busy time is others'. The kernel's own threads have no number there and count as others.
"""

import os
import pathlib
import time

TICKS = os.sysconf("SC_CLK_TCK")
#: Seconds of rest before a turn in which others are looked for.
PAUSE = 0.25
#: CPUs in use by others from which on a turn is named in the report: in the pause, and over a whole turn, in which the
#: kernel writes back what we wrote. And CPUs stolen over a turn.
LIMITS = {"others_before": 0.25, "others": 0.5, "steal": 0.1}


class Watch:
    """Looks at the machine before a turn and over it."""

    def __init__(self):
        first = _sample()
        time.sleep(PAUSE)
        self._first = _sample()
        self._before = _between(first, self._first)

    def end(self):
        """The keys of a record: CPUs (1 is one processor all the time), load average and seconds."""
        over = _between(self._first, _sample())
        return {"seconds": round(over["seconds"], 1), "load1": os.getloadavg()[0],
                "others_before": self._before["others"], "others": over["others"], "steal": over["steal"]}


def _between(first, last):
    elapsed = last["time"] - first["time"]
    others = (last["busy"] - first["busy"]) - (last["own"] - first["own"])
    return {"seconds": elapsed, "others": round(max(0, others) / elapsed, 2),
            "steal": round((last["stolen"] - first["stolen"]) / elapsed, 3)}


def _sample():
    words = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()
    user, nice, system, _, _, interrupts, soft, stolen = (int(word) / TICKS for word in words[1:9])
    return {"time": time.monotonic(), "busy": user + nice + system + interrupts + soft, "stolen": stolen, "own": _own()}


def _own():
    """Seconds of all processes in sight, with those of ended ones that somebody has waited for."""
    ticks = 0
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            ticks += sum(map(int, path.read_text().rpartition(")")[2].split()[11:15]))
        except OSError:
            continue
    return ticks / TICKS
