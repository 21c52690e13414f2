"""Instructions (callgrind) and nanoseconds (the benchmark package) per command, against thresholds.

Called by `check`, with its mode and a folder that holds path-counts without debug information.
"""

import glob
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
THRESHOLDS = os.path.join(HERE, "thresholds.json")
COUNTS, TIMES = "instructions per command", "nanoseconds per command"

PATHS = ["read", "submission", "completion"]
# The difference of two runs: what starting costs is in both.
FEW, MANY = 3200, 35200
# The same program gives the same count; what is allowed is what another layout of the code may bring.
COUNT_ALLOWED = 0.03
# Another compiler gives other counts: with one, only what is far off is found.
COUNT_ALLOWED_ELSEWHERE = 0.10
# Neighbours slow a quarter of the samples and more, hardly ever three quarters; the fastest quarter is looked at, and
# looked at again where it is too slow. Twice as slow shows.
TIME_ALLOWED, TIME_PERCENTILE, TIME_ATTEMPTS = 0.75, 25, 3


def instructions(work, path, commands):
    """Instructions of the counted step while `commands` commands go down `path`."""
    run = subprocess.run(
        ["valgrind", "--tool=callgrind", "--toggle-collect=*countedStep*",
         f"--callgrind-out-file={work}/{path}.{commands}", f"{work}/path-counts", path, str(commands)],
        capture_output=True, text=True, timeout=300, env={**os.environ, "SWIFT_DETERMINISTIC_HASHING": "1"})
    collected = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode != 0 or not collected or int(collected[1]) == 0:
        sys.exit(f"callgrind counted nothing on {path} (status {run.returncode}):\n{run.stderr[-2000:]}")
    return int(collected[1])


def counts(work):
    return {path: round((instructions(work, path, MANY) - instructions(work, path, FEW)) / (MANY - FEW), 1)
            for path in PATHS}


def times(work, attempt):
    """Nanoseconds per command of each benchmark, at `TIME_PERCENTILE` of its samples."""
    folder = f"{work}/{attempt}"
    os.mkdir(folder)
    run = subprocess.run(
        ["swift", "package", "--disable-sandbox", "--allow-writing-to-directory", folder, "benchmark",
         "--no-progress", "--quiet", "--format", "histogramPercentiles", "--path", folder],
        cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900)
    found = {}
    for path in glob.glob(f"{folder}/*.wallClock.histogram.percentiles.tsv"):
        name = os.path.basename(path).split("benchmarks.", 1)[1].split(".wallClock", 1)[0].replace("_", " ")
        with open(path) as file:
            rows = dict(line.split("\t") for line in file.read().splitlines()[1:])
        found[name] = float(rows[str(TIME_PERCENTILE)])
    if run.returncode != 0 or not found:
        sys.exit(f"the benchmarks failed (status {run.returncode}):\n{run.stdout[-2000:]}")
    return found


def machine():
    """What the thresholds hold for: counts for a compiler, times for a processor too."""
    said = subprocess.run(["swift", "--version"], capture_output=True, text=True, timeout=60).stdout
    version = re.search(r"Swift version (\S+)", said)
    with open("/proc/cpuinfo") as file:
        model = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    return {"swift": version[1] if version else "unknown", "processor": model[1] if model else "unknown"}


def worse(measured, thresholds, allowed):
    """Names of what is over its threshold by more than is allowed, or has none."""
    return [name for name, value in measured.items() if value > thresholds.get(name, 0) * (1 + allowed)]


def show(title, measured, thresholds, allowed):
    """Prints the table. Returns whether something is worse."""
    print(f"\n{title + ', at most ' + format(allowed, '+.0%'):58}{'now':>8}{'threshold':>11}{'change':>9}")
    bad = worse(measured, thresholds, allowed)
    for name, value in sorted(measured.items()):
        threshold = thresholds.get(name)
        if threshold is None:
            print(f"  {name:56}{value:8.1f}{'none':>11}           no threshold yet: check --update")
            continue
        change = value / threshold - 1
        verdict = "  WORSE" if name in bad else ""
        if change < -allowed:
            verdict = "  better: check --update, or the gain may be lost again unseen"
        print(f"  {name:56}{value:8.1f}{threshold:11.1f}{change:+9.1%}{verdict}")
    # A benchmark that is gone has not become any better.
    gone = sorted(set(thresholds) - set(measured))
    for name in gone:
        print(f"  {name:56}{'gone':>8}{thresholds[name]:11.1f}           no longer measured: check --update")
    return bool(bad or gone)


def update(work):
    known = {**machine(), COUNTS: counts(work), TIMES: times(work, 1)}
    # The best of three: a threshold taken from a slow moment would let a regression pass.
    for attempt in (2, 3):
        again = times(work, attempt)
        known[TIMES] = {name: min(value, again[name]) for name, value in known[TIMES].items()}
    with open(THRESHOLDS, "w") as file:
        json.dump(known, file, indent=4, sort_keys=True)
        file.write("\n")
    print(json.dumps(known, indent=4, sort_keys=True))


def compare(mode, work):
    with open(THRESHOLDS) as file:
        known = json.load(file)
    here = machine()
    if known["swift"] != here["swift"]:
        print(f"The thresholds are of Swift {known['swift']}, this is {here['swift']}: another compiler, other counts.")
    allowed = COUNT_ALLOWED if known["swift"] == here["swift"] else COUNT_ALLOWED_ELSEWHERE
    failed = show(COUNTS, counts(work), known[COUNTS], allowed)
    if mode == "--counts":
        return failed
    if known["processor"] != here["processor"]:
        print(f"\nTime is not compared: thresholds are of \"{known['processor']}\", this is \"{here['processor']}\".")
        return failed
    best = {}
    for attempt in range(TIME_ATTEMPTS):
        measured = times(work, attempt)
        best = {name: min(value, best.get(name, value)) for name, value in measured.items()}
        if not worse(best, known[TIMES], TIME_ALLOWED):
            break
    return show(TIMES, best, known[TIMES], TIME_ALLOWED) or failed


def main():
    mode, work = sys.argv[1:]
    if mode == "--update":
        update(work)
    elif compare(mode, work):
        print("\nThe data path has become dearer.")
        sys.exit(1)


main()
