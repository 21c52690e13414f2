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
    """Makes the tap of guest `number` on the bridge, or takes the one an earlier guest left; its name."""
    tap = f"tap{number}"
    if subprocess.run(["ip", "link", "show", tap], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode:
        _ip("tuntap", "add", tap, "mode", "tap")
    _ip("link", "set", tap, "master", BRIDGE, "up")
    return tap


def set_link(number, up):
    """Pulls the cable of guest `number` out, or puts it back."""
    _ip("link", "set", f"tap{number}", "up" if up else "down")


def lose(address):
    """Lets what the host's side sends to that address get lost; nobody is told, as with a broken switch."""
    _ip("neighbour", "replace", address, "lladdr", "02:00:00:00:de:ad", "nud", "permanent", "dev", BRIDGE)


def find_again(address):
    """Ends what `lose` began."""
    _ip("neighbour", "del", address, "dev", BRIDGE)
