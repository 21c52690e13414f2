"""Many LUNs that do nothing: threads, memory, wake-ups; and a light load on all of them at once."""

import pathlib
import re
import time

import fio
import plans

#: Seconds after which threads that helped at open have ended, and seconds of nothing.
SETTLE, REST = 10, 10


def measure(bench):
    """Every subject in turn, in another order in each round."""
    print("==> idle: many LUNs that do nothing", flush=True)
    bench.need_images(max(luns for _, luns in plans.IDLE))
    rounds = min(bench.options.rounds, plans.IDLE_ROUNDS)
    for number in range(1, rounds + 1):
        for subject, luns in plans.in_turn(plans.IDLE, number):
            with bench.watched("idle", number, rounds, subject):
                turn(bench, number, subject, luns)


def turn(bench, number, subject, luns):
    """One LUN and many of them: what each further one costs is the difference."""
    size = plans.IMAGE_BYTES if subject.backend == "rbd" else 64 << 20
    identity = dict(suite="idle", round=number, subject=subject.name, variant=subject.variant, backend=subject.backend,
                    luns=luns)
    with bench.session(subject, 1, size, 8) as session:
        # A LUN in use: it has been written, and so has its image's lock.
        session.claim()
        time.sleep(SETTLE)
        one = usage(session.daemon.pid)
    with bench.session(subject, luns, size, 8) as session:
        session.claim()
        time.sleep(SETTLE)
        before = usage(session.daemon.pid)
        time.sleep(REST)
        many = usage(session.daemon.pid)
        per_lun = {key: (many[key] - one[key]) / (luns - 1) for key in ("threads", "rss")}
        bench.save(kind="idle", **identity, threads=many["threads"], threads_per_lun=per_lun["threads"],
                   rss_kib=many["rss"], rss_per_lun_kib=per_lun["rss"],
                   cpu_ms_in_10s=many["cpu_ms"] - before["cpu_ms"],
                   switches_in_10s=many["switches"] - before["switches"])
        workload = dict(pattern="randread", block=4096, depth=2, units=luns, span=32 << 20, spin=0)
        figures = session.run(seconds=bench.options.seconds, warmup=1, **workload)
        figures.pop("total_commands")
        bench.save(**identity, pattern="randread", block=4096, depth=2, syscalls=None, **figures)


def usage(pid):
    """Threads, resident KiB, CPU milliseconds (by clock ticks) and context switches so far of a process."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    switches = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        text = (task / "status").read_text()
        switches += _number("voluntary_ctxt_switches", text) + _number("nonvoluntary_ctxt_switches", text)
    return {"threads": _number("Threads", status), "rss": _number("VmRSS", status),
            "cpu_ms": (int(fields[11]) + int(fields[12])) * 1000 // fio.TICKS, "switches": switches}


def _number(name, text):
    return int(re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE).group(1))
