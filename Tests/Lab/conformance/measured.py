"""What one target answered, and what it is held against."""

import dataclasses

import sgchecks
import suites as suites_module
from suites import FAILED, NOT_RUN, PASSED, missing_notes

#: Tests of family ALL that must pass in each of ours.
PASSED_BAR = 219
#: Skip notes, of any kind, that ours may print.
NOTES_BAR = 40


@dataclasses.dataclass
class Measured:
    """One target's suites and checks, and the exit status of its lab run."""

    target: object
    suites: list
    checks: list
    #: The guest kernel's release, and the project's commit at the time.
    kernel: str = ""
    commit: str = ""
    status: int = 0

    @classmethod
    def read(cls, target, directory, status=0, wanted=None):
        """From the directory that the guest filled; empty when the lab failed before it wrote a list."""
        if not (directory / "list.txt").exists():
            return cls(target, [], [], status=status or 125)
        kernel, commit = (
            path.read_text().strip() if path.exists() else "" for path in (directory / "kernel.txt", directory / "commit"))
        return cls(
            target, suites_module.read_directory(directory, wanted), sgchecks.read_file(directory / "sg.tsv"),
            kernel, commit, status)

    def tests(self):
        return [test for suite in self.suites for test in suite.tests]

    def count(self, verdict):
        return sum(test.verdict == verdict for test in self.tests())

    def count_checks(self, verdict):
        return sum(check.verdict == verdict for check in self.checks)

    @property
    def skipped(self):
        return sum(test.skipped for test in self.tests())

    def notes(self):
        return [note for suite in self.suites for note in suite.all_notes()]

    def missing(self):
        return missing_notes(self.notes())

    def failures(self):
        """Titles of the tests that did not pass, run or not, in the tool's order; then the sg3-utils checks."""
        failed = [test.title for test in self.tests() if test.verdict in (FAILED, NOT_RUN)]
        return failed + [f"sg: {check.title}" for check in self.checks if check.verdict in (sgchecks.FAILED, sgchecks.NOT_RUN)]

    def verdict(self, title):
        """Of a test or a check by title, as it stands in the tables: a skipped test is told from one that ran."""
        for test in self.tests():
            if test.title == title:
                return "skipped" if test.skipped else test.verdict
        for check in self.checks:
            if f"sg: {check.title}" == title:
                return check.verdict
        return NOT_RUN


@dataclasses.dataclass
class Bar:
    """One promise for one target: what is wanted, what was measured."""

    title: str
    wanted: str
    got: str
    met: bool


def bars(measured, lio, kernel_owned):
    """The bars of one of ours. `kernel_owned` are the titles of failures that the kernel alone explains."""
    passed, notes = measured.count(PASSED), len(measured.notes())
    worse = [title for title in measured.failures() if lio.verdict(title) == PASSED]
    ours = [title for title in worse if title not in kernel_owned]
    text = str(len(worse)) if not worse else f"{len(worse)}, of these {len(worse) - len(ours)} that LIO pscsi fails too"
    return [
        Bar("tests passed", f"at least {PASSED_BAR}", str(passed), passed >= PASSED_BAR),
        Bar("failures that LIO fileio passes", "0", text, not worse),
        Bar("skip notes", f"at most {NOTES_BAR}", str(notes), notes <= NOTES_BAR),
    ]
