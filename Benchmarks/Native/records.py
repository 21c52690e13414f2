"""Measurement records: reading them, choosing among them, medians and ratios.

A record is a dict out of one line of results.jsonl. Records without `kind` are runs under load; `idle` and `lab` are
kinds of measurement too, `turn` tells what else the machine did (surroundings.py). A key that is absent is the same as
one that is null: nothing was measured.
"""

import json
import statistics
import typing

OURS = "tcmud"
ORIGINAL = "tcmu-runner"
FIO = "fio"


class Spread(typing.NamedTuple):
    """One figure over all rounds that have it."""

    median: float
    low: float
    high: float
    #: One value per round, in the order of rounds.
    values: tuple


def load(path):
    """All records of a file, one JSON object per line."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def select(records, **wanted):
    """Records whose keys have the wanted values; a tuple or set allows several, a function decides."""
    return [record for record in records if all(_fits(record, *pair) for pair in wanted.items())]


def kind(record):
    """`run`, `idle` or `lab`."""
    return record.get("kind") or "run"


def variant(record):
    """The variant, "" for the default."""
    return record.get("variant") or ""


#: The suite of a record that does not name it.
_SUITES = {"rbd-instant": "instant", "rbd-handoff": "handoff", "qcow": "file"}


def suite(record):
    """The suite that it was taken in: rounds are numbered within one, and subjects of one are paired."""
    return record.get("suite") or _SUITES.get(record.get("backend"), record.get("backend"))


def spread(records, figure):
    """A figure over the rounds; None where no round has it."""
    return _spread(list(_by_round(records, figure).values()))


def ratios(ours, theirs, figure):
    """A figure's ratio, formed within each round that has both; None where no round has."""
    over, under = _by_round(ours, figure), _by_round(theirs, figure)
    return _spread([over[key] / under[key] for key in over if under.get(key)])


def best(records, figure="iops"):
    """Per round the one with the highest figure: of several ways to use a peer, the fastest."""
    found = {}
    for record in records:
        key = record.get("round") or 0
        if record.get(figure) is not None and (key not in found or record[figure] > found[key][figure]):
            found[key] = record
    return list(found.values())


def distinct(records, *keys):
    """The combinations of values that occur, in the order in which they first do."""
    return list(dict.fromkeys(tuple(record.get(key) for key in keys) for record in records))


def _fits(record, key, value):
    derived = {"variant": variant, "kind": kind, "suite": suite}.get(key)
    has = derived(record) if derived else record.get(key)
    if callable(value):
        return value(has)
    return has in value if isinstance(value, (tuple, set, frozenset)) else has == value


def _by_round(records, figure):
    """Round to value; the median where a round was measured more than once."""
    found = {}
    for record in records:
        if record.get(figure) is not None:
            found.setdefault(record.get("round") or 0, []).append(record[figure])
    return {key: statistics.median(found[key]) for key in sorted(found)}


def _spread(values):
    if not values:
        return None
    return Spread(statistics.median(values), min(values), max(values), tuple(values))
