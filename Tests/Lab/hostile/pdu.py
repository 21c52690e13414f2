"""iSCSI PDUs (RFC 7143) as an initiator sends and reads them; no digests, error recovery level 0."""

import struct

BHS = 48
#: Operation codes of the initiator's PDUs; 40h is "immediate".
NOP_OUT, COMMAND, TASK_MANAGEMENT, LOGIN, DATA_OUT, LOGOUT = 0x00, 0x01, 0x02, 0x03, 0x05, 0x06
#: Operation codes of the target's PDUs.
NOP_IN, RESPONSE, TASK_RESPONSE, LOGIN_RESPONSE, DATA_IN, LOGOUT_RESPONSE, R2T, ASYNC, REJECT = (
    0x20, 0x21, 0x22, 0x23, 0x25, 0x26, 0x31, 0x32, 0x3F)
IMMEDIATE = 0x40
#: A tag that stands for none.
NO_TAG = 0xFFFFFFFF
#: Functions of a task management request.
ABORT_TASK, ABORT_TASK_SET, CLEAR_TASK_SET, LUN_RESET, WARM_RESET = 1, 2, 4, 5, 6


def lun_field(lun):
    """The eight bytes of a logical unit number, peripheral device addressing."""
    return struct.pack(">BB6x", 0, lun)


def _header(opcode, flags, data, tag, *, lun=0, ahs=b"", rest=b""):
    lengths = (len(ahs) // 4) << 24 | len(data)
    header = struct.pack(">BBxxI", opcode, flags, lengths) + lun_field(lun) + struct.pack(">I", tag) + rest
    return header.ljust(BHS, b"\0") + ahs + data + b"\0" * (-len(data) % 4)


def login(tag, isid, command_number, text):
    """The only request of a login: operational stage to full feature, no authentication."""
    data = b"".join(f"{key}={value}".encode() + b"\0" for key, value in text.items())
    header = struct.pack(">BBBBI", LOGIN | IMMEDIATE, 0x80 | 1 << 2 | 3, 0, 0, len(data))
    header += isid + struct.pack(">HIHHII", 0, tag, 0, 0, command_number, 0)
    return header.ljust(BHS, b"\0") + data + b"\0" * (-len(data) % 4)


def command(tag, lun, cdb, *, reads, writes, expected, data, attribute, command_number, status_number):
    """A SCSI command; a CDB of more than 16 bytes goes on in an additional header segment."""
    flags = 0x80 | (0x40 if reads else 0) | (0x20 if writes else 0) | attribute
    ahs = b""
    if len(cdb) > 16:
        tail = cdb[16:]
        ahs = struct.pack(">HBx", len(tail) + 1, 1) + tail
        ahs += b"\0" * (-len(ahs) % 4)
    rest = struct.pack(">III", expected, command_number, status_number) + cdb[:16].ljust(16, b"\0")
    return _header(COMMAND, flags, data, tag, lun=lun, ahs=ahs, rest=rest)


def data_out(tag, lun, transfer_tag, status_number, number, offset, data, last):
    """One piece of what an R2T asked for."""
    rest = struct.pack(">IIIIII", transfer_tag, 0, status_number, 0, number, offset)
    return _header(DATA_OUT, 0x80 if last else 0, data, tag, lun=lun, rest=rest)


def task_management(tag, lun, function, referenced, command_number, status_number, referenced_number=0):
    """Always immediate, so that it needs no place in the command window."""
    rest = struct.pack(">IIIII", referenced, command_number, status_number, referenced_number, 0)
    return _header(TASK_MANAGEMENT | IMMEDIATE, 0x80 | function, b"", tag, lun=lun, rest=rest)


def nop_out(transfer_tag, lun_bytes, command_number, status_number):
    """The answer to a target's NOP-In that wants one."""
    header = struct.pack(">BBxxI", NOP_OUT | IMMEDIATE, 0x80, 0) + lun_bytes
    return (header + struct.pack(">IIII", NO_TAG, transfer_tag, command_number, status_number)).ljust(BHS, b"\0")


def logout(tag, command_number, status_number):
    """Closes the session in order."""
    return _header(LOGOUT | IMMEDIATE, 0x80, b"", tag, rest=struct.pack(">xxxxII", command_number, status_number))


class Incoming:
    """A target's PDU: header fields by their place."""

    def __init__(self, header, data):
        self.header = header
        self.data = data
        self.opcode = header[0] & 0x3F
        self.flags = header[1]
        self.tag, = struct.unpack_from(">I", header, 16)
        self.status_number, self.expected_number, self.maximum_number = struct.unpack_from(">III", header, 24)

    def word(self, offset):
        return struct.unpack_from(">I", self.header, offset)[0]

    @property
    def counts_status(self):
        """Whether it takes a StatSN: everything but R2T, Data-In without status, and NOP-In that asks."""
        if self.opcode == R2T or (self.opcode == DATA_IN and not self.flags & 1):
            return False
        return not (self.opcode == NOP_IN and self.tag == NO_TAG)


class Reader:
    """Cuts a stream of bytes into PDUs."""

    def __init__(self):
        self._bytes = bytearray()

    def feed(self, data):
        """Gives the PDUs that are whole now."""
        self._bytes += data
        found, at = [], 0
        while len(self._bytes) - at >= BHS:
            lengths, = struct.unpack_from(">I", self._bytes, at + 4)
            begin = at + BHS + (lengths >> 24) * 4
            size = lengths & 0xFFFFFF
            end = begin + size + (-size % 4)
            if len(self._bytes) < end:
                break
            found.append(Incoming(bytes(self._bytes[at:at + BHS]), bytes(self._bytes[begin:begin + size])))
            at = end
        del self._bytes[:at]
        return found
