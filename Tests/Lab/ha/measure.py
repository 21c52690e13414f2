"""What the application saw: fio's log of every completed operation, and the witness's account."""

import json
import re

#: A stall's resolution in the report, in digits after the point.
DIGITS = 2
#: fio's words for a block that is not what was written: its header first, then its sum.
_MISCOMPARE = re.compile(r"^verify: bad |verify failed at ", re.MULTILINE)


def application(results, fault_at):
    """The figures of one case from the initiator's `results` directory."""
    # Warnings stand before the object.
    text = (results / "fio.json").read_text()
    job = json.loads(text[text.index("{"):])["jobs"][0]
    complaints = (results / "fio.err").read_text(errors="replace")
    witness = json.loads((results / "witness.jsonl").read_text())
    operations = _operations(results / "fio_lat.log")
    verify_errors = len(_MISCOMPARE.findall(complaints))
    # An operation is late from its start on: one that began before the fault and came through after it counts.
    after = [latency for end, latency in operations if end >= fault_at]
    ends = sorted(end for end, _ in operations)
    gaps = [later - earlier for earlier, later in zip(ends, ends[1:]) if later >= fault_at]
    return {
        "stall_s": round(max(max(after, default=0), _witness_stall(witness, fault_at)), DIGITS),
        "fio_stall_s": round(max(after, default=0), DIGITS),
        "silence_s": round(max(gaps, default=0), DIGITS),
        # Writes and the reads that verify them.
        "iops": round(job["write"]["iops"] + job["read"]["iops"], 1),
        "writes": job["write"]["total_ios"],
        "reads": job["read"]["total_ios"],
        "errors": max(job["total_err"] - verify_errors, 0) + len(witness["errors"]),
        "miscompares": verify_errors + len(witness["miscompares"]),
        "fio_status": int((results / "fio.rc").read_text()),
        "witness_writes": witness["writes"],
    }


def _witness_stall(witness, fault_at):
    return max((stall["seconds"] for stall in witness["stalls"] if stall["began"] + stall["seconds"] >= fault_at), default=0)


def _operations(path):
    """(end in s since the epoch, latency in s) of each operation of fio."""
    found = []
    for line in path.read_text().splitlines():
        words = line.split(",")
        found.append((int(words[0]) / 1000, int(words[1]) / 1e9))
    return found


def locks(watch, fault_at):
    """The lock's changes from the fault on."""
    times = watch.hand_overs(fault_at)
    between = [later - earlier for earlier, later in zip(times, times[1:])]
    return {
        "hand_overs": len(times),
        "shortest_hold_s": round(min(between), DIGITS) if between else None,
        "lock_clients": len(watch.clients(fault_at)),
    }
