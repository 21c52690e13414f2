"""The jobs: shell scripts in Tests/Lab/jobs that say in comments at their top what they need."""

import dataclasses
import pathlib

from harness.sandbox import LabError

LAB = pathlib.Path(__file__).resolve().parent.parent
PROJECT = LAB.parent.parent
_OSDS = {"two-osds": 2, "three-osds": 3}


@dataclasses.dataclass
class Job:
    """One job: what its first lines say."""

    name: str
    about: str = ""
    needs_ceph: bool = False
    #: OSDs that the cluster has.
    osds: int = 1
    #: Seconds the whole run may take, from the sandbox's first process to the guest's halt.
    timeout: float = 300
    #: Jobs of the suite are run by `make test`, several side by side; the others only on demand.
    in_suite: bool = True
    #: It measures what other load on the machine would spoil: nothing else of the suite runs meanwhile.
    alone: bool = False


def _parse(path):
    """Reads the comment block at the top: a line of prose, then `# key: value` lines."""
    job = Job(path.stem)
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        text = line.lstrip("#").strip()
        key, _, value = text.partition(": ")
        if key == "needs":
            job.needs_ceph = "ceph" in value.split()
            job.osds = next((count for word, count in _OSDS.items() if word in value.split()), 1)
        elif key == "timeout":
            job.timeout = float(value)
        elif key == "suite":
            job.in_suite = value != "no"
        elif key == "alone":
            job.alone = value == "yes"
        elif not job.about:
            job.about = text
    return job


def all_jobs():
    """Every job, by name."""
    return {path.stem: _parse(path) for path in sorted((LAB / "jobs").glob("*.sh"))}


def find(name):
    """The job of that name; `LabError` naming the others when there is none."""
    jobs = all_jobs()
    if name not in jobs:
        raise LabError(f"no job {name!r}; there are: {', '.join(jobs)}")
    return jobs[name]
