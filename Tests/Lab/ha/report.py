"""The table at the end, and whether the bars are kept."""

#: Stall of ours against the original's in the same case.
STALL_RATIO = 1.1
#: Operations per second of ours against the original's in case g.
THROUGHPUT_RATIO = 2.0
#: Seconds below which a ratio of stalls says nothing: a slow system call of the guest.
NOISE = 0.3
#: The daemon's default time for which it keeps the lock, in seconds, less the watch's resolution.
HOLD = 0.5 - 0.1


def judge(case, record, oracle, comparable):
    """(missed, unjudged) as lists of sentences; both empty when the case is passed.

    With `comparable` the original was played in the same run, beside ours: only then its figures are bars. Otherwise they
    are of another hour or machine, and what they would judge is left unjudged, with the ratio as information.
    """
    if "failed" in record:
        return [f"case {case.name}: {record['failed'].splitlines()[0]}"], []
    missed, unjudged = _alone(case, record), []
    # A case whose lock must stay has no fault to recover from, so no stall worth comparing.
    if not case.lock_stays:
        if comparable:
            missed += _beside(case, record, oracle)
        else:
            unjudged.append(_as_information(case, record, oracle))
    return [f"case {case.name}: {text}" for text in missed], [f"case {case.name}: {text}" for text in unjudged]


def _alone(case, record):
    """What is missed of the bars that need no figure of the original."""
    missed = []
    for what in ("errors", "miscompares"):
        if record[what] != 0:
            missed.append(f"{record[what]} {what}")
    if record["fio_status"] != 0:
        missed.append(f"fio ended with status {record['fio_status']}")
    if case.limit is not None and record["stall_s"] > case.limit:
        missed.append(f"stall {record['stall_s']} s, at most {case.limit} s")
    if case.lock_stays and record["hand_overs"] != 0:
        missed.append(f"{record['hand_overs']} lock hand-overs where none is needed")
    if case.name == "g" and not record["hand_overs"]:
        missed.append("no hand-over was seen, though the path was switched")
    if case.name == "g" and record["shortest_hold_s"] is not None and record["shortest_hold_s"] < HOLD:
        missed.append(f"lock held for {record['shortest_hold_s']} s only")
    return missed


def _beside(case, record, oracle):
    """What is missed of the bars that are made of the original's figures."""
    if not oracle or "failed" in oracle or not record.get("run") or oracle.get("run") != record["run"]:
        return ["no figure of the original in this run to compare with"]
    missed = []
    bound = max(STALL_RATIO * oracle["stall_s"], NOISE)
    if record["stall_s"] > bound:
        missed.append(f"stall {record['stall_s']} s, at most {bound:.1f} s ({STALL_RATIO} x the original's)")
    if case.name == "g" and record["iops"] < THROUGHPUT_RATIO * oracle["iops"]:
        missed.append(f"{record['iops']} IOPS, at least {THROUGHPUT_RATIO * oracle['iops']:.0f} (2 x the original's)")
    return missed


def _as_information(case, record, oracle):
    text = f"stall of {record['stall_s']} s" + (f" and {record['iops']} IOPS" if case.name == "g" else "")
    text += " not judged (ORACLE=1)"
    ratio = _ratio(record, oracle)
    if ratio:
        text += f"; {ratio} x the stall that is kept of the original"
        if case.name == "g" and oracle["iops"] > 0:
            text += f", {record['iops'] / oracle['iops']:.1f} x its IOPS"
    return text


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
