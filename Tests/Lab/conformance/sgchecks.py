"""Reads the rows of the sg3-utils checks: title, wanted, got, command, with tabs between."""

import dataclasses

PASSED, FAILED, MISSING, NOT_RUN = "passed", "failed", "missing", "not run"
#: How a command that the target does not have is told: sg3-utils' status, and the sense in words of the lab.
_UNSERVED = ("9", "5/2000")


@dataclasses.dataclass
class Check:
    """One check and its answer."""

    title: str
    wanted: str
    got: str = ""
    command: str = ""

    @property
    def verdict(self):
        if not self.got:
            return NOT_RUN
        if self.got in self.wanted.split("|"):
            return PASSED
        return MISSING if self.got in _UNSERVED else FAILED


def read(text):
    """The checks in the order in which they ran."""
    checks = []
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) != 4:
            raise ValueError(f"not a row of four fields: {line!r}")
        checks.append(Check(*fields))
    return checks


def read_file(path):
    return read(path.read_text(errors="replace")) if path.exists() else []
