#!/usr/bin/python3
"""Says what a storm did to the daemon and to the neighbour: judge.py DIRECTORY. Status 1 when anything is not as it must be.

DIRECTORY holds watch.jsonl (once a second), phases ("EPOCH NAME" at each beginning: calm, control, between, storm, after, end),
fio.json (the neighbour's), storm/storm.json and control/storm.json (the hostile initiator's accounts).
"""

import json
import pathlib
import sys

#: Seconds of a window, and the part of its calm rate that the neighbour keeps in each.
WINDOW, SHARE = 5.0, 1 / 3
#: Seconds between two looks that are believed to be once a second; more means that the guest itself stood still.
GAP = 4.0
#: KiB that the daemon may have grown by, from the second quarter of the storm to its last.
GROWTH = 4096
#: A calm phase shorter than this tells no rate.
CALM = 5.0
#: Seconds of a storm in which a quarter is long enough for memory to be judged.
LONG = 300


class Record:
    """What was seen."""

    def __init__(self, directory):
        directory = pathlib.Path(directory)
        self.samples = _lines(directory / "watch.jsonl")
        self.phases = {}
        lines = [line.split() for line in (directory / "phases").read_text().splitlines()]
        for (moment, name), (following, _) in zip(lines, lines[1:]):
            self.phases[name] = (float(moment), float(following))
        self.storm = _json(directory / "storm" / "storm.json")
        self.control = _json(directory / "control" / "storm.json")
        self.fio = _json(directory / "fio.json")

    def within(self, phase):
        begin, end = self.phases.get(phase, (0, 0))
        return [sample for sample in self.samples if begin <= sample["t"] <= end]

    def others(self, begin, end):
        """Processors that others used on the host meanwhile, in the mean."""
        used = [one for moment, one in self.storm.get("machine", []) if begin <= moment <= end]
        return sum(used) / len(used) if used else 0.0


def _lines(path):
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            # The last line of a guest that died.
            pass
    return found


def _json(path):
    """The text's first object; fio writes warnings before it. Empty when there is none."""
    text = path.read_text() if path.exists() else ""
    at = text.find("{")
    try:
        return json.loads(text[at:]) if at >= 0 else {}
    except ValueError:
        return {}


def rate(samples):
    """Operations per second from the first sample to the last."""
    if len(samples) < 2 or samples[-1]["t"] <= samples[0]["t"]:
        return 0.0
    return (samples[-1]["operations"] - samples[0]["operations"]) / (samples[-1]["t"] - samples[0]["t"])


def windows(samples):
    """(begin, end, rate) of each window of at least `WINDOW` seconds, one beginning at every sample."""
    found, last = [], 0
    for first, sample in enumerate(samples):
        last = max(last, first)
        while last < len(samples) - 1 and samples[last]["t"] - sample["t"] < WINDOW - 0.05:
            last += 1
        if samples[last]["t"] - sample["t"] < WINDOW - 0.05:
            break
        found.append((sample["t"], samples[last]["t"], rate(samples[first:last + 1])))
    return found


def daemon_problems(record):
    if not record.samples:
        return ["nobody looked at the daemon"]
    starts = {sample.get("start") for sample in record.samples}
    if None in starts:
        return ["the daemon has ended"]
    if len(starts) > 1:
        return ["the daemon was started again"]
    problems, calm, after = [], record.within("calm"), record.within("after")
    for what in ("threads", "descriptors"):
        before, left = (max((one[what] for one in some), default=None) for some in (calm, after[-3:]))
        if before is None or left is None:
            problems.append(f"the daemon's {what} were not counted before and after the storm")
        elif left > before:
            problems.append(f"{left} {what} after the storm, {before} before")
    begin, end = record.phases.get("storm", (0, 0))
    grown = growth(record)
    if end - begin >= LONG and (grown is None or grown > GROWTH):
        problems.append(f"the daemon's memory has grown by {grown} KiB from the second quarter of the storm to the last, allowed are {GROWTH}")
    return problems


def growth(record):
    """KiB, of the means of two quarters of the storm; the first is the working set's."""
    begin, end = record.phases.get("storm", (0, 0))
    means = []
    for quarter in (1, 3):
        low, high = begin + (end - begin) * quarter / 4, begin + (end - begin) * (quarter + 1) / 4
        some = [one["memory"] for one in record.samples if low <= one["t"] <= high and "memory" in one]
        if not some:
            return None
        means.append(sum(some) / len(some))
    return round(means[1] - means[0])


def neighbour_problems(record):
    problems, calm, storm = [], record.within("calm"), record.within("storm")
    usual = rate(calm)
    if usual <= 0 or calm[-1]["t"] - calm[0]["t"] < CALM:
        return ["the neighbour's rate is not known from before the storm"]
    seen = windows(storm)
    begin, end = record.phases["storm"]
    if not seen or storm[0]["t"] - begin > GAP or end - storm[-1]["t"] > GAP:
        problems.append("the neighbour was not watched during all of the storm")
    problems += [f"nobody looked for {after['t'] - before['t']:.1f} s: the guest stood still"
                 for before, after in zip(storm, storm[1:]) if after["t"] - before["t"] > GAP]
    slow = [one for one in seen if one[2] < usual * SHARE]
    if slow:
        worst = min(slow, key=lambda one: one[2])
        problems.append(
            f"{len(slow)} of {len(seen)} windows below {usual * SHARE:.0f} operations per second, a third of {usual:.0f}; the worst "
            f"{worst[2]:.0f}, {worst[0] - begin:.0f} s after the storm began, while others used {record.others(worst[0], worst[1]):.1f} processors")
    jobs = record.fio.get("jobs", [])
    if not jobs:
        problems.append("the neighbour's program left no account")
    for job in jobs:
        if job.get("error") or job.get("total_err"):
            problems.append(f"the neighbour's program has an error, {job.get('error') or job.get('total_err')}")
        if not job.get("read", {}).get("total_ios") or not job.get("write", {}).get("total_ios"):
            problems.append("the neighbour verified nothing")
    return problems


def storm_problems(record):
    storm = record.storm
    if not storm.get("ended"):
        return ["the hostile initiator did not come to its end"] + storm.get("problems", [])
    problems = list(storm.get("problems", []))
    commands = sum(storm.get("statuses", {}).values())
    # Not the whole of the rate: it waits while the LUN is busy with what takes long.
    if commands < storm["seconds"] * storm["rate"] / 10:
        problems.append(f"only {commands} commands were answered in {storm['seconds']:.0f} s, which is no storm")
    if not storm.get("statuses", {}).get("00h"):
        problems.append("not one hostile command was carried out")
    return problems


def judge(record):
    return daemon_problems(record) + neighbour_problems(record) + storm_problems(record)


def tell(record):
    """Figures, whatever the verdict."""
    usual = rate(record.within("calm"))
    print(f"  neighbour, operations per second: calm {usual:.0f}")
    for phase in ("control", "storm"):
        seen = sorted(one[2] for one in windows(record.within(phase)))
        if seen and usual > 0:
            what = "the same load on a LUN of the kernel's own" if phase == "control" else "the storm"
            print(f"    {what}: mean {rate(record.within(phase)):.0f}, worst window {seen[0]:.0f} ({seen[0] / usual:.0%} of calm), "
                  f"median {seen[len(seen) // 2]:.0f} ({seen[len(seen) // 2] / usual:.0%}), {len(seen)} windows")
    calm, after = record.within("calm"), record.within("after")
    for what in ("threads", "descriptors"):
        print(f"  the daemon's {what}: {[max((one.get(what, 0) for one in some), default=0) for some in (calm, record.within('storm'), after[-3:])]}"
              " (before, most during, after)")
    memory = [one["memory"] for one in record.within("storm") if "memory" in one]
    if memory:
        print(f"  the daemon's memory, KiB: first {memory[0]}, most {max(memory)}, last {memory[-1]}, last quarter less second quarter {growth(record)}")
    storm = record.storm
    print(f"  seed {storm.get('seed')}, sent: {json.dumps(storm.get('sent', {}), sort_keys=True)}")
    print(f"  answers: {json.dumps(dict(sorted(storm.get('statuses', {}).items(), key=lambda one: -one[1])))}")
    longest = sorted(storm.get("longest", {}).items(), key=lambda one: -one[1])[:8]
    print("  longest: " + ", ".join(f"{title} {seconds} s" for title, seconds in longest))
    print(f"  ready again {storm.get('recovery', 0):.1f} s after the storm; others used {record.others(*record.phases.get('storm', (0, 0))):.1f} processors")


def main():
    record = Record(sys.argv[1])
    tell(record)
    problems = judge(record)
    for problem in problems:
        print(f"NOT AS IT MUST BE: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
