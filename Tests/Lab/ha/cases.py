"""What happens to the gateways while the application writes."""

import dataclasses
import re
import time
import typing

from harness import network
from harness.jobs import PROJECT

#: Seconds of undisturbed work before the fault.
BEFORE = 12


@dataclasses.dataclass(frozen=True)
class Case:
    """One case; `fault` gets the stage and the lock's watch and returns when it has no more to do."""

    name: str
    title: str
    fault: typing.Callable
    #: Seconds that the application writes, the time before the fault included.
    seconds: int = 60
    #: Seconds that the longest stall may take whatever the original does, None without such a limit.
    limit: float = None
    #: Whether the lock must stay where it is.
    lock_stays: bool = False


def _restart_pause():
    """Seconds from the daemon's death to its next start, as our unit tells systemd; without a word there it is 0.1."""
    return restart_pause((PROJECT / "systemd/tcmud.service").read_text())


def restart_pause(unit):
    """The same of a unit's text; `ValueError` for a time span that is not understood."""
    found = re.search(r"^RestartSec=(.*)$", unit, re.MULTILINE)
    if found is None:
        return 0.1
    span = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|)", found.group(1).strip())
    if span is None:
        raise ValueError(f"{found.group(0)}: neither seconds nor milliseconds")
    return float(span.group(1)) / (1000 if span.group(2) == "ms" else 1)


def _nothing(stage, _watch):
    stage.say("nothing happens")


def _killed(pause):
    def fault(stage, _watch):
        stage.gateway(stage.active, f"echo {pause} > $state/pause\ndaemon_signal KILL")

    return fault


def _vanishes(stage, _watch):
    stage.guests[stage.active].vanish()


def _link_cut(stage, _watch):
    stage.set_link(stage.active, False)
    time.sleep(20)
    stage.set_link(stage.active, True)
    stage.say("the link is back")


def _ceph_cut(stage, _watch):
    # Both directions, and only between these two: the iSCSI sessions must not notice.
    ours, theirs = network.HOST_ADDRESS, stage.address(stage.active)
    network.lose(theirs)
    stage.gateway(stage.active, f"no_way_to {ours}")
    time.sleep(45)
    network.find_again(theirs)
    stage.gateway(stage.active, f"way_to {ours}")
    stage.say("Ceph can be reached again")


def _blocklisted(stage, watch):
    gateway, address = watch.owner()
    stage.say(f"blocklisting {address}, the lock's owner on {gateway}")
    stage.cluster.run("ceph", "osd", "blocklist", "add", address)


def _daemon_restarted(stage, _watch):
    stage.gateway(stage.active, "echo 0 > $state/pause\ndaemon_signal TERM")


def _gateway_stopped(stage, _watch):
    stage.gateway(stage.active, "stop_api", 150)
    stage.say("rbd-target-api has ended")
    stage.gateway(stage.active, "stop_daemon_for_good", 120)
    stage.say("the daemon has ended")


def _paths_turned(stage, _watch):
    stage.initiator("turn_paths 60", 120)


def _questions(stage, _watch):
    asked = stage.initiator("ask_questions 20", 60)
    stage.say(f"{asked.strip()} questions asked at {stage.other}")


ALL = (
    Case("0", "nothing happens", _nothing, 40, lock_stays=True),
    Case("q", "the other gateway is asked all there is to ask", _questions, 40, lock_stays=True),
    # The original's unit restarts nothing; here it gets the same supervisor as ours.
    Case("a", f"daemon killed, back after {_restart_pause():g} s", _killed(_restart_pause()), limit=3),
    Case("a5", "daemon killed, back after 5 s", _killed(5)),
    Case("b", "gateway vanishes", _vanishes),
    Case("c", "link cut for 20 s", _link_cut),
    Case("d", "Ceph cut off for 45 s", _ceph_cut, 100),
    Case("e", "lock owner blocklisted by hand", _blocklisted),
    Case("f", "daemon stopped and started in order", _daemon_restarted, limit=3),
    Case("f2", "gateway stopped in order: API, then daemon", _gateway_stopped),
    Case("g", "path switched every second for a minute", _paths_turned, 60 + BEFORE),
)
BY_NAME = {case.name: case for case in ALL}
