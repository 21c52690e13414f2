"""A Ceph cluster of one monitor, one manager and one OSD (or more) in memory, for the time of a run.

Every process of it is a child of the sandbox's first process, so nothing has to be stopped: it dies with
the sandbox. The fsid, the keys and all paths belong to this run alone.
"""

import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import time
import uuid

from harness import network
from harness.sandbox import LabError

PROGRAMS = ("ceph-mon", "ceph-mgr", "ceph-osd", "ceph", "rbd", "monmaptool", "ceph-authtool")
POOL = "rbd"
#: Seconds a single ceph command may take before the cluster counts as broken.
COMMAND_LIMIT = 60

_CONFIGURATION = """\
[global]
fsid = {fsid}
mon host = {address}
public addr = {address}
cluster addr = {address}
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
auth allow insecure global id reclaim = false
"""

_DAEMONS = """\
keyring = {directory}/keyring
run dir = {directory}/run
admin socket = {directory}/run/$name.asok
log file = {directory}/log/$name.log
mon data = {directory}/mon
mgr data = {directory}/mgr
osd data = {directory}/osd-$id
osd objectstore = memstore
memstore device bytes = {bytes}
mon data avail warn = 1
mon data avail crit = 1
osd pool default pg autoscale mode = off
{leases}
# Erasure-coded pools that are overwritten want BlueStore, for its checksums at scrubbing; that is not what is shown here.
mon debug no require bluestore for ec overwrites = true
mgr initial modules =
"""


#: For a command that stops OSDs for longer than 16 s, as a busy machine does by itself: a placement group with one OSD whose
#: lease has run out is now and then never readable again (Ceph 16.2, "laggy"). So the lease is longer than any command.
_LONG_LEASES = "osd pool default read lease ratio = 200"


class Cluster:
    """The cluster of one run; `start` returns when an image can be created and written."""

    def __init__(self, directory, osds=1, memory_bytes=6 << 30, long_leases=False):
        self.directory = pathlib.Path(directory)
        self.osds = osds
        self.memory_bytes = memory_bytes
        self.long_leases = long_leases
        self.configuration = self.directory / "ceph.conf"
        self.client = self.directory / "client"
        self._processes = []

    def start(self):
        """Brings the cluster up and makes the pool; raises `LabError` with the log's place when it cannot."""
        missing = [program for program in PROGRAMS if shutil.which(program) is None]
        if missing:
            raise LabError(f"no {', '.join(missing)}: apt-get install ceph-mon ceph-mgr ceph-osd ceph-common")
        started = time.monotonic()
        fsid = str(uuid.uuid4())
        self._write_configuration(fsid)
        self._make_monitor(fsid)
        self._spawn("ceph-mon", "-i", "a")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            # The manager and the OSDs need the monitor alone, not each other.
            steps = [pool.submit(self._start_osd, number) for number in range(self.osds)]
            for step in [pool.submit(self._start_manager), *steps]:
                step.result()
        self._make_pool()
        print(f"lab: ceph is up after {time.monotonic() - started:.1f} s", flush=True)

    def run(self, *command, **options):
        """Runs a Ceph program against this cluster and gives its standard output."""
        environment = dict(os.environ, CEPH_CONF=str(self.configuration))
        try:
            return subprocess.run(
                command, check=True, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                timeout=COMMAND_LIMIT, text=True, **options).stdout
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{' '.join(command)}: no answer in {COMMAND_LIMIT} s") from error
        except subprocess.CalledProcessError as error:
            raise LabError(f"{' '.join(command)}: {error.stderr.strip()}") from error

    def _write_configuration(self, fsid):
        for name in ("run", "log", "mon", "mgr", "client", *(f"osd-{number}" for number in range(self.osds))):
            (self.directory / name).mkdir(parents=True)
        common = _CONFIGURATION.format(fsid=fsid, address=network.HOST_ADDRESS)
        daemons = _DAEMONS.format(
            directory=self.directory, bytes=self.memory_bytes, leases=_LONG_LEASES if self.long_leases else "")
        self.configuration.write_text(common + daemons)
        # A client in a guest cannot reach the daemons' directories, so its file names none of them.
        (self.client / "ceph.conf").write_text(common)

    def _make_monitor(self, fsid):
        keyring, monmap = str(self.directory / "keyring"), str(self.directory / "monmap")
        self.run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        self.run("ceph-authtool", keyring, "--gen-key", "-n", "client.admin", "--cap", "mon", "allow *",
                 "--cap", "osd", "allow *", "--cap", "mgr", "allow *", "--cap", "mds", "allow *")
        shutil.copy(keyring, self.client / "ceph.client.admin.keyring")
        self.run("monmaptool", "--create", "--addv", "a", f"v2:{network.HOST_ADDRESS}:3300", "--fsid", fsid, monmap)
        self.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)

    def _start_manager(self):
        key = self.run("ceph", "auth", "get-or-create", "mgr.x", "mon", "allow profile mgr", "osd", "allow *")
        keyring = self.directory / "mgr" / "keyring"
        keyring.write_text(key)
        self._spawn("ceph-mgr", "-i", "x", "--keyring", str(keyring))

    def _start_osd(self, number):
        identity, name = str(uuid.uuid4()), f"osd.{number}"
        keyring = self.directory / f"osd-{number}" / "keyring"
        self.run("ceph-authtool", "--create-keyring", str(keyring), "--gen-key", "-n", name)
        key = self.run("ceph-authtool", "-p", "-n", name, str(keyring)).strip()
        self.run("ceph", "osd", "new", identity, str(number), "-i", "-", input=f'{{"cephx_secret": "{key}"}}')
        common = ("-i", str(number), "--keyring", str(keyring))
        self.run("ceph-osd", "--mkfs", "--osd-uuid", identity, *common)
        self._spawn("ceph-osd", *common)

    def _make_pool(self):
        self.run("ceph", "osd", "pool", "create", POOL, "8", "8")
        # Returns only when the placement groups answer, so it is also the wait for the OSD.
        self.run("rbd", "pool", "init", POOL)

    def _spawn(self, program, *words):
        log = open(self.directory / "log" / f"{program}.out", "ab")
        command = [program, "-f", *words, "-c", str(self.configuration)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        self._processes.append(process)
        # So that a job can stop one: run/osd.0.pid and so on.
        kind, identity = program.removeprefix("ceph-"), words[words.index("-i") + 1]
        (self.directory / "run" / f"{kind}.{identity}.pid").write_text(f"{process.pid}\n")
