"""The bars that the figures are held against, as data, and what came of each.

A bar is judged case by case: per backend, pattern and depth. Ratios are formed within a round, and their median
decides; so a machine that is slow for a while is slow for both. A case without data is "not measured", never "met".
"""

import dataclasses
import fnmatch
import re
import typing

import plans
import records as data

#: Who a ratio is formed with: subject, and its backend where that is another than ours. Of fio the fastest variant counts.
ORIGINAL = (data.ORIGINAL, None)
ORIGINAL_QCOW = (data.ORIGINAL, "qcow")
FIO = (data.FIO, None)

#: The suite whose records a backend is judged by; others measure variants of it.
SUITES = {"rbd-instant": "instant", "rbd-handoff": "handoff", "rbd": "rbd", "file": "file", "mem": "mem"}

#: Where the daemon is alone: with librbd's callback inside the call, and on another thread as librbd has it.
ISOLATED = ("rbd-instant", "rbd-handoff")
PATTERNS = ("randread", "randwrite")
#: With a pause: where the next command is there before a daemon sleeps, watching or not is all the same.
PAUSED = tuple(plans.paused(pattern, plans.PAUSE) for pattern in PATTERNS)
DEEP = (32, 128)

MET, MISSED, NOT_MEASURED = "met", "missed", "not measured"


class Limit(typing.NamedTuple):
    """What one figure, or its ratio to a peer's, may be at least or at most."""

    figure: str
    sign: str
    value: float
    peer: tuple | None = None

    def holds(self, value):
        """True on the limit too."""
        return value >= self.value if self.sign == "≥" else value <= self.value


@dataclasses.dataclass(frozen=True)
class Bar:
    """Limits of which one has to hold, for each case of backends × patterns × depths."""

    name: str
    says: str
    limits: tuple
    backends: tuple
    patterns: tuple = PATTERNS
    depths: tuple = DEEP
    kind: str = "run"
    luns: int = 1
    #: "default", "spin on", "spin off" or "grouped".
    variant: str = "default"


BARS = (
    Bar("isolated-original", "2 x the original's IOPS, or half its CPU per command",
        (Limit("iops", "≥", 2, ORIGINAL), Limit("cpu_us", "≤", 0.5, ORIGINAL)), ISOLATED),
    Bar("isolated-cpu", "CPU per command, us", (Limit("cpu_us", "≤", 1.0),), ISOLATED),
    Bar("isolated-doorbells", "doorbells per command", (Limit("doorbells", "≤", 0.1),), ISOLATED, depths=(32,)),
    Bar("isolated-syscalls", "system calls per command", (Limit("syscalls", "≤", 0.3),), ISOLATED, depths=(32,)),
    # Room for what happens once a second in the half second that is counted, and not once per command.
    Bar("allocations", "heap allocations per command", (Limit("allocations", "≤", 0.001),),
        ISOLATED + ("file", "mem"), depths=(32,)),
    Bar("latency-spin-on", "p50 with spin on, to the original's", (Limit("p50_us", "≤", 0.7, ORIGINAL),), ISOLATED,
        PAUSED, (1,), variant="spin on"),
    Bar("latency-spin-off", "p50 with spin off, to the original's", (Limit("p50_us", "≤", 1.0, ORIGINAL),), ISOLATED,
        PAUSED, (1,), variant="spin off"),
    Bar("rbd-fio", "IOPS, to fio's rbd engine", (Limit("iops", "≥", 0.95, FIO),), ("rbd",)),
    Bar("rbd-original", "IOPS, to the original's", (Limit("iops", "≥", 1.0, ORIGINAL),), ("rbd",)),
    Bar("rbd-cpu", "CPU per command, to the original's", (Limit("cpu_us", "≤", 0.9, ORIGINAL),), ("rbd",)),
    Bar("file-fio", "IOPS, to fio's io_uring engine", (Limit("iops", "≥", 0.9, FIO),), ("file",)),
    Bar("file-original", "IOPS, to the original's qcow handler", (Limit("iops", "≥", 1.3, ORIGINAL_QCOW),),
        ("file",)),
    Bar("file-cpu", "CPU per command, to the original's qcow handler", (Limit("cpu_us", "≤", 0.5, ORIGINAL_QCOW),),
        ("file",)),
    Bar("idle-rbd-threads", "threads per LUN, own connections, to the original's",
        (Limit("threads_per_lun", "≤", 0.7, ORIGINAL),), ("rbd",), (None,), (None,), "idle", 50),
    Bar("idle-rbd-memory", "memory per LUN, own connections, to the original's",
        (Limit("rss_per_lun_kib", "≤", 0.7, ORIGINAL),), ("rbd",), (None,), (None,), "idle", 50),
    Bar("idle-rbd-grouped", "threads per further LUN, one connection", (Limit("threads_per_lun", "≤", 2),), ("rbd",),
        (None,), (None,), "idle", 50, "grouped"),
    Bar("idle-mem-cpu", "CPU ms in 10 idle seconds", (Limit("cpu_ms_in_10s", "≤", 0),), ("mem",), (None,), (None,),
        "idle", 100),
)


class Outcome(typing.NamedTuple):
    """What came of one case of a bar."""

    bar: Bar
    #: bar/backend/pattern/depth; what a reason is filed under.
    name: str
    backend: str
    pattern: str | None
    depth: int | None
    #: Per limit: the spread, or None.
    measured: tuple
    state: str

    @property
    def rounds(self):
        """Rounds that meet a limit, and rounds that were measured."""
        limits = [pair for pair in zip(self.bar.limits, self.measured) if pair[1]]
        counts = [(sum(map(limit.holds, found.values)), len(found.values)) for limit, found in limits]
        return max(counts, default=(0, 0))


def judge(records, bars=BARS):
    """One outcome per case of each bar."""
    return [
        _judge_case(records, bar, backend, pattern, depth)
        for bar in bars for backend in bar.backends for pattern in bar.patterns for depth in bar.depths]


class Reason(typing.NamedTuple):
    """Why cases are missed: what was measured and tried, on which machine and when."""

    #: Names of outcomes; `*` stands for any text, but a bar must be named.
    cases: tuple
    text: str
    machine: str
    date: str


def reason(outcome, reasons):
    """The first reason filed for this case; None where there is none."""
    return next((one for one in reasons
                 if any(fnmatch.fnmatchcase(outcome.name, case) for case in one.cases)), None)


def unknown_cases(reasons, bars=BARS):
    """Cases that a reason is filed for although no bar has them, or although they leave open which bar is meant."""
    known = [outcome.name for outcome in judge([], bars)]
    return sorted(case for one in reasons for case in one.cases
                  if not fnmatch.filter(known, case) or "*" in case.partition("/")[0] or "/" not in case)


def _judge_case(records, bar, backend, pattern, depth):
    case = {"kind": bar.kind, "luns": bar.luns}
    if bar.kind == "run":
        case |= {"pattern": pattern, "depth": depth, "block": 4096, "suite": SUITES[backend]}
    same = data.select(records, **case)
    ours = _of_variant(data.select(same, subject=data.OURS, backend=backend), bar.variant)
    measured = []
    for limit in bar.limits:
        if limit.peer is None:
            measured.append(data.spread(ours, limit.figure))
            continue
        subject, other = limit.peer
        theirs = data.select(same, subject=subject, backend=other or backend)
        theirs = data.best(theirs) if subject == data.FIO else data.select(theirs, variant="")
        measured.append(data.ratios(ours, theirs, limit.figure))
    name = "/".join(str(part) for part in (bar.name, backend, pattern, depth) if part is not None)
    return Outcome(bar, name, backend, pattern, depth, tuple(measured), _state(bar.limits, measured))


def _state(limits, measured):
    if any(found and limit.holds(found.median) for limit, found in zip(limits, measured)):
        return MET
    # One limit of several is not enough to say that none holds.
    return NOT_MEASURED if None in measured else MISSED


_SPIN_OFF = re.compile(r"spin=(0|off)\b.*")
_SPIN_ON = re.compile(r"spin=(?!0\b|off\b).+")


def _of_variant(records, wanted):
    """The records of a variant. Where only one of spin on and spin off has a name, the default is the other one."""
    named = {
        "spin on": data.select(records, variant=lambda text: bool(_SPIN_ON.fullmatch(text))),
        "spin off": data.select(records, variant=lambda text: bool(_SPIN_OFF.fullmatch(text)))}
    default = data.select(records, variant="")
    if wanted == "grouped":
        return data.select(records, variant=lambda text: "group" in text)
    if wanted == "default":
        return default
    other = "spin off" if wanted == "spin on" else "spin on"
    return named[wanted] or (default if named[other] else [])
