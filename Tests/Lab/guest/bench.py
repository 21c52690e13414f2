"""Turns fio's JSON into records (`record`), and the records of a run into a table of ratios (`table`).

`find` runs on the host and prints which of its processes is a program of the guest.
"""

import json
import pathlib
import statistics
import sys

_MICROSECOND = 1000
#: What `spent` in bench.sh prints.
_SPENT = ("nanoseconds", "ticks", "switches", "threads", "peak_kib")


def _daemon(before, after, ticks_per_second, commands):
    """The daemon's cost per command; None for each figure where no daemon took part."""
    keys = ("cpu_us", "guest_cpu_us", "switches", "threads", "peak_kib")
    if not before or not after or not commands:
        return dict.fromkeys(keys)
    first, last = (dict(zip(_SPENT, map(int, text.split()))) for text in (before, after))
    each = {key: (last[key] - first[key]) / commands for key in _SPENT[:3]}
    return dict(zip(keys, (
        round(each["nanoseconds"] / _MICROSECOND, 2), round(each["ticks"] * 1e6 / ticks_per_second, 2),
        round(each["switches"], 3), last["threads"], last["peak_kib"])))


def record(path, fio_path, ticks, before, after, *pairs):
    """Adds one record to the file at `path` and prints it for people."""
    with open(fio_path, encoding="utf-8") as file:
        text = file.read()
    # Libraries below fio may have said something first.
    job = json.loads(text[text.index("{"):])["jobs"][0]
    if job["error"]:
        sys.exit(f"fio ended with error {job['error']}")
    words = dict(pair.split("=", 1) for pair in pairs)
    side = job["write" if "write" in words["pattern"] else "read"]
    percentiles = side["lat_ns"]["percentile"]
    commands = side["total_ios"]
    one = {
        "kind": "lab", "round": int(words["round"]), "subject": words["subject"], "variant": "", "backend": "rbd",
        "transport": words["transport"], "luns": 1, "pattern": words["pattern"],
        "block": int(words["block"]), "depth": int(words["depth"]),
        "seconds": round(side["runtime"] / 1000, 3), "commands": commands,
        "iops": round(side["iops"], 1),
        **{key: round(percentiles[name] / _MICROSECOND, 1) for key, name in (
            ("p50_us", "50.000000"), ("p99_us", "99.000000"), ("p999_us", "99.900000"))},
        **_daemon(before, after, int(ticks), commands),
    }
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(one) + "\n")
    cpu = "" if one["cpu_us"] is None else f", {one['cpu_us']:.0f} us CPU each"
    print(f"round {one['round']}: {one['subject']:11} {one['transport']:8} {one['pattern']:9} depth {one['depth']:3}: "
          f"{one['iops']:6.0f}/s, p50 {one['p50_us']:.0f} us, p99 {one['p99_us']:.0f} us{cpu}")


def find(address):
    """Prints the process of a guest that has memory at that address (decimal): the guest's kernel keeps a process of the
    host for each of its own, with the same addresses. A shell's stack may lie there by chance; the daemon, with
    its libraries and threads, has many times the pieces of memory."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if not (path / "comm").read_text().startswith("linux"):
                continue
            ranges = [line.split()[0].split("-") for line in (path / "maps").read_text().splitlines()]
            if any(int(start, 16) <= int(address) < int(end, 16) for start, end in ranges):
                found.append((len(ranges), path.name))
        except OSError:
            continue
    if not found:
        sys.exit("no process has memory there")
    print(max(found)[1])


def _ratio(rounds, subject, base, key):
    """Median over the rounds of the ratio within each round, and how far the rounds lie apart."""
    pairs = [(one[subject][key], one[base][key]) for one in rounds if subject in one and base in one]
    ratios = [over / under for over, under in pairs if over and under]
    if not ratios:
        return "-"
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def table(path):
    """Prints ratios, ours to the original and both to fio's rbd engine, pair by pair within a round."""
    with open(path, encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    heads = ("ours : original", "IOPS", "p50", "p99", "CPU", "ours : fio-rbd", "original : fio-rbd")
    layout = "{:<24}" + "{:<20}" * 6
    print(layout.format(*heads).rstrip())
    cases = dict.fromkeys((one["pattern"], one["depth"]) for one in records)
    for transport in ("tcm_loop", "iscsi"):
        for pattern, depth in cases:
            rounds = {}
            for one in records:
                if (one["pattern"], one["depth"]) == (pattern, depth) and one["transport"] in (transport, "fio-rbd"):
                    rounds.setdefault(one["round"], {})[one["subject"]] = one
            pairs = list(rounds.values())
            print(layout.format(
                f"{transport} {pattern} {depth}",
                *(_ratio(pairs, "tcmud", "tcmu-runner", key) for key in ("iops", "p50_us", "p99_us", "cpu_us")),
                *(_ratio(pairs, subject, "fio", "iops") for subject in ("tcmud", "tcmu-runner"))).rstrip())


if __name__ == "__main__":
    {"record": record, "table": table, "find": find}[sys.argv[1]](*sys.argv[2:])
