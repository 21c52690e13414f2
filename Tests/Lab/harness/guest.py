"""A guest: User-Mode Linux on the host's own root file system, running one job."""

import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys

from harness import network
from harness.hostside import Requests
from harness.jobs import LAB, PROJECT
from harness.sandbox import LAB_FAILED, LabError

KERNEL = "linux.uml"
#: Bytes of the sparse file behind the guest's disk, for jobs that need O_DIRECT or a real block device.
DISK_BYTES = 12 << 30
#: What the kernel says at every boot and halt and that tells nothing about a job.
_NOISE = re.compile(
    r"^(SELinux: |mmapper_init|Failed to initialize ubd|random: |"
    r"Core dump limits|uml-vector)")


class Guest:
    """A guest with its share: a host directory that both sides write.

    Several of one run need a directory, a name (the guest's host name) and a number (its address) each.
    """

    def __init__(self, directory, job, daemon, memory="2G", cluster=None, variables=(), name="gw1", number=1):
        self.directory = pathlib.Path(directory)
        self.name = name
        self.number = number
        self.kernel = None
        self._vanished = False
        self.share = self.directory / "share"
        self.job = job
        self.daemon = daemon
        self.memory = memory
        self.cluster = cluster
        self.variables = dict(variables)

    def run(self):
        """Boots, passes the console on line by line, and gives the job's exit status."""
        self.boot()
        return self.follow(lambda text: print(text, flush=True))

    def boot(self):
        """Starts the kernel, which takes a few seconds to reach the job."""
        if shutil.which(KERNEL) is None:
            raise LabError(f"no {KERNEL}: apt-get install user-mode-linux")
        words = self._kernel_line()
        self._fill_share()
        environment = dict(os.environ)
        if not _has_room("/dev/shm", self.memory):
            environment["TMPDIR"] = str(self.directory)
        # A group of its own: the kernel is several processes, which `vanish` kills together.
        self.kernel = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            cwd=self.directory, env=environment, process_group=0)

    def follow(self, line_of):
        """Gives `line_of` each line of the console until the guest has ended; the job's exit status."""
        with Requests(self.share, self.cluster):
            for line in self.kernel.stdout:
                text = line.decode(errors="replace").rstrip("\r\n")
                if text.startswith("Halting."):
                    break
                if not _NOISE.match(text):
                    line_of(text)
            self.kernel.stdout.read()
        code = self.kernel.wait()
        try:
            return int((self.share / "status").read_text())
        except (OSError, ValueError):
            if self._vanished:
                return None
            print(f"lab: the guest died without a status (kernel's exit {code})", file=sys.stderr)
            return LAB_FAILED

    def vanish(self):
        """Takes the guest away between two instructions, as a power cut would; `follow` then gives None."""
        self._vanished = True
        os.killpg(self.kernel.pid, signal.SIGKILL)

    def _kernel_line(self):
        disk = self.directory / "disk"
        with open(disk, "wb") as file:
            file.truncate(DISK_BYTES)
        words = [
            KERNEL, f"mem={self.memory}", "rootfstype=hostfs", "rootflags=/", "root=/dev/root", "ro",
            f"init={LAB}/guest/init", f"lab={self.share}", f"uml_dir={self.directory}/uml", "umid=guest",
            f"ubd0={disk}", "con=null", "con0=fd:0,fd:1", "quiet", "panic=-1",
        ]
        if self.cluster is not None:
            tap = network.make_tap(self.number)
            words.append(f"vec0:transport=tap,ifname={tap},depth=128,gro=1")
        return words

    def _fill_share(self):
        self.share.mkdir()
        variables = {
            "LAB_PROJECT": PROJECT,
            "LAB_JOB": self.job.name,
            "LAB_GUEST_NAME": self.name,
            "LAB_DAEMON": self.daemon.kind,
            "LAB_DAEMON_PROGRAM": self.daemon.program,
            **self.variables,
        }
        if not self.daemon.program.is_relative_to("/usr"):
            # A copy: a build during the run must not swap the program, and the guest hides the host's /tmp.
            shutil.copy(self.daemon.program, self.share / "daemon")
            variables["LAB_DAEMON_PROGRAM"] = "/mnt/share/daemon"
        if self.cluster is not None:
            variables["LAB_GUEST_ADDRESS"] = network.guest_address(self.number)
            shutil.copytree(self.cluster.client, self.share / "ceph")
        text = "".join(f"export {name}={shlex.quote(str(value))}\n" for name, value in variables.items())
        (self.share / "environment").write_text(text)


def _has_room(directory, memory):
    """Whether the guest's memory, a sparse file, fits into that file system; containers often have 64 MiB."""
    units = {"K": 10, "M": 20, "G": 30}
    size = int(memory[:-1]) << units[memory[-1]] if memory[-1] in units else int(memory)
    try:
        return shutil.disk_usage(directory).free > size
    except OSError:
        return False
