"""What is measured: each target with the lab's job and daemon that make it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Target:
    """One target: a fresh boot of the lab each."""

    name: str
    title: str
    job: str
    daemon: str = "tcmud"
    #: Only these suites and no sg3-utils checks; for a target that serves as proof alone.
    suites: tuple = ()
    #: MiB of the LUN. SANITIZE and FORMAT UNIT overwrite it several times, so it is small; but Sanitize.Reset wants to find a SANITIZE at
    #: work three seconds after its start: a cluster in memory overwrites 256 MiB in less, so the job limits the image's speed.
    mebibytes: int = 64
    #: The suite of Debian 13 (`trixie`), and no sg3-utils checks.
    newer: bool = False

    @property
    def ours(self):
        return self.daemon == "tcmud" and self.name in ("file", "rbd")

    @property
    def explained_as(self):
        """The target in whose name causes.toml explains its failures."""
        return self.name.removesuffix("-newer")


FILE = Target("file", "tcmud, file", "conformance-file", mebibytes=8192)
RBD = Target("rbd", "tcmud, rbd", "conformance-rbd", mebibytes=256)
LIO = Target("lio", "LIO fileio", "conformance-lio")
ORIGINAL = Target("original", "tcmu-runner, rbd", "conformance-rbd", "tcmu-runner")
#: The kernel's own pass-through backstore: what it fails, no handler behind TCMU can pass.
PSCSI = Target("pscsi", "LIO pscsi", "conformance-pscsi", suites=("iSCSIResiduals", "iSCSIdatasn"))

#: Ours again, with the newer suite.
NEWER = (
    Target("file-newer", "tcmud, file", "conformance-file", mebibytes=FILE.mebibytes, newer=True),
    Target("rbd-newer", "tcmud, rbd", "conformance-rbd", mebibytes=RBD.mebibytes, newer=True),
)

#: The columns of the table, in order.
COLUMNS = (FILE, RBD, LIO, ORIGINAL)
ALL = COLUMNS + (PSCSI,) + NEWER
