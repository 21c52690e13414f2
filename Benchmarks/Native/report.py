#!/usr/bin/python3
"""Writes Benchmarks/RESULTS.md from measurement records.

    report.py results.jsonl --machine machine.json --output RESULTS.md [--explanations FILE]
              [--plot BACKEND=IMAGE.png]... [--full]
    report.py --selftest

machine.json: an object with `machine`, `kernel`, `date`, `command`, `order` (how runs were interleaved), `versions`
(name to text), `suites`, `rounds`, `notes` and `not_comparable` (lists of sentences); see machine.py. Each may be absent.

Exit status 1 where a bar is missed without a reason, a reason names no case or a plot could not be drawn; with --full
also where a bar was not measured or a case has fewer rounds than planned. RESULTS.md is written all the same.
"""

import argparse
import json
import os
import pathlib
import sys
import tomllib

import bars
import plans
import plot
import records as data
import surroundings

HERE = pathlib.Path(__file__).resolve().parent

TITLES = {
    "mem": "`mem`", "file": "`file`: a page-cached image", "instant": "`rbd`, instant librbd, callback within the call",
    "handoff": "`rbd`, instant librbd, callback on a thread of the image", "rbd": "`rbd` on a one-node cluster",
    "tuning": "`rbd` on a one-node cluster, settings of ours", "idle": "many LUNs at once (100 `mem`, 50 `rbd`)",
}
#: How "as shipped" is called where settings of ours are compared with each other.
SHIPPED = "as shipped"
#: Figures of a run: heading, key, how to print it.
FIGURES = (
    ("commands/s", "iops", "number"), ("p50 us", "p50_us", "number"), ("p99 us", "p99_us", "number"),
    ("p99.9 us", "p999_us", "number"), ("CPU us/command", "cpu_us", "fine"), ("doorbells", "doorbells", "fine"),
    ("system calls", "syscalls", "fine"), ("allocations", "allocations", "fine"), ("switches", "switches", "fine"),
    ("peak MiB", "peak_kib", "mib"),
)
RATIOS = (("commands/s", "iops"), ("p50", "p50_us"), ("p99", "p99_us"), ("CPU per command", "cpu_us"))


def text(value, style="number"):
    """A figure for a table; a dash where there is none."""
    if value is None:
        return "-"
    if style == "mib":
        value, style = value / 1024, "number"
    if style == "fine" and value < 100:
        return f"{value:.3f}" if value < 1 else f"{value:.2f}"
    if value >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if value != int(value) else f"{value:.0f}"


def spread_text(spread, style="ratio"):
    """Median, and in brackets the lowest and highest round."""
    if spread is None:
        return "-"
    digits = (lambda value: f"{value:.2f}") if style == "ratio" else (lambda value: text(value, "fine"))
    if len(spread.values) == 1:
        return digits(spread.median)
    return f"{digits(spread.median)} ({digits(spread.low)} to {digits(spread.high)})"


def table(heads, rows):
    """Lines of a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines] + [""]


def block_text(size):
    return f"{size // 1024} KiB" if size and size % 1024 == 0 else f"{size} B"


def count_text(count, one, many):
    return f"{count} {one if count == 1 else many}"


# What was measured, and with what.

def head(machine, records):
    counts = [len({record.get("round") or 0 for record in data.select(records, kind=which)})
              for which in ("run", "lab")]
    rows = [(name, machine.get(key, "not recorded")) for name, key in (
        ("machine", "machine"), ("kernel", "kernel"), ("file system of the image file", "file_system"), ("date", "date"),
        ("command", "command"))]
    rows += [(name, version) for name, version in machine.get("versions", {}).items()]
    rows.append(("rounds", f"{counts[0]}" + (f"; {counts[1]} in the lab's kernel" if counts[1] else "")))
    rows.append(("order", machine.get("order", "not recorded")))
    return [
        "# Results", "", "Written by `make bench`; changes by hand are lost. Reasons for missed bars come from "
        "`Benchmarks/Native/explanations.toml`.", "",
        "Figures are medians over the rounds. Ratios are formed within one round, in which every subject has its turn "
        "with all workloads; given are their median and, in brackets, the lowest and the highest. Absolute figures depend on the "
        "machine; ratios less so.", "",
        *table(("measured with", ""), [(name, str(value).replace("|", "\\|")) for name, value in rows]),
        *bullets(machine.get("notes", []) + other_load(records))]


def bullets(sentences):
    return [f"- {sentence}" for sentence in sentences] + [""] * bool(sentences)


def other_load(records):
    """A sentence on turns during which the machine did something else too; none where all were undisturbed."""
    turns = data.select(records, kind="turn")
    disturbed = [turn for turn in turns if any((turn.get(key) or 0) > most for key, most in surroundings.LIMITS.items())]
    if not turns:
        return []
    if not disturbed:
        return [f"The machine did nothing else during the {len(turns)} turns, as far as /proc/stat tells."]
    disturbed.sort(key=lambda turn: turn["others_before"] + turn["others"] + turn["steal"], reverse=True)
    names = [f"{turn['suite']} {subject_name(turn)} round {turn['round']} ({turn['others_before']:.1f} before, "
             f"{turn['others']:.1f} meanwhile, {turn['steal']:.2f} stolen)" for turn in disturbed[:6]]
    more = f" and {len(disturbed) - 6} more" if len(disturbed) > 6 else ""
    return [f"Another load was seen in {len(disturbed)} of {len(turns)} turns (CPUs of other processes and of the kernel's "
            f"threads before and during the turn, CPUs stolen by the hypervisor), the worst: {', '.join(names)}{more}."]


def subject_name(record):
    return " ".join(part for part in (record["subject"], record.get("backend"), data.variant(record)) if part)


def missing(records, machine, lab):
    """Cases with fewer rounds than planned, as sentences."""
    lines = []
    for case, rounds in plans.expected(machine.get("suites", []), machine.get("rounds", 0), lab):
        found = len({record.get("round") for record in data.select(records, **case)})
        if found < rounds:
            name = " ".join(str(value) for key, value in case.items() if key != "kind" and value != "")
            lines.append(f"{'lab ' if case['kind'] == 'lab' else ''}{name}: {found} of {rounds} rounds")
    return lines


def missing_section(lines):
    return ["## Missing", "", "Measured less often than planned, or not at all.", "", *bullets(lines)] if lines else []


# Bars.

def bar_section(outcomes, reasons):
    counts = {state: sum(outcome.state == state for outcome in outcomes)
              for state in (bars.MET, bars.MISSED, bars.NOT_MEASURED)}
    lines = ["## Bars", "", ", ".join(f"{count} {state}" for state, count in counts.items()) + ". The median decides; "
             "*rounds* says how many rounds meet the limit by themselves. Blocks are of 4 KiB, on one LUN. A READ or "
             "WRITE allocates nothing of ours: Tests/AllocationTests count it, and so does `make bench-ring`.", ""]
    rows = []
    for outcome in outcomes:
        bar = outcome.bar
        case = " ".join(str(part) for part in (outcome.pattern, outcome.depth) if part is not None)
        limit = " or ".join(f"{one.sign} {one.value:g}" for one in bar.limits)
        style = ["ratio" if one.peer else "fine" for one in bar.limits]
        measured = " or ".join(spread_text(*pair) for pair in zip(outcome.measured, style))
        met, of = outcome.rounds
        state = f"**{outcome.state}**" if outcome.state == bars.MISSED else outcome.state
        rows.append((bar.says, outcome.backend, case or f"{bar.luns} LUNs, idle", limit, measured,
                     f"{met} of {of}" if of else "-", state))
    lines += table(("bar", "backend", "case", "limit", "measured", "rounds", ""), rows)
    missed = [outcome for outcome in outcomes if outcome.state == bars.MISSED]
    if missed:
        lines += ["### Missed", ""]
        # Cases with the same reason stand together.
        together = {}
        for outcome in missed:
            together.setdefault(bars.reason(outcome, reasons), []).append(outcome.name)
        lines += bullets([f"`{'`, `'.join(names)}`: {reason_text(reason)}" for reason, names in together.items()])
    return lines


def reason_text(reason):
    """A reason with what it was found on: figures above may be of another machine and another day."""
    return f"{' '.join(reason.text.split())} ({reason.machine}, {reason.date})" if reason else "no reason recorded"


def unexplained(outcomes, reasons):
    """Names of missed cases that nobody has given a reason for."""
    return [outcome.name for outcome in outcomes if outcome.state == bars.MISSED and not bars.reason(outcome, reasons)]


# Figures and ratios.

def figure_sections(records):
    lines = []
    for suite, luns, block in cases(records):
        some = data.select(records, kind="run", suite=suite, luns=luns, block=block)
        lines += [f"### {case_title(suite, luns, block)}", "", *figure_table(some)]
    return ["## Figures", ""] + lines if lines else []


def cases(records):
    """Suite, LUNs and block of each table, suites in the order of the plans."""
    runs = data.select(records, kind="run")
    order = [*plans.NAMES, *(data.suite(record) for record in runs)]
    found = dict.fromkeys((data.suite(record), record.get("luns"), record.get("block")) for record in runs)
    return sorted(found, key=lambda case: order.index(case[0]))


def figure_table(some):
    keys = sorted({(record["pattern"], record["depth"]) for record in some}, key=lambda key: (key[0], key[1]))
    rows = []
    for pattern, depth in keys:
        case = data.select(some, pattern=pattern, depth=depth)
        names = sorted({(_rank(record["subject"]), record["subject"], record["backend"], data.variant(record))
                        for record in case})
        for _, subject, backend, variant in names:
            one = data.select(case, subject=subject, backend=backend, variant=variant)
            values = [data.spread(one, key) for _, key, _ in FIGURES]
            rows.append((pattern, depth, subject_text(subject, backend), variant or "-", *(
                text(value and value.median, style) for value, (_, _, style) in zip(values, FIGURES))))
    return table(("", "depth", "who", "variant", *(title for title, _, _ in FIGURES)), rows)


def ratio_sections(records):
    lines = []
    for suite, luns, block in cases(records):
        rows = ratio_rows(data.select(records, kind="run", suite=suite, luns=luns, block=block))
        if rows:
            lines += [f"### {case_title(suite, luns, block)}", ""]
            lines += table(("", "depth", "ours", "against", *(title for title, _ in RATIOS)), rows)
    return ["## Ratios", "", "Ours over theirs: commands/s better above 1, latency and CPU better below.", "", *lines] \
        if lines else []


def ratio_rows(some):
    """Rows of one suite: every variant of ours against every variant of the peers; without peers against what we ship."""
    rows = []
    ours = data.select(some, subject=data.OURS)
    peers = sorted({(_rank(record["subject"]), record["subject"], record["backend"], data.variant(record))
                    for record in some if record["subject"] != data.OURS})
    peers = peers or sorted({(0, data.OURS, record["backend"], SHIPPED)
                             for record in data.select(ours, variant=SHIPPED)})
    for pattern, depth in sorted(data.distinct(ours, "pattern", "depth")):
        for backend, variant in sorted({(record["backend"], data.variant(record)) for record in ours}):
            mine = data.select(ours, pattern=pattern, depth=depth, backend=backend, variant=variant)
            for _, subject, other, against in peers:
                if (subject, against) == (data.OURS, variant):
                    continue
                theirs = data.select(some, subject=subject, backend=other, pattern=pattern, depth=depth,
                                     variant=against)
                values = [data.ratios(mine, theirs, key) for _, key in RATIOS]
                if any(values):
                    name = " ".join(part for part in (subject_text(subject, other), against) if part)
                    rows.append((pattern, depth, variant or "-", name, *map(spread_text, values)))
    return rows


def case_title(suite, luns, block):
    return f"{TITLES.get(suite, suite)}, {count_text(luns or 1, 'LUN', 'LUNs')}, {block_text(block)}"


def subject_text(subject, backend):
    """A subject, with its backend where the suite's title does not tell."""
    if subject == data.FIO:
        return {"rbd": "fio, rbd engine", "file": "fio, io_uring"}.get(backend, subject)
    return f"{subject}, {backend}" if backend == "qcow" else subject


def _rank(subject):
    order = (data.OURS, data.ORIGINAL, data.FIO)
    return order.index(subject) if subject in order else len(order)


# Many LUNs, and the lab's kernel.

def idle_section(records):
    idle = data.select(records, kind="idle")
    if not idle:
        return []
    figures = (("threads", "threads", "number"), ("threads per LUN", "threads_per_lun", "fine"),
               ("resident MiB", "rss_kib", "mib"), ("KiB per LUN", "rss_per_lun_kib", "number"),
               ("CPU ms in 10 s", "cpu_ms_in_10s", "number"), ("switches in 10 s", "switches_in_10s", "number"))
    rows = []
    names = {(record["backend"], record["luns"], _rank(record["subject"]), record["subject"], data.variant(record))
             for record in idle}
    for backend, luns, _, subject, variant in sorted(names):
        one = data.select(idle, backend=backend, luns=luns, subject=subject, variant=variant)
        values = [data.spread(one, key) for _, key, _ in figures]
        rows.append((backend, luns, subject, variant or "-", *(
            text(value and value.median, style) for value, (_, _, style) in zip(values, figures))))
    return ["## Many LUNs, idle", "", *table(
        ("backend", "LUNs", "who", "variant", *(title for title, _, _ in figures)), rows)]


def lab_section(records):
    lab = data.select(records, kind="lab")
    if not lab:
        return []
    figures = (("commands/s", "iops", "number"), ("p50 us", "p50_us", "number"), ("p99 us", "p99_us", "number"),
               ("CPU us/command", "cpu_us", "fine"))
    plain, rows = [], []
    for pattern, block, depth in sorted(data.distinct(lab, "pattern", "block", "depth")):
        case = data.select(lab, pattern=pattern, block=block, depth=depth)
        ways = data.distinct(case, "transport", "subject")
        for transport, subject in sorted(ways, key=lambda way: (way[0] != "fio-rbd", way[0], _rank(way[1]))):
            one = data.select(case, transport=transport, subject=subject)
            values = [data.spread(one, key) for _, key, _ in figures]
            plain.append((pattern, block_text(block), depth, transport, subject, *(
                text(value and value.median, style) for value, (_, _, style) in zip(values, figures))))
        fio = data.select(case, transport="fio-rbd")
        for transport in sorted({record["transport"] for record in case} - {"fio-rbd"}):
            over = {subject: data.select(case, transport=transport, subject=subject)
                    for subject in (data.OURS, data.ORIGINAL)}
            values = [data.ratios(over[data.OURS], over[data.ORIGINAL], key)
                      for key in ("iops", "p50_us", "cpu_us")]
            values += [data.ratios(over[subject], fio, "iops") for subject in (data.OURS, data.ORIGINAL)]
            rows.append((pattern, block_text(block), depth, transport, *map(spread_text, values)))
    lines = ["## In the lab's kernel", "", "The real target stack in one boot of User-Mode Linux, one RBD image. System "
             "calls are slow there and it has one CPU: only ratios say something.", ""]
    if rows:
        lines += table(("", "block", "depth", "over", "commands/s, ours to original", "p50, ours to original",
                        "CPU, ours to original", "commands/s, ours to fio", "commands/s, original to fio"), rows)
    return lines + table(("", "block", "depth", "over", "who", *(title for title, _, _ in figures)), plain)


# The document.

def document(records, machine, reasons, plots=(), lacks=()):
    """The text of RESULTS.md. plots: pairs of a caption and a path relative to the document; lacks: see `missing`."""
    outcomes = bars.judge(records)
    lines = head(machine, records) + missing_section(lacks) + bar_section(outcomes, reasons)
    for caption, path in plots:
        lines += [f"![{caption}]({path})", "", f"{caption}.", ""]
    lines += ratio_sections(records) + figure_sections(records) + idle_section(records) + lab_section(records)
    if machine.get("not_comparable"):
        lines += ["## Not comparable", "", *bullets(machine["not_comparable"])]
    return "\n".join(lines).rstrip() + "\n"


def load_reasons(path):
    """The reasons of a file, in its order. An absent file explains nothing."""
    path = pathlib.Path(path)
    entries = tomllib.loads(path.read_text()).get("reason", []) if path.exists() else []
    return [bars.Reason(tuple(one["cases"]), one["text"], one["machine"], one["date"]) for one in entries]


def main():
    if sys.argv[1:] == ["--selftest"]:
        os.execv(sys.executable, [sys.executable, "-m", "unittest", "-v", str(HERE / "test_report.py")])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="+", help="files of records, one JSON object per line")
    parser.add_argument("--machine", help="what was measured with: a JSON object")
    parser.add_argument("--output", required=True)
    parser.add_argument("--explanations", default=HERE / "explanations.toml")
    parser.add_argument("--plot", action="append", default=[], metavar="BACKEND=PATH", help="a PNG beside the output")
    parser.add_argument("--full", action="store_true", help="all there is was to be measured, the lab kernel's part too")
    words = parser.parse_args()
    records = [record for path in words.results for record in data.load(path)]
    machine = json.loads(pathlib.Path(words.machine).read_text()) if words.machine else {}
    reasons = load_reasons(words.explanations)
    plots, problems = [], []
    for one in words.plot:
        backend, _, path = one.rpartition("=")
        try:
            if plot.draw(records, path, backend or "rbd"):
                place = os.path.relpath(path, pathlib.Path(words.output).parent)
                plots.append((plot.caption(backend or "rbd"), place))
        except plot.PlotError as error:
            problems.append(str(error))
    outcomes, lacks = bars.judge(records), missing(records, machine, words.full)
    pathlib.Path(words.output).write_text(document(records, machine, reasons, plots, lacks))
    problems += [f"missed without a reason: {name}" for name in unexplained(outcomes, reasons)]
    problems += [f"a reason for {name}, which is no case of a bar" for name in bars.unknown_cases(reasons)]
    if words.full:
        problems += [f"missing: {line}" for line in lacks]
        problems += [f"not measured: {outcome.name}" for outcome in outcomes if outcome.state == bars.NOT_MEASURED]
    for problem in problems:
        print(f"report.py: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
