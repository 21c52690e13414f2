"""The bridge between the host's side and the guests, inside the sandbox's network namespace.

Addresses can be fixed because every run has a network of its own.
"""

import subprocess

BRIDGE = "br0"
#: The host's side of the bridge: Ceph listens here.
HOST_ADDRESS = "10.77.0.254"
PREFIX_LENGTH = 24


def _ip(*words):
    subprocess.run(["ip", *words], check=True)


def guest_address(number):
    """The address of guest `number`, 1 to 253, with its prefix length."""
    return f"10.77.0.{number}/{PREFIX_LENGTH}"


def make_bridge():
    """Makes the bridge and gives it the host's address."""
    _ip("link", "add", BRIDGE, "type", "bridge", "stp_state", "0", "forward_delay", "0")
    _ip("address", "add", f"{HOST_ADDRESS}/{PREFIX_LENGTH}", "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")


def make_tap(number):
    """Makes the tap of guest `number` on the bridge; its name."""
    tap = f"tap{number}"
    _ip("tuntap", "add", tap, "mode", "tap")
    _ip("link", "set", tap, "master", BRIDGE, "up")
    return tap
