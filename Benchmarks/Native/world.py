"""The /sys and /dev that a daemon gets to see, and the daemon in them.

A TCMU device is a UIO node, a directory in sysfs and one in configfs. Here they are plain files in a mount namespace
that belongs to the daemon alone; the node itself is the work of preload/uio.c.
"""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
GROUP = {
    "alua_access_state": "0", "alua_access_status": "None", "alua_access_type": "Implicit and Explicit",
    "alua_support_active_nonoptimized": "1", "alua_support_active_optimized": "1",
    "alua_support_lba_dependent": "1", "alua_support_offline": "1", "alua_support_standby": "1",
    "alua_support_transitioning": "1", "alua_support_unavailable": "1", "implicit_trans_secs": "0", "members": "",
    "nonop_delay_msecs": "100", "preferred": "0", "tg_pt_gp_id": "0", "trans_delay_msecs": "0",
}


@dataclasses.dataclass
class Unit:
    """One LUN: its name in configfs, its config string, its size in bytes."""

    name: str
    config: str
    size: int
    block_size: int = 512


def _put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n" if text else "")


def build_trees(root, units, map_size, data_mib):
    """Writes what the kernel would show of `units` below `root`/sys, and the names of their nodes below `root`/dev."""
    sys_tree = root / "sys"
    module = sys_tree / "module/target_core_user"
    _put(module / "initstate", "live")
    for name in ("block_netlink", "reset_netlink"):
        _put(module / "parameters" / name, "N")
    _put(module / "parameters/global_max_data_area_mb", "2048")
    online = pathlib.Path("/sys/devices/system/cpu/online")
    _put(sys_tree / "devices/system/cpu/online", online.read_text().strip())
    (sys_tree / "devices/system/node").mkdir(parents=True, exist_ok=True)
    core = sys_tree / "kernel/config/target/core"
    for minor, unit in enumerate(units):
        uio = sys_tree / f"class/uio/uio{minor}"
        _put(uio / "name", f"tcm-user/0/{unit.name}/{unit.config}")
        _put(uio / "version", "2.0")
        _put(uio / "maps/map0/size", hex(map_size))
        _put(root / "dev" / f"uio{minor}", "")
        device = core / "user_0" / unit.name
        attributes = {
            "hw_block_size": unit.block_size, "hw_max_sectors": 1024, "hw_queue_depth": 128, "cmd_time_out": 0,
            "qfull_time_out": 5, "max_data_area_mb": data_mib, "data_pages_per_blk": 1, "cmd_ring_size_mb": 8,
            "emulate_write_cache": 0, "emulate_pr": 1, "alua_support": 1, "pgr_support": 1, "tmr_notification": 0,
            "nl_reply_supported": 1, "hw_pi_prot_type": 0, "dev_size": unit.size, "dev_config": unit.config,
        }
        for name, value in attributes.items():
            _put(device / "attrib" / name, str(value))
        _put(device / "info",
             f"Status: ACTIVATED  Max Queue Depth: 128  SectorSize: {unit.block_size}  HwMaxSectors: 1024\n"
             f"        Config: {unit.config} Size: {unit.size} MaxDataAreaMB: {data_mib} DataPagesPerBlk: 1 "
             f"CmdRingSizeMB: 8")
        for name in ("control", "enable", "action/block_dev", "action/reset_ring"):
            _put(device / name, "")
        _put(device / "wwn/vpd_unit_serial", f"T10 VPD Unit Serial Number: {minor:08x}-0000-0000-0000-{minor:012x}")
        for name, value in GROUP.items():
            _put(device / "alua/default_tg_pt_gp" / name, value)


# Nothing of the host's /dev is needed but the few nodes that every program expects.
_ENTER = r"""
set -e
root=$1; shift
mount --make-rprivate /
mount -t tmpfs tmpfs "$root/devices"
for node in null zero full random urandom tty; do
    touch "$root/devices/$node"; mount --bind "/dev/$node" "$root/devices/$node"
done
mkdir "$root/devices/shm"; mount --bind /dev/shm "$root/devices/shm"
cp "$root"/dev/* "$root/devices/"
mount --bind "$root/sys" /sys
mount --rbind "$root/devices" /dev
mount -t tmpfs tmpfs /run
mkdir -p /run/dbus
exec env LD_PRELOAD="$BENCH_PRELOAD" "$@"
"""


class Process:
    """A program with a log of its own, ended by its PID."""

    def __init__(self, command, log, environment=None, **options):
        self.log = pathlib.Path(log)
        with open(self.log, "ab") as out:
            self._popen = subprocess.Popen(
                command, stdout=options.pop("stdout", out), stderr=out, env=environment, **options)
        self.pid = self._popen.pid
        self.stdin, self.stdout = self._popen.stdin, self._popen.stdout

    def has_ended(self):
        return self._popen.poll() is not None

    def stop(self, seconds=15):
        """SIGTERM, and SIGKILL for what does not go."""
        if self.has_ended():
            return
        self._popen.send_signal(signal.SIGTERM)
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def tail(self, lines=20):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def start_in_world(root, command, environment, log):
    """Starts `command` where /sys and /dev are those below `root`; the PID is the command's own."""
    (root / "devices").mkdir(exist_ok=True)
    enter = ["unshare", "--mount", "--propagation", "private", "bash", "-c", _ENTER, "enter", str(root), *command]
    return Process(enter, log, environment, stdin=subprocess.DEVNULL)


def compile_preload(name, into):
    """The preload library `name` (`uio`, `librbd`) below `into`."""
    library = pathlib.Path(into) / f"{name}.so"
    source = HERE / "preload" / f"{name}.c"
    newest = max(part.stat().st_mtime for part in source.parent.iterdir())
    if not library.exists() or library.stat().st_mtime < newest:
        command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(library), str(source),
                   "-ldl", "-lpthread"]
        subprocess.run(command, check=True)
    return library


def environment_with(preloads, **variables):
    """The environment for a daemon under test: the preload libraries in order, and `variables`."""
    made = {name: value for name, value in os.environ.items() if not name.startswith(("LD_", "BENCH_"))}
    # Set for the daemon alone, not for the programs that build its world.
    made["BENCH_PRELOAD"] = ":".join(str(path) for path in preloads)
    made.update(variables)
    return made


def fail(text):
    """Ends the program with a message."""
    print(f"bench: {text}", file=sys.stderr)
    sys.exit(2)
