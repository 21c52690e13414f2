"""Reads what iscsi-test-cu printed: one file per suite, made of one or more runs of the tool."""

import dataclasses
import re

PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"

#: A line of the guest's own in a raw file: how a run of the tool ended, or why there was none.
_EXIT = re.compile(r"^=== exit status (\d+)$", re.MULTILINE)
_SILENT = "=== target does not answer"
_TEST = re.compile(r"^  Test: (\S+) \.\.\.", re.MULTILINE)
#: The verdict stands behind the dots, or at the start of a line when the test has printed something.
_VERDICT = re.compile(r"(?:\A|^)(passed|FAILED)", re.MULTILINE)
_ASSERTION = re.compile(r"^    \d+\. \S+:\d+  - ", re.MULTILINE)
_NOTE = re.compile(r"\[SKIPPED\] *(.*)")
_TOTALS = re.compile(r"^ +tests +(\d+) +(\d+) +(\d+) +(\d+) ", re.MULTILINE)
_MISSING = re.compile(r"not (working/)?implemented")
#: Exit status of timeout(1).
_TIMED_OUT = 124


class Unreadable(Exception):
    """A raw file does not look like the tool's output; counting it would be guessing."""


@dataclasses.dataclass
class Test:
    """One test: its verdict and what it said it left out."""

    suite: str
    name: str
    verdict: str = NOT_RUN
    #: Why there is no verdict of the tool's own: a time limit, a crash, a silent target.
    reason: str = ""
    notes: list = dataclasses.field(default_factory=list)

    @property
    def title(self):
        return f"{self.suite}.{self.name}"

    @property
    def skipped(self):
        """Passed, but the test says that it left out something that the target does not have."""
        return self.verdict == PASSED and any(_MISSING.search(note) for note in self.notes)


@dataclasses.dataclass
class Suite:
    """A suite's tests in the tool's order, and the notes printed before the first of them."""

    name: str
    tests: list
    notes: list = dataclasses.field(default_factory=list)

    def count(self, verdict):
        return sum(test.verdict == verdict for test in self.tests)

    @property
    def skipped(self):
        return sum(test.skipped for test in self.tests)

    def all_notes(self):
        return self.notes + [note for test in self.tests for note in test.notes]


def missing_notes(notes):
    """Those that say "not implemented"; the others name what a disk need not have (removable medium and the like)."""
    return [note for note in notes if _MISSING.search(note)]


def read_list(text):
    """The suites of family ALL with their tests, from `iscsi-test-cu --list`."""
    suites = {}
    for line in text.splitlines():
        words = line.split(".")
        if words[0] != "ALL":
            continue
        if len(words) >= 2:
            suites.setdefault(words[1], [])
        if len(words) == 3:
            suites[words[1]].append(words[2])
    return suites


def _runs(text):
    """The runs of the tool in one file: (output, exit status)."""
    start = 0
    for end in _EXIT.finditer(text):
        yield text[start:end.start()], int(end[1])
        start = end.end()


def _ending(status):
    if status == _TIMED_OUT:
        return "time limit reached"
    return f"the suite's process ended with status {status}"


def _read_run(output, status, suite, known):
    """One run's verdicts, put into `known` by test name."""
    starts = list(_TEST.finditer(output))
    first = starts[0].start() if starts else len(output)
    suite.notes += _NOTE.findall(output[:first])
    seen = []
    summary = output.find("\nRun Summary:")
    limit = summary if summary >= 0 else len(output)
    for index, start in enumerate(starts):
        end = starts[index + 1].start() if index + 1 < len(starts) else limit
        body = output[start.end():end]
        test = known.get(start[1])
        if test is None:
            raise Unreadable(f"{suite.name}: a test that is not in the list: {start[1]}")
        seen.append(test)
        test.notes += _NOTE.findall(body)
        verdict = _VERDICT.search(body)
        if _ASSERTION.search(body) or (verdict and verdict[1] == "FAILED"):
            test.verdict = FAILED
        elif verdict:
            test.verdict = PASSED
        else:
            test.verdict, test.reason = FAILED, _ending(status)
    totals = _TOTALS.search(output)
    if totals:
        counted = tuple(sum(test.verdict == verdict for test in seen) for verdict in (PASSED, FAILED))
        if (int(totals[3]), int(totals[4])) != counted:
            raise Unreadable(f"{suite.name}: counted {counted} passed and failed, the tool says {totals[0].strip()}")
    elif starts and status in (0, 1):
        raise Unreadable(f"{suite.name}: no summary though the tool ended by itself")


def read_suite(name, tests, text):
    """A suite's result from its raw file; tests without a trace stay `NOT_RUN` with the reason."""
    suite = Suite(name, [Test(name, test) for test in tests])
    known = {test.name: test for test in suite.tests}
    status = None
    for output, status in _runs(text):
        _read_run(output, status, suite, known)
    if _SILENT in text:
        reason = "the target does not answer"
    elif status is None:
        reason = "the lab ended before"
    else:
        reason = _ending(status)
    for test in suite.tests:
        if test.verdict == NOT_RUN:
            test.reason = reason
    return suite


def read_directory(directory, wanted=None):
    """All suites of one target from the directory the guest filled, in the tool's order."""
    listed = read_list((directory / "list.txt").read_text())
    result = []
    for name, tests in listed.items():
        if wanted and name not in wanted:
            continue
        path = directory / "suites" / f"{name}.txt"
        result.append(read_suite(name, tests, path.read_text(errors="replace") if path.exists() else ""))
    return result
