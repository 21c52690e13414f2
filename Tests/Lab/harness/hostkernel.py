"""Running a job on this machine's own kernel instead of a guest's, for a host that has TCMU.

The job's files and the Ceph cluster stay in the sandbox; what lives in the kernel (the device and its
loopback target) does not, so it is removed here when a job was killed before its own cleaning.
"""

import contextlib
import os
import pathlib
import platform
import signal
import subprocess

from harness.daemon import CHOICES
from harness.jobs import LAB
from harness.sandbox import LabError

#: Seconds an interrupted job has for unmounting and removing its devices before it is killed.
GRACE = 60
_TARGET = pathlib.Path("/sys/kernel/config/target")
#: The names that Tests/Lab/guest/lun.sh uses.
_LOOPBACK = _TARGET / "loopback/naa.5001405770000001/tpgt_1"
_HBAS = "user_77[0-9][0-9]"
_MODULES = {"target_core_user": "CONFIG_TCM_USER2", "tcm_loop": "CONFIG_LOOPBACK_TARGET", "sg": "CONFIG_CHR_DEV_SG"}


def _has(module):
    """Whether the module is there, built in, or can be loaded."""
    if pathlib.Path("/sys/module", module).exists():
        return True
    with contextlib.suppress(FileNotFoundError):
        return subprocess.run(["modprobe", "-nq", module], check=False).returncode == 0
    return False


def check():
    """Raises `LabError` that says what this kernel lacks and how to get it."""
    missing = [f"{module} ({option})" for module, option in _MODULES.items() if not _has(module)]
    if missing:
        raise LabError(
            f"this machine's kernel, {platform.release()}, has no {', '.join(missing)}.\n"
            "Debian's stock kernel has them: apt-get install linux-image-amd64, boot it, and run this again.\n"
            "On another kernel switch these options on. Without HOST=1 the demo brings a kernel of its own.")


def _running(name):
    """Whether any process of this machine has that program name."""
    for path in pathlib.Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if path.read_text().strip() == name:
                return True
    return False


def prepare():
    """Loads the modules and mounts configfs, before the sandbox: it must be there for the cleaning too."""
    check()
    for module in ("configfs", "uio", *_MODULES):
        if not pathlib.Path("/sys/module", module).exists():
            subprocess.run(["modprobe", module], check=False)
    if not _TARGET.exists() and not os.path.ismount("/sys/kernel/config"):
        subprocess.run(["mount", "-t", "configfs", "configfs", "/sys/kernel/config"], check=True)
    if not _TARGET.exists():
        raise LabError(f"target_core_user is loaded but there is no {_TARGET}")
    for name in CHOICES:
        if _running(name):
            raise LabError(f"{name} runs on this machine already; two daemons answer for each other's devices")


def run(directory, job, daemon, cluster):
    """Runs the job's script here; called inside the sandbox."""
    share, state = directory / "share", directory / "state"
    share.mkdir()
    state.mkdir()
    environment = dict(
        os.environ, LAB_HOST="1", LAB_SHARE=str(share), LAB_STATE=str(state), LAB_DAEMON=daemon.kind,
        LAB_DAEMON_PROGRAM=str(daemon.program))
    if cluster is not None:
        environment["CEPH_CONF"] = str(cluster.configuration)
    # A group of its own, without the daemon: a signal to it ends the job's commands while the daemon can
    # still finish what a mounted file system has to write.
    script = subprocess.Popen(["bash", str(LAB / "guest/run"), job.name], env=environment, process_group=0)
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(script.pid, signal.SIGTERM))
    code = script.wait()
    return code if code >= 0 else 128 - code


def clean():
    """Takes the lab's devices out of the kernel, innermost first; nothing when the job did so itself."""
    for lun in _LOOPBACK.glob("lun/lun_*"):
        for link in filter(pathlib.Path.is_symlink, lun.iterdir()):
            _attempt(link.unlink)
        _attempt(lun.rmdir)
    for directory in (_LOOPBACK, _LOOPBACK.parent):
        _attempt(directory.rmdir)
    for hba in _TARGET.glob("core/" + _HBAS):
        for device in filter(pathlib.Path.is_dir, hba.iterdir()):
            _attempt(device.rmdir)
        _attempt(hba.rmdir)


def _attempt(action):
    try:
        action()
    except FileNotFoundError:
        pass
    except OSError as error:
        print(f"lab: left in the kernel's target configuration: {error}")
