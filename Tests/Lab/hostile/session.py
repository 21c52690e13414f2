"""One iSCSI session of an initiator that keeps the protocol's rules, so that the LUN behind it sees every command."""

import dataclasses
import errno
import select
import socket
import struct
import time

import pdu

#: Bytes of one PDU's data towards us, of one towards the target (what LIO declares unless told), and of one solicited burst.
SEGMENT, SEGMENT_OUT, BURST = 65536, 8192, 262144
#: Seconds for a login or logout.
ANSWER_LIMIT = 20


class Lost(Exception):
    """The connection ended, or the target did not let us in."""


@dataclasses.dataclass
class Task:
    """A command under way."""

    command: object
    tag: int
    number: int
    began: float
    #: Bytes that the target has still to ask for.
    owed: int = 0
    #: An ABORT TASK names it.
    aborting: bool = False


@dataclasses.dataclass
class Ended:
    """What a command came to. `status` is SCSI's, or None where a task management function ended it without one."""

    task: Task
    status: int | None
    sense: tuple | None
    data: bytes
    at: float


class Session:
    """Commands go out as far as the target's window lets them; answers come from `turn`."""

    def __init__(self, address, target, name, qualifier, lun):
        self.address, self.target, self.lun = address, target, lun
        self.name, self.qualifier = name, qualifier
        self.tasks = {}
        self.functions = {}
        self.rejected = 0
        self._tag = 0
        self._read = {}
        self._out = bytearray()
        self._reader = pdu.Reader()
        self._number = self._status = self._maximum = 1
        #: The status number that the target was last told of, and when.
        self._told, self._told_at = 1, 0.0
        self._socket = socket.create_connection(address, ANSWER_LIMIT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._login()
        self._socket.setblocking(False)

    def fileno(self):
        return self._socket.fileno()

    @property
    def room(self):
        """Commands that the target would take now."""
        room = (self._maximum - self._number + 1) & 0xFFFFFFFF
        return room if room < 0x80000000 else 0

    @property
    def is_sending(self):
        """A command waits for data that the target has not had yet."""
        return bool(self._out) or any(task.owed > 0 for task in self.tasks.values())

    @property
    def backlog(self):
        """Bytes that are still to be sent."""
        return len(self._out)

    def submit(self, command):
        """Sends a command; `room` must not be 0."""
        tag = self._next_tag()
        immediate = command.data(0, min(command.expected, SEGMENT_OUT)) if command.writes else b""
        task = Task(command, tag, self._number, time.monotonic(), command.expected - len(immediate) if command.writes else 0)
        self.tasks[tag] = task
        self._out += pdu.command(
            tag, self.lun, command.cdb, reads=command.reads, writes=command.writes, expected=command.expected, data=immediate,
            attribute=command.attribute, command_number=self._number, status_number=self._status)
        self._number = (self._number + 1) & 0xFFFFFFFF
        self._told, self._told_at = self._status, task.began
        self.flush()
        return task

    def manage(self, function, task=None):
        """Sends a task management function for the LUN or one task; its answer ends what it names."""
        tag = self._next_tag()
        self.functions[tag] = (function, [task] if task else list(self.tasks.values()), time.monotonic())
        if task:
            task.aborting = True
        self._out += pdu.task_management(
            tag, self.lun, function, task.tag if task else pdu.NO_TAG, self._number, self._status,
            task.number if task else 0)
        self.flush()

    def acknowledge(self):
        """Tells the target which statuses have come, where nothing else does: LIO ends a reset only when the commands that it
        ended are told to be known."""
        now = time.monotonic()
        if self._told != self._status and not self._out and now - self._told_at > 0.05:
            self._told, self._told_at = self._status, now
            self._out += pdu.nop_out(pdu.NO_TAG, pdu.lun_field(0), self._number, self._status)
            self.flush()

    def flush(self):
        """Sends what the socket takes."""
        try:
            while self._out:
                sent = self._socket.send(self._out[:1 << 20])
                del self._out[:sent]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            raise Lost(errno.errorcode.get(error.errno, str(error))) from error

    def turn(self):
        """Takes in what has come; gives the commands that ended."""
        try:
            data = self._socket.recv(1 << 20)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError as error:
            raise Lost(errno.errorcode.get(error.errno, str(error))) from error
        if not data:
            raise Lost("closed by the target")
        ended = []
        for incoming in self._reader.feed(data):
            self._take(incoming, ended)
        self.flush()
        return ended

    def drop(self, how):
        """Leaves without a word: `fin`, `rst`, or `torn`, in the middle of a PDU."""
        try:
            if how == "torn":
                self._socket.send(bytes(pdu.BHS // 2))
            if how == "rst":
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        self._socket.close()

    def logout(self):
        """Leaves in order; returns when the target has answered or closed."""
        end = time.monotonic() + ANSWER_LIMIT
        self._out += pdu.logout(self._next_tag(), self._number, self._status)
        try:
            self.flush()
            while time.monotonic() < end:
                if select.select([self._socket], [], [], 0.2)[0]:
                    self.turn()
        except Lost:
            pass
        self._socket.close()

    # --- inside ------------------------------------------------------------------------------------

    def _next_tag(self):
        self._tag = (self._tag + 1) % 0x7FFFFFFF
        return self._tag

    def _login(self):
        text = {
            "InitiatorName": self.name, "TargetName": self.target, "SessionType": "Normal", "HeaderDigest": "None",
            "DataDigest": "None", "InitialR2T": "Yes", "ImmediateData": "Yes", "MaxRecvDataSegmentLength": SEGMENT,
            "MaxBurstLength": BURST, "FirstBurstLength": SEGMENT, "DefaultTime2Wait": 0, "DefaultTime2Retain": 0,
            "MaxOutstandingR2T": 1, "ErrorRecoveryLevel": 0, "MaxConnections": 1, "DataPDUInOrder": "Yes",
            "DataSequenceInOrder": "Yes",
        }
        isid = b"\x80" + struct.pack(">IB", self.qualifier, 0)
        try:
            while True:
                self._socket.sendall(pdu.login(self._next_tag(), isid, self._number, text))
                answer = self._await_login()
                if answer.header[36]:
                    raise Lost(f"login refused, {answer.header[36]:02x}{answer.header[37]:02x}")
                self._status = answer.status_number + 1
                self._maximum = answer.maximum_number
                if answer.flags & 0x83 == 0x83:
                    return
                text = {}
        except OSError as error:
            raise Lost(f"login: {error}") from error

    def _await_login(self):
        while True:
            data = self._socket.recv(65536)
            if not data:
                raise Lost("closed while logging in")
            for incoming in self._reader.feed(data):
                if incoming.opcode == pdu.LOGIN_RESPONSE:
                    return incoming

    def _take(self, incoming, ended):
        if incoming.counts_status:
            self._status = incoming.status_number + 1
        if (incoming.maximum_number - self._maximum) & 0xFFFFFFFF < 0x80000000:
            self._maximum = incoming.maximum_number
        if incoming.opcode == pdu.RESPONSE:
            self._end(incoming.tag, incoming.header[3] if incoming.header[2] == 0 else None, incoming.data, ended)
        elif incoming.opcode == pdu.DATA_IN:
            # Only the beginning is kept: pages that were asked for at the start.
            kept = self._read.setdefault(incoming.tag, bytearray())
            if len(kept) < 4096:
                kept += incoming.data
            if incoming.flags & 1:
                self._end(incoming.tag, incoming.header[3], b"", ended)
        elif incoming.opcode == pdu.R2T:
            self._send_data(incoming)
        elif incoming.opcode == pdu.TASK_RESPONSE:
            self._end_function(incoming, ended)
        elif incoming.opcode == pdu.NOP_IN and incoming.word(20) != pdu.NO_TAG:
            self._out += pdu.nop_out(incoming.word(20), incoming.header[8:16], self._number, self._status)
        elif incoming.opcode == pdu.REJECT:
            self.rejected += 1
            # The rejected header comes back as data; its task never gets another answer.
            if len(incoming.data) >= 20 and incoming.data[0] & 0x3F == pdu.COMMAND:
                self._end(struct.unpack_from(">I", incoming.data, 16)[0], None, b"", ended)

    def _end(self, tag, status, data, ended):
        task = self.tasks.pop(tag, None)
        read = bytes(self._read.pop(tag, b""))
        if task:
            ended.append(Ended(task, status, _sense(data) if status == 2 else None, read, time.monotonic()))

    def _end_function(self, incoming, ended):
        function, tasks, _ = self.functions.pop(incoming.tag, (None, [], 0))
        # 0: complete, so nothing more comes for what it named. 1: the task is not there, for it was answered before.
        if function is None or incoming.header[2] != 0:
            return
        for task in tasks:
            self._end(task.tag, None, b"", ended)

    def _send_data(self, incoming):
        task = self.tasks.get(incoming.tag)
        offset, length = incoming.word(40), incoming.word(44)
        number = 0
        if task:
            task.owed -= length
        while length > 0:
            size = min(length, SEGMENT_OUT)
            data = task.command.data(offset, size) if task else bytes(size)
            self._out += pdu.data_out(
                incoming.tag, self.lun, incoming.word(20), self._status, number, offset, data, last=size == length)
            offset, length, number = offset + size, length - size, number + 1


def _sense(data):
    """(key, ASC, ASCQ) of a response's sense data, of either format."""
    if len(data) < 2 or len(data) - 2 < 8:
        return None
    sense = data[2:]
    if sense[0] & 0x7F >= 0x72:
        return sense[1] & 0xF, sense[2], sense[3]
    return (sense[2] & 0xF, sense[12], sense[13]) if len(sense) > 13 else (sense[2] & 0xF, 0, 0)
