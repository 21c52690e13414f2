"""Two gateways and an initiator, set up through ceph-iscsi's REST server as an operator would."""

import concurrent.futures
import json
import pathlib
import shutil
import threading
import time

from harness import jobs, network
from harness.guest import Guest
from harness.orders import Agent

TARGET = "iqn.2003-01.com.redhat.iscsi-gw:iscsi-igw"
CLIENT = "iqn.1994-05.com.redhat:rh7-client"
USER, PASSWORD = "myiscsiusername", "myiscsipassword"
GATEWAYS = ("gw1.test", "gw2.test")
INITIATOR = "client.test"
MEMORY = "1G"


class Stage:
    """The three guests of one case, from boot to `end`; the cluster stays for the next case."""

    def __init__(self, directory, cluster, daemon, image, say):
        self.directory = pathlib.Path(directory)
        self.cluster = cluster
        self.daemon = daemon
        self.image = image
        self.say = say
        self.guests, self.agents = {}, {}
        #: The gateway whose port is active/optimized, and the other.
        self.active = self.other = None
        self._followers = []

    def address(self, name):
        """Its address without the prefix length."""
        return network.guest_address(self.guests[name].number).split("/")[0]

    @property
    def by_address(self):
        """Gateways by their addresses."""
        return {self.address(name): name for name in GATEWAYS}

    def set_up(self):
        """Boots all three, configures target, disk and client, logs in and makes the multipath map."""
        started = time.monotonic()
        for number, name in enumerate((*GATEWAYS, INITIATOR), 1):
            self._boot(name, number)
        for agent in self.agents.values():
            agent.wait_until_up(90)
        self.say(f"three guests are up after {time.monotonic() - started:.1f} s")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(self._start_gateway, GATEWAYS))
        self.say(f"both gateways run {self.daemon.kind} and rbd-target-api after {time.monotonic() - started:.1f} s")
        self._configure()
        self.say(f"configured over REST, {self.active} is active/optimized, after {time.monotonic() - started:.1f} s")
        self._log_in()
        self.say(f"multipath map is there after {time.monotonic() - started:.1f} s")

    def gateway(self, name, command, seconds=60):
        """Carries a command of gateway.sh out there."""
        return self.agents[name].ask("source /mnt/project/Tests/Lab/ha/gateway.sh\n" + command, seconds)

    def initiator(self, command, seconds=60):
        """Carries a command of initiator.sh out there."""
        return self.agents[INITIATOR].ask("source /mnt/project/Tests/Lab/ha/initiator.sh\n" + command, seconds)

    def set_link(self, name, up):
        """A guest's only cable."""
        network.set_link(self.guests[name].number, up)

    def end(self, keep_in=None):
        """Takes the guests away and what they left in Ceph; logs go to `keep_in`."""
        for name, guest in self.guests.items():
            if guest.kernel.poll() is None:
                # A guest that hangs has no logs to give.
                try:
                    self.agents[name].ask("cp /var/log/tcmu-runner.log $LAB_SHARE/ 2> /dev/null; dmesg > $LAB_SHARE/dmesg.log", 10)
                except Exception as error:
                    self.say(f"no logs of {name}: {str(error).splitlines()[0]}")
                guest.vanish()
            guest.kernel.wait()
        for follower in self._followers:
            follower.join(10)
        if keep_in is not None:
            self._keep(pathlib.Path(keep_in))
        shutil.rmtree(self.directory)
        # Addresses come again with the next guests, and process numbers with them: no entry may meet them.
        for line in self.cluster.run("ceph", "osd", "blocklist", "ls").splitlines():
            if line and not line.startswith("listed"):
                self.cluster.run("ceph", "osd", "blocklist", "rm", line.split()[0])
        if "gateway.conf" in self.cluster.run("rados", "-p", "rbd", "ls").split():
            self.cluster.run("rados", "-p", "rbd", "rm", "gateway.conf")

    def _keep(self, place):
        shutil.rmtree(place, ignore_errors=True)
        for name, guest in self.guests.items():
            kept = place / name
            kept.mkdir(parents=True)
            for path in [*guest.share.glob("*.log"), *guest.share.glob("results/*"), guest.directory / "console"]:
                if path.exists():
                    shutil.copy(path, kept)

    def _boot(self, name, number):
        directory = self.directory / name
        directory.mkdir(parents=True)
        guest = Guest(directory, jobs.find("agent"), self.daemon, MEMORY, self.cluster, name=name, number=number)
        guest.boot()
        console = open(directory / "console", "w", buffering=1)
        follower = threading.Thread(target=guest.follow, args=(lambda text: print(text, file=console),), daemon=True)
        follower.start()
        self._followers.append(follower)
        self.guests[name] = guest
        self.agents[name] = Agent(name, guest.share)

    def _start_gateway(self, name):
        pairs = " ".join(f"{other}={self.address(other)}" for other in GATEWAYS)
        trusted = " ".join(self.address(other) for other in GATEWAYS)
        self.gateway(name, f"gateway_identity {pairs}\nsupervise 0\nstart_api {trusted}", 150)

    def _configure(self):
        first, disk = GATEWAYS[0], f"rbd/{self.image}"
        requests = [f"target/{TARGET} -X PUT"]
        requests += [f"gateway/{TARGET}/{name} -X PUT -d ip_address={self.address(name)} -d skipchecks=true" for name in GATEWAYS]
        requests += [
            f"disk/{disk} -X PUT -d mode=create -d size=1G",
            f"targetlun/{TARGET} -X PUT -d disk={disk}",
            f"client/{TARGET}/{CLIENT} -X PUT",
            f"clientauth/{TARGET}/{CLIENT} -X PUT -d username={USER} -d password={PASSWORD} -d mutual_username= -d mutual_password=",
            f"clientlun/{TARGET}/{CLIENT} -X PUT -d disk={disk}",
        ]
        for request in requests:
            self.gateway(first, f"rest {request}", 130)
        path = self.directory / "gateway.conf"
        self.cluster.run("rados", "-p", "rbd", "get", "gateway.conf", str(path))
        self.active = json.loads(path.read_text())["disks"][disk]["owner"]
        self.other = next(name for name in GATEWAYS if name != self.active)

    def _log_in(self):
        portals = f"{self.address(self.active)} {self.address(self.other)}"
        self.initiator(f"log_in {CLIENT} {TARGET} {USER} {PASSWORD} {portals}", 150)
        self.initiator(f"make_map {portals}", 60)
