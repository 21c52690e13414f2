"""Who owns an image's exclusive lock, asked of the OSD itself again and again.

Without opening the image, so that nothing is added to what is looked at: no watcher, no traffic to the owner.
"""

import json
import struct
import threading
import time

from harness.sandbox import LabError

#: Seconds between two looks: the shortest ownership that is surely seen.
PAUSE = 0.05


class LockWatch:
    """Records each change of the owner while the `with` block runs; `gateways` maps addresses to names.

    The block ends with `LabError` if the watch came to an end before it, or never saw an owner: a watch that sees nothing
    would count no hand-over, which is what is hoped for.
    """

    def __init__(self, cluster, image, gateways):
        self._cluster = cluster
        self._image = image
        self._gateways = gateways
        self._names = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._guarded, daemon=True)
        #: (time, gateway, client) per change; None for gateway and client when the lock is free.
        self.changes = []
        self._failure = None

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *_error):
        self._stop.set()
        self._thread.join()
        if kind is not None:
            return
        if self._failure is not None:
            raise LabError(f"the lock's watch has ended: {self._failure!r}") from self._failure
        if not self.clients():
            raise LabError("the lock's watch has seen no owner")

    def _guarded(self):
        try:
            self._watch()
        except Exception as error:
            self._failure = error

    def hand_overs(self, since=0):
        """Times at which another gateway than the last one had the lock."""
        times, last = [], None
        for at, gateway, client in self.changes:
            if client is None:
                continue
            gateway = self._names.get(client, gateway)
            if last is not None and gateway != last and at >= since:
                times.append(at)
            last = gateway
        return times

    def clients(self, since=0):
        """Owners in a row, each Ceph client counted again when it comes back."""
        names, last = [], None
        for at, gateway, client in self.changes:
            if client is not None and client != last and at >= since:
                names.append(gateway)
            last = client or last
        return names

    def owner(self):
        """(gateway, address) of the lock's owner now, by `rbd lock ls`; None when it is free."""
        found = self._locker()
        return found and found[:2]

    def _locker(self):
        lockers = json.loads(self._cluster.run("rbd", "lock", "ls", self._image, "--format", "json"))
        if not lockers:
            return None
        address = lockers[0]["address"]
        return self._gateways.get(address.split(":")[0].strip("["), address), address, lockers[0]["locker"]

    def _watch(self):
        # Not at the top: what counts the changes is tested where no Ceph is.
        import rados

        identity = json.loads(self._cluster.run("rbd", "info", self._image, "--format", "json"))["id"]
        name = b"rbd_lock"
        question = struct.pack("<BBII", 1, 1, 4 + len(name), len(name)) + name
        with rados.Rados(conffile=str(self._cluster.configuration)) as client:
            with client.open_ioctx("rbd") as pool:
                last = None
                while not self._stop.wait(PAUSE):
                    _, answer = pool.execute(f"rbd_header.{identity}", "lock", "get_info", question)
                    number = locker(answer)
                    if number != last:
                        self.changes.append((time.time(), self._name_of(number), number))
                        last = number
                    elif number is not None and number not in self._names:
                        self._name_of(number)

    def _name_of(self, number):
        if number is None:
            return None
        if number not in self._names:
            found = self._locker()
            # It may have changed again meanwhile; then this owner has no name but its number, and the next look asks again.
            if found is None or found[2] != f"client.{number}":
                return f"client.{number}"
            self._names[number] = found[0]
        return self._names[number]


def locker(answer):
    """The client's number of the first locker in a reply of the object class `lock`, None without one."""
    # Reply: a header of six bytes and the number of lockers; a locker: again a header, the entity's type and number.
    if len(answer) < 10 or struct.unpack_from("<I", answer, 6)[0] == 0:
        return None
    return struct.unpack_from("<q", answer, 17)[0]
