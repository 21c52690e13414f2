"""Why a test fails: a list written by hand, matched to what was measured."""

import dataclasses
import fnmatch
import pathlib
import tomllib

PATH = pathlib.Path(__file__).resolve().parent / "causes.toml"
#: Who could change it: this project, the kernel's target, the original daemon, or the test itself.
OWNERS = ("ours", "kernel", "original", "suite")


@dataclasses.dataclass
class Cause:
    """One reason for the failure of one or more tests in one or more targets; tests may be patterns of fnmatch."""

    text: str
    owner: str
    targets: list
    tests: list
    #: For the kernel's: a test that must fail in a target without a daemon; the failing test itself when empty.
    proof: str = ""
    used: bool = False

    def explains(self, target, test):
        return target in self.targets and any(fnmatch.fnmatchcase(test, pattern) for pattern in self.tests)


def parse(text):
    """The causes of a TOML text; `ValueError` names what is wrong."""
    causes = []
    for entry in tomllib.loads(text).get("cause", []):
        cause = Cause(
            " ".join(entry["text"].split()), entry["owner"], entry["targets"], entry["tests"], entry.get("proof", ""))
        if cause.owner not in OWNERS:
            raise ValueError(f"owner {cause.owner!r} is none of {', '.join(OWNERS)}")
        causes.append(cause)
    return causes


def read():
    return parse(PATH.read_text())


class Causes:
    """Answers why `test` fails in `target`; the first cause that fits wins."""

    def __init__(self, causes, failed_without_daemon):
        self.causes = causes
        #: Titles of tests that fail in a target where no daemon has a part.
        self.failed_without_daemon = failed_without_daemon

    def find(self, target, test):
        """The cause, or None. One that blames the kernel counts only when a target without a daemon fails as well."""
        for cause in self.causes:
            if cause.explains(target, test):
                cause.used = True
                if cause.owner == "kernel" and (cause.proof or test) not in self.failed_without_daemon:
                    return None
                return cause
        return None

    def unused(self):
        return [cause for cause in self.causes if not cause.used]
