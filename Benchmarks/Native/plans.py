"""What is measured: for each suite the subjects that take turns, and the workloads each of them gets."""

import dataclasses

PATTERNS = ("randread", "randwrite")
#: Microseconds between an answer and the next command where wake-ups are to be measured: a fast initiator's.
PAUSE = 20
KIB, MIB = 1 << 10, 1 << 20

#: Bytes of an image on the instant librbd, of a page-cached file, and of an image on the cluster.
INSTANT_BYTES, FILE_BYTES, IMAGE_BYTES = 1 << 30, 256 * MIB, 1 << 30


def paused(pattern, microseconds):
    """The name of a pattern with a pause between commands."""
    return f"{pattern}, {microseconds} us between"


@dataclasses.dataclass(frozen=True)
class Load:
    """One workload. `counts` asks for a run of its own in which system calls are counted; `pause` is the time in
    microseconds that initiators take between an answer and the next command.
    """

    pattern: str
    depth: int
    block: int = 4 * KIB
    units: int = 1
    counts: bool = False
    pause: int = 0

    @property
    def title(self):
        """What records call the pattern."""
        return paused(self.pattern, self.pause) if self.pause else self.pattern


@dataclasses.dataclass(frozen=True)
class Subject:
    """Who is measured, on what, with which options.

    name: "tcmud", "tcmu-runner" or "fio"; backend: as in the records; config: the unit's config string with `{}` for its
    number; options: words of the daemon's command line; preloads: libraries from preload/ beside `uio`, or names of
    shared libraries; variables: of its environment.
    """

    name: str
    backend: str
    config: str = ""
    variant: str = ""
    options: tuple = ()
    preloads: tuple = ()
    variables: tuple = ()
    #: Depths at which it is measured; all of the suite's where it is empty.
    depths: tuple = ()

    def loads_of(self, suite):
        """What of a suite's workloads this subject gets."""
        return [load for load in suite.loads if not self.depths or load.depth in self.depths]


@dataclasses.dataclass(frozen=True)
class Suite:
    """Subjects that take turns (A B A B …) and the workloads of each turn."""

    title: str
    subjects: tuple
    loads: tuple
    unit_bytes: int
    #: Microseconds for which the load generator watches for answers; where the machine's CPUs are needed by a cluster or
    #: by the kernel's workers, it sleeps.
    spin: int = 2000
    needs_cluster: bool = False
    #: The load generator has the last CPU for itself and the daemon all others: the kernel likes to wake a daemon on the
    #: CPU of whoever woke it, where the two then take turns instead of working side by side.
    apart: bool = False
    #: At most so many rounds: fewer where no bar is judged by them.
    most_rounds: int = 1000

    def rounds(self, wanted):
        """How many rounds there are where so many are asked for."""
        return min(wanted, self.most_rounds)


def _grid(depths, patterns=PATTERNS, counted=(32,), **options):
    return tuple(Load(pattern, depth, counts=depth in counted, **options) for pattern in patterns for depth in depths)


def _isolated(mode):
    common = {"preloads": ("librbd",), "variables": (("BENCH_RBD_MODE", mode),), "backend": f"rbd-{mode}"}
    subjects = (
        Subject("tcmud", config="rbd/rbd/disk{}", **common),
        Subject("tcmud", config="rbd/rbd/disk{}", variant="spin=32", options=("--spin", "32"), depths=(1, 32), **common),
        Subject("tcmud", config="rbd/rbd/disk{}", variant="spin=0", options=("--spin", "0"), depths=(1,), **common),
        Subject("tcmu-runner", config="rbd/rbd/disk{};osd_op_timeout=30", **common))
    sequential = tuple(Load(pattern, 32, 64 * KIB) for pattern in ("read", "write"))
    more = (Load("randrw", 32),) + sequential if mode == "instant" else ()
    # Without a pause a daemon that is alone always finds the next command before it gets to sleep.
    alone = tuple(Load(pattern, 1, pause=PAUSE) for pattern in PATTERNS)
    return Suite(f"the daemon alone, librbd instant ({mode})", subjects, _grid((1, 32, 128)) + alone + more, INSTANT_BYTES,
                 spin=2000 if mode == "instant" else 0, apart=mode == "instant")


_RBD = {"backend": "rbd", "config": "rbd/rbd/bench{}"}
_ORIGINAL_RBD = {"backend": "rbd", "config": "rbd/rbd/bench{};osd_op_timeout=30"}


def _tuned(variant, options="", **more):
    return Subject("tcmud", backend="rbd", config="rbd/rbd/bench{}" + options, variant=variant, **more)


SUITES = {
    "instant": _isolated("instant"),
    "handoff": _isolated("handoff"),
    "mem": Suite("memory", (Subject("tcmud", "mem", "mem/{}"), Subject("tcmud", "mem", "mem/{}", "spin=32", ("--spin", "32"))),
                 _grid((1, 32, 128)) + (Load("randread", 8, units=16), Load("randwrite", 8, units=16)), 64 * MIB,
                 apart=True, most_rounds=3),
    "file": Suite("a page-cached file",
                  (Subject("tcmud", "file", "file/{path}"), Subject("tcmu-runner", "qcow", "qcow/{path}"),
                   Subject("fio", "file"),
                   # By default the engine submits commands one by one as they come free, ours a batch per system call.
                   Subject("fio", "file", variant="batch=16", depths=(32, 128), options=(
                       "--iodepth_batch_submit=16", "--iodepth_batch_complete_max=16"))),
                  _grid((1, 32, 128)), FILE_BYTES, spin=50),
    "rbd": Suite("an image on the one-node cluster",
                 (Subject("tcmud", **_RBD), Subject("tcmu-runner", **_ORIGINAL_RBD), Subject("fio", "rbd")),
                 _grid((1, 8, 32, 128)), IMAGE_BYTES, spin=0, needs_cluster=True),
    "tuning": Suite("settings of ours on the one-node cluster",
                    (_tuned("as shipped"), _tuned("spin=0", ";spin=0"), _tuned("spin=16", ";spin=16"),
                     _tuned("rbd_non_blocking_aio=false", ";rbd_non_blocking_aio=false"),
                     _tuned("rbd_disable_zero_copy_writes=false", ";rbd_disable_zero_copy_writes=false"),
                     _tuned("allocator glibc", preloads=("libc.so.6",)),
                     _tuned("allocator jemalloc", preloads=("libjemalloc.so.2",))),
                    _grid((1, 32), counted=()) + (Load("randwrite", 16, 64 * KIB),), IMAGE_BYTES, spin=0,
                    needs_cluster=True, most_rounds=3),
}

#: Many LUNs that do nothing: subject, LUNs.
IDLE = (
    (Subject("tcmud", "mem", "mem/{}"), 100),
    (Subject("tcmud", **_RBD), 50),
    (Subject("tcmud", "rbd", "rbd/rbd/bench{};connection_group=bench", variant="connection group"), 50),
    (Subject("tcmu-runner", **_ORIGINAL_RBD), 50),
)
#: A round takes three minutes, most of it rest, and hardly differs from the next.
IDLE_ROUNDS = 2

#: What the lab's job `bench` measures unless it is told otherwise: transports and who is measured over each.
LAB_ROUNDS, LAB_DEPTHS = 3, (1, 32)
LAB_WAYS = (("fio-rbd", "fio"), ("tcm_loop", "tcmud"), ("tcm_loop", "tcmu-runner"), ("iscsi", "tcmud"),
            ("iscsi", "tcmu-runner"))

#: All of it, in the order in which it is measured.
NAMES = (*SUITES, "idle")


def expected(suites, rounds, lab=False):
    """What there must be of records: pairs of the keys that tell a case from the others, and its number of rounds."""
    cases = []
    for name in suites:
        if name == "idle":
            cases += [({"kind": "idle", "suite": name, "subject": subject.name, "variant": subject.variant,
                        "backend": subject.backend, "luns": luns}, min(rounds, IDLE_ROUNDS))
                      for subject, luns in IDLE]
            continue
        suite = SUITES[name]
        cases += [({"kind": "run", "suite": name, "subject": subject.name, "variant": subject.variant,
                    "backend": subject.backend, "pattern": load.title, "block": load.block, "depth": load.depth,
                    "luns": load.units}, suite.rounds(rounds))
                  for subject in suite.subjects for load in subject.loads_of(suite)]
    if lab:
        cases += [({"kind": "lab", "transport": transport, "subject": subject, "pattern": pattern, "depth": depth},
                   LAB_ROUNDS)
                  for transport, subject in LAB_WAYS for pattern in PATTERNS for depth in LAB_DEPTHS]
    return cases


def in_turn(subjects, number):
    """Who comes when in that round: whoever came first in every round would find the cluster at its freshest."""
    first = (number - 1) % len(subjects)
    return subjects[first:] + subjects[:first]
