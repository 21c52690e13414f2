#!/usr/bin/python3
"""Draws latency against commands per second as a PNG: one panel for reads, one for writes.

    plot.py results.jsonl OUTPUT.png [--backend rbd]

One point per depth, joined in the order of depth, medians over the rounds. Needs gnuplot (Debian: gnuplot-nox).
"""

import argparse
import math
import shutil
import subprocess
import sys

import records as data

PANELS = (("randread", "random reads"), ("randwrite", "random writes"))
#: Who is drawn: subject, its name in the legend, colour, point type. Colours that the colour-blind tell apart too.
SUBJECTS = (
    (data.OURS, "tcmud", "#0072b2", 7), (data.ORIGINAL, "tcmu-runner", "#d55e00", 5),
    (data.FIO, "fio, rbd engine", "#505050", 9))
NAMES = {
    "rbd": "rbd on a one-node cluster", "rbd-instant": "rbd with an instant librbd, callback within the call",
    "rbd-handoff": "rbd with an instant librbd, callback on a thread of the image", "file": "a page-cached file",
    "mem": "mem"}


class PlotError(Exception):
    """gnuplot is missing or refused."""


def caption(backend):
    """What the picture shows, for the text around it."""
    return f"Latency against commands/s, {NAMES.get(backend, backend)}, 4 KiB, one LUN; the numbers are depths"


def series(records, backend, pattern, subject):
    """(commands/s, p50 in us, depth) in the order of depth, medians over the rounds; default variants alone."""
    some = data.select(records, kind="run", backend=backend, pattern=pattern, subject=subject, variant="",
                       luns=(1, None), block=4096)
    points = []
    for (depth,) in sorted(data.distinct(some, "depth")):
        one = data.select(some, depth=depth)
        iops, latency = data.spread(one, "iops"), data.spread(one, "p50_us")
        if iops and latency and latency.median > 0:
            points.append((iops.median, latency.median, depth))
    return points


def script(records, backend, output):
    """gnuplot's commands; None where there is nothing to draw."""
    blocks, panels, latencies = [], [], []
    for panel, (pattern, title) in enumerate(PANELS):
        drawn = []
        for number, (subject, name, colour, shape) in enumerate(SUBJECTS):
            points = series(records, backend, pattern, subject)
            if not points:
                continue
            block = f"$points_{panel}_{number}"
            rows = "\n".join(f"{iops / 1000:.4f} {latency:.3f} {depth}" for iops, latency, depth in points)
            blocks.append(f"{block} << END\n{rows}\nEND")
            latencies += [latency for _, latency, _ in points]
            drawn.append(f'{block} using 1:2 with linespoints title "{name}" lw 2 pt {shape} ps 1.1 lc rgb "{colour}"')
            # One curve with depths is enough: the same depth lies nearby on the others, whose labels would overlap.
            if len(drawn) == 1:
                labels = f'{block} using 1:2:3 with labels left offset 0.8,-0.5 font ",9" tc rgb "{colour}" notitle'
        if drawn:
            panels.append(f'set title "{title}"\nplot ' + ", \\\n  ".join([*drawn, labels]))
    if not panels:
        return None
    # The same scale in both panels, so that reads and writes compare at a glance.
    low, high = (_round_125(min(latencies) / 1.4, math.floor), _round_125(max(latencies) * 1.4, math.ceil))
    ticks = ", ".join(f"{step * 10 ** power:g}" for power in range(-1, 7) for step in (1, 2, 5))
    settings = [
        f'set terminal pngcairo size {540 * len(panels)},440 font "DejaVu Sans,10" background "#ffffff"',
        f'set output "{output}"', f"set multiplot layout 1,{len(panels)}",
        "set logscale y", f"set yrange [{low:g}:{high:g}]", f"set ytics ({ticks})",
        'set xlabel "thousand commands per second"', 'set ylabel "median latency, µs"',
        "set grid xtics ytics lt 1 lw 1 lc rgb '#dcdcdc'", "set xrange [0:*]",
        "set offsets graph 0, graph 0.06, graph 0, graph 0",
        "set key top left reverse Left samplen 2 box lc rgb '#c0c0c0' opaque", "set border 3 lc rgb '#606060'",
        "set tics nomirror"]
    return "\n".join([*blocks, *settings, *panels, "unset multiplot", ""])


def _round_125(value, direction):
    """The next of 1, 2 and 5 times a power of ten, in the direction of floor or ceil."""
    candidates = [step * 10.0 ** power for power in range(-4, 10) for step in (1, 2, 5)]
    if direction is math.floor:
        return max(one for one in candidates if one <= value)
    return min(one for one in candidates if one >= value)


def draw(records, output, backend="rbd"):
    """Writes the picture. Returns false where there are no records of that backend."""
    commands = script(records, backend, output)
    if commands is None:
        return False
    if shutil.which("gnuplot") is None:
        raise PlotError("no gnuplot: apt-get install gnuplot-nox")
    done = subprocess.run(["gnuplot", "-"], input=commands, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise PlotError(f"gnuplot: {done.stderr.strip()}")
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results")
    parser.add_argument("output")
    parser.add_argument("--backend", default="rbd")
    words = parser.parse_args()
    try:
        if not draw(data.load(words.results), words.output, words.backend):
            sys.exit(f"plot.py: no records of backend {words.backend}")
    except PlotError as error:
        sys.exit(f"plot.py: {error}")


if __name__ == "__main__":
    main()
