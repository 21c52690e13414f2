"""The table at the end, and whether the bars are kept."""

#: Stall of ours against the original's in the same case.
STALL_RATIO = 1.1
#: Operations per second of ours against the original's in case g.
THROUGHPUT_RATIO = 2.0
#: Seconds below which a ratio of stalls says nothing: a slow system call of the guest.
NOISE = 0.3
#: The daemon's default time for which it keeps the lock, in seconds, less the watch's resolution.
HOLD = 0.5 - 0.1


def judge(case, record, oracle):
    """What is missed, as a list of sentences; empty when the case is passed."""
    missed = []
    if "failed" in record:
        return [f"case {case.name}: {record['failed'].splitlines()[0]}"]
    for what in ("errors", "miscompares"):
        if record[what] != 0:
            missed.append(f"{record[what]} {what}")
    if case.limit is not None and record["stall_s"] > case.limit:
        missed.append(f"stall {record['stall_s']} s, at most {case.limit} s")
    if case.lock_stays and record["hand_overs"] != 0:
        missed.append(f"{record['hand_overs']} lock hand-overs where none is needed")
    # Without the original's figure a bar that depends on it is not met; it is unknown, and that is said.
    if case.limit is None and not case.lock_stays and (not oracle or "failed" in oracle):
        missed.append("no figure of the original to compare with; run with ORACLE=1")
    if oracle and "failed" not in oracle:
        bound = max(STALL_RATIO * oracle["stall_s"], NOISE)
        if case.limit is None and record["stall_s"] > bound:
            missed.append(f"stall {record['stall_s']} s, at most {bound:.1f} s ({STALL_RATIO} x the original's)")
        if case.name == "g" and record["iops"] < THROUGHPUT_RATIO * oracle["iops"]:
            missed.append(f"{record['iops']} IOPS, at least {THROUGHPUT_RATIO * oracle['iops']:.0f} (2 x the original's)")
    if case.name == "g" and not record["hand_overs"]:
        missed.append("no hand-over was seen, though the path was switched")
    if case.name == "g" and record["shortest_hold_s"] is not None and record["shortest_hold_s"] < HOLD:
        missed.append(f"lock held for {record['shortest_hold_s']} s only")
    return [f"case {case.name}: {text}" for text in missed]


def _cells(record):
    if record is None:
        return ["", "", "", "", ""]
    if "failed" in record:
        return ["failed", "", "", "", ""]
    return [f"{record['stall_s']:.1f}", f"{record['iops']:.0f}", str(record["errors"]), str(record["miscompares"]),
            str(record["hand_overs"])]


def _ratio(record, oracle):
    if not record or not oracle or "failed" in record or "failed" in oracle or oracle["stall_s"] <= 0:
        return ""
    return f"{record['stall_s'] / oracle['stall_s']:.2f}"


def table(cases, ours, original):
    """Markdown; a column per figure, ours and the original's."""
    head = ["", "case", "stall s", "IOPS", "errors", "miscompares", "hand-overs",
            "original: stall s", "IOPS", "errors", "miscompares", "hand-overs", "stall ratio"]
    rows = [head, ["---"] * len(head)]
    for case in cases:
        mine, theirs = ours.get(case.name), original.get(case.name)
        if mine or theirs:
            rows.append([case.name, case.title, *_cells(mine), *_cells(theirs), _ratio(mine, theirs)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def loads(records):
    """How busy the machine was: the lab alone makes 2 to 4, much more means that the figures tell little."""
    found = [record["load"] for record in records.values() if "load" in record]
    return f"load average {min(found):.0f} to {max(found):.0f}" if found else "load average unknown"
