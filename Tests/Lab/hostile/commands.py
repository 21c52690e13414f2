"""What is sent: random and extreme commands, all of them from one seed."""

import dataclasses
import struct

#: Task attributes of iSCSI: simple, ordered, head of queue, untagged.
SIMPLE, ORDERED, HEAD_OF_QUEUE, UNTAGGED = 1, 2, 3, 0
#: Bytes that one command moves at most. More is asked for in CDBs, not carried.
CARRIED = 1 << 20
#: REPORT LUNS and PERSISTENT RESERVE IN never reach the daemon; LIO (kernel 6.1) ends the connection and hangs taking it down when the
#: CDB asks for nothing and the initiator expects something ("iscsit_get_datain_values failed").
BY_THE_KERNEL = {0xA0, 0x5E}
#: The key that every registration of ours has, so that each is found again and cleared.
KEY = b"hostile!"


@dataclasses.dataclass
class Command:
    """A CDB with the transfer that the initiator announces for it, which need not be the one that the CDB means."""

    title: str
    cdb: bytes
    reads: bool = False
    writes: bool = False
    expected: int = 0
    #: What is written, again and again up to `expected`.
    payload: bytes = b"\0"
    attribute: int = SIMPLE

    def data(self, offset, size):
        """The bytes to be written from `offset` on."""
        if len(self.payload) >= offset + size:
            return self.payload[offset:offset + size]
        start = offset % len(self.payload)
        return (self.payload * ((start + size) // len(self.payload) + 1))[start:start + size]


@dataclasses.dataclass
class Unit:
    """What the unit says of itself."""

    blocks: int
    block: int = 512
    maximum_transfer: int = 128
    unmap_descriptors: int = 4
    unmap_blocks: int = 0xFFFFFFFF
    write_same: int = 0xFFFFFFFF
    compare_and_write: int = 1
    atomic: int = 0
    #: The designator of page 83h that EXTENDED COPY names the unit with; 16 bytes of NAA, or none.
    designator: bytes = b""


def nothing(title, cdb):
    return Command(title, cdb)


def reading(title, cdb, expected):
    return Command(title, cdb, reads=expected > 0, expected=expected)


def writing(title, cdb, payload, expected=None):
    expected = len(payload) if expected is None else expected
    return Command(title, cdb, writes=expected > 0, expected=expected, payload=payload or b"\0")


def cdb16(code, first, lba, blocks, last=0):
    return struct.pack(">BBQIBB", code, first, lba & (1 << 64) - 1, blocks & 0xFFFFFFFF, last, 0)


def cdb12(code, first, lba, blocks):
    return struct.pack(">BBIIBB", code, first, lba & 0xFFFFFFFF, blocks & 0xFFFFFFFF, 0, 0)


def cdb10(code, first, lba, blocks):
    return struct.pack(">BBIBHB", code, first, lba & 0xFFFFFFFF, 0, blocks & 0xFFFF, 0)


def inquiry(page, length=255):
    return reading(f"INQUIRY {page:02x}h", bytes([0x12, 1, page, length >> 8, length & 255, 0]), length)


def read_capacity():
    return reading("READ CAPACITY(16)", bytes([0x9E, 0x10]) + bytes(8) + struct.pack(">IBB", 32, 0, 0), 32)


def register_and_clear():
    """Two commands that leave no registration: ours in, whatever was there; then all out."""
    parameters = bytes(8) + KEY + bytes(8)
    yield writing("PERSISTENT RESERVE OUT, mine", bytes([0x5F, 6]) + bytes(3) + struct.pack(">IB", 24, 0), parameters)
    parameters = KEY + bytes(16)
    yield writing("PERSISTENT RESERVE OUT, clear", bytes([0x5F, 3]) + bytes(3) + struct.pack(">IB", 24, 0), parameters)


def mode_pages(code):
    """MODE SENSE(6) of one page as it is, without block descriptors."""
    return reading(f"MODE SENSE {code:02x}h", bytes([0x1A, 8, code, 0, 255, 0]), 255)


def as_it_was(sensed):
    """MODE SELECT(6) of a page that `mode_pages` read: junk may have put the write protection on, or the cache off."""
    page = bytearray(sensed[4 + sensed[3]:4 + sensed[3] + 2 + sensed[5 + sensed[3]]])
    # PS means nothing here.
    page[0] &= 0x7F
    return writing("MODE SELECT, as it was", bytes([0x15, 0x10, 0, 0, 4 + len(page), 0]), bytes(4) + bytes(page))


class Generator:
    """An endless row of commands; the same seed and unit give the same row."""

    def __init__(self, random, unit, gentle=False):
        self.random = random
        self.unit = unit
        self.gentle = gentle
        kinds = {kind: weight for kind, weight in self.KINDS.items() if not gentle or kind in self.GENTLE}
        self._kinds, self._weights = zip(*kinds.items())

    def next(self):
        """One command; now and then with a bit turned over or a transfer that is not the CDB's."""
        kind = self.random.choices(self._kinds, self._weights)[0]
        command = getattr(self, kind)()
        command.attribute = self.random.choices([SIMPLE, ORDERED, HEAD_OF_QUEUE, UNTAGGED], [85, 8, 5, 2])[0]
        if command.cdb[0] in BY_THE_KERNEL and not int.from_bytes(command.cdb[6:10], "big"):
            command.expected, command.reads, command.writes = 0, False, False
        elif not self.gentle and kind != "junk" and command.cdb[0] not in BY_THE_KERNEL and self.random.random() < 0.12:
            self._spoil(command)
        return command

    #: How often which kind comes. What takes seconds is rare, or nothing else would be at work.
    KINDS = {
        "plain_read": 20, "plain_write": 14, "beyond": 3, "flags": 5, "large_read": 3, "write_same": 4, "write_same_all": 1,
        "unmap": 4, "unmap_full": 2, "verify": 4, "verify_all": 1, "verify_data": 2, "compare_and_write": 8, "orwrite": 3,
        "atomic": 3, "prefetch": 2, "flush": 3, "lba_status": 3, "copy": 1.5, "erase": 0.02, "mode_select": 3, "reserve": 2,
        "page": 6, "junk": 12,
    }

    #: Those whose transfer is the CDB's. LIO's own backstores end a connection, and hang taking it down, when an initiator
    #: expects data where the CDB asks for none (kernel 6.1: "iscsit_get_datain_values failed"), and go silent after COMPARE AND
    #: WRITE of no blocks.
    GENTLE = {"plain_read", "plain_write", "write_same", "unmap", "verify", "flush"}

    # --- where and how much ------------------------------------------------------------------------

    def _lba(self):
        return self.random.choice([0, 1, self.unit.blocks - 1, self.unit.blocks // 2, self.random.randrange(self.unit.blocks)])

    def _blocks(self, most=64):
        """Few, mostly."""
        return self.random.choice([1, 1, 8, 8, 16, self.random.randint(1, most)])

    def _place(self, most=64):
        blocks = min(self._blocks(most), self.unit.blocks)
        return min(self._lba(), self.unit.blocks - blocks), blocks

    def _bytes(self, size):
        """Payload of so many bytes; a short piece stands for all of a long one."""
        return self.random.choice([bytes(size), bytes([self.random.randrange(256)]) * size,
                                   (self.random.randbytes(512) * (size // 512 + 1))[:size]]) if size else b""

    def _access(self, code, first, lba, blocks):
        """READ, WRITE and their like, in a length that fits."""
        group = code >> 5
        if group == 0:
            return bytes([code, lba >> 16 & 31, lba >> 8 & 255, lba & 255, blocks & 255, 0])
        if group == 4:
            return cdb16(code, first, lba, blocks)
        return (cdb12 if group == 5 else cdb10)(code, first, lba, blocks)

    # --- data ---------------------------------------------------------------------------------------

    def plain_read(self):
        lba, blocks = self._place()
        code = self.random.choice([0x08, 0x28, 0xA8, 0x88])
        if code == 0x08:
            lba &= 0x1FFFFF
        return reading("READ", self._access(code, 0, lba, blocks), blocks * self.unit.block)

    def plain_write(self):
        lba, blocks = self._place(32)
        code = self.random.choice([0x0A, 0x2A, 0xAA, 0x8A])
        if code == 0x0A:
            lba &= 0x1FFFFF
        return writing("WRITE", self._access(code, 0, lba, blocks), self._bytes(blocks * self.unit.block))

    def beyond(self):
        """Across or behind the end, or so far that sums overflow."""
        lba = self.random.choice([self.unit.blocks - 1, self.unit.blocks, (1 << 64) - 1, (1 << 63), (1 << 32) - 1])
        code = self.random.choice([0x88, 0x8A, 0x8F, 0x93, 0x8E, 0x8B, 0x89, 0x90, 0x91])
        blocks = self.random.choice([2, 0xFFFFFFFF, 0x80000000, 128])
        if code in (0x88, 0x8F):
            return reading("beyond the end", cdb16(code, 0, lba, blocks), self.random.choice([0, 512, 65536]))
        return writing("beyond the end", cdb16(code, 0, lba, blocks), self._bytes(self.random.choice([0, 512, 1024, 65536])))

    def flags(self):
        """Any bits beside the operation code: protection, DPO, FUA, RARC, reserved ones."""
        lba, blocks = self._place(16)
        code = self.random.choice([0x28, 0x88, 0xA8, 0x2A, 0x8A, 0xAA, 0x2E, 0x8E, 0xAE])
        cdb = bytearray(self._access(code, self.random.randrange(256), lba, blocks))
        cdb[-1] = self.random.choice([0, 4, 0xFF])
        size = blocks * self.unit.block
        return reading("READ with flags", bytes(cdb), size) if code & 0xF == 8 else writing("WRITE with flags", bytes(cdb), self._bytes(size))

    def large_read(self):
        """As long as is promised, and longer; the initiator has room for a part."""
        blocks = self.random.choice([self.unit.maximum_transfer, self.unit.maximum_transfer + 1, 0xFFFF, 0xFFFFFFFF])
        blocks = min(blocks, self.unit.blocks)
        return reading("READ, long", cdb16(0x88, 0, 0, blocks), min(blocks * self.unit.block, CARRIED))

    # --- work whose size is a number in the CDB -----------------------------------------------------

    def _sweep(self):
        """Blocks of a long one: to the end, what is promised, the largest number."""
        return self.random.choice([self.unit.blocks, min(self.unit.write_same, self.unit.blocks), 0, 0xFFFFFFFF, 1 << 20, 4096])

    def write_same(self):
        lba, blocks = self._place(4096)
        flag = self.random.choice([0, 0, 8, 1, 9, 0x10, self.random.randrange(256)])
        data = b"" if flag & 1 else self._bytes(self.unit.block)
        cdb = self.random.choice([cdb16(0x93, flag, lba, blocks), cdb10(0x41, flag, lba, blocks)])
        return writing("WRITE SAME", cdb, data)

    def write_same_all(self):
        flag = self.random.choice([0, 0, 0, 8, 1, 9])
        data = b"" if flag & 1 else self._bytes(self.unit.block)
        cdb = self.random.choice([cdb16(0x93, flag, 0, self._sweep()), cdb10(0x41, flag, 0, self._sweep())])
        return writing("WRITE SAME, the largest", cdb, data)

    def _unmap(self, extents):
        parameters = struct.pack(">HH4x", 6 + 16 * len(extents), 16 * len(extents))
        parameters += b"".join(struct.pack(">QI4x", lba, blocks) for lba, blocks in extents)
        return writing("UNMAP", bytes([0x42, 0]) + bytes(5) + struct.pack(">HB", len(parameters), 0), parameters)

    def unmap(self):
        return self._unmap([self._place(4096) for _ in range(self.random.randint(0, 5))])

    def unmap_full(self):
        """All descriptors that are allowed, or as many as the list's length can say, over the whole medium."""
        count = self.random.choice([self.unit.unmap_descriptors, self.unit.unmap_descriptors + 1, 255, 4094])
        count = max(min(count, 4094), 1)
        share = self.unit.blocks // count
        if self.random.random() < 0.3:
            return self._unmap([(0, min(self.unit.blocks, 0xFFFFFFFF))] * count)
        return self._unmap([(index * share, share) for index in range(count)])

    def verify(self):
        lba, blocks = self._place(4096)
        code = self.random.choice([0x2F, 0xAF, 0x8F])
        return nothing("VERIFY", self._access(code, self.random.choice([0, 0x10]), lba, blocks))

    def verify_all(self):
        if self.random.random() < 0.5:
            return writing("VERIFY of one block, the largest", cdb16(0x8F, 6, 0, self._sweep()), bytes(self.unit.block))
        return nothing("VERIFY, the largest", self._access(self.random.choice([0x2F, 0xAF, 0x8F]), 0, 0, self._sweep()))

    def verify_data(self):
        lba, blocks = self._place(128)
        code = self.random.choice([0x2F, 0x8F, 0x2E, 0x8E])
        return writing("VERIFY of data", self._access(code, 2, lba, blocks), self._bytes(blocks * self.unit.block))

    def compare_and_write(self):
        """On few places, so that they meet; blocks that are there, zeros mostly, and blocks that are not."""
        blocks = self.random.choice([1, 1, 1, 2, self.unit.compare_and_write, 255, 0])
        lba = self.random.choice([0, 7, 8191, 8192, self.unit.blocks - 1])
        half = blocks * self.unit.block
        data = self.random.choice([bytes(2 * half), self._bytes(2 * half), bytes(half) + self._bytes(half)])
        return writing("COMPARE AND WRITE", cdb16(0x89, self.random.choice([0, 0, 8, 0x10]), lba, blocks), data)

    def orwrite(self):
        lba, blocks = self._place(512)
        return writing("ORWRITE", cdb16(0x8B, 0, lba, blocks), self._bytes(blocks * self.unit.block))

    def atomic(self):
        blocks = self.random.choice([1, 8, 64, max(self.unit.atomic, 1), self.unit.atomic + 1])
        blocks = min(blocks, CARRIED // self.unit.block)
        lba = self._lba()
        cdb = struct.pack(">BBQHHBB", 0x9C, 0, lba, self.random.choice([0, 0, 8]), blocks, 0, 0)
        return writing("WRITE ATOMIC", cdb, self._bytes(blocks * self.unit.block))

    def prefetch(self):
        blocks = self.random.choice([0, 8, 0xFFFFFFFF, self.unit.blocks])
        return nothing("PRE-FETCH", self.random.choice([cdb16(0x90, 2, 0, blocks), cdb16(0x90, 0, 0, blocks), cdb10(0x34, 0, 0, blocks)]))

    def flush(self):
        return nothing("SYNCHRONIZE CACHE", self.random.choice([cdb16(0x91, 0, 0, 0), cdb10(0x35, 2, 0, 0), cdb16(0x91, 0, self._lba(), 8)]))

    def lba_status(self):
        length = self.random.choice([0, 8, 24, 4096, 65536, CARRIED])
        cdb = bytes([0x9E, 0x12]) + struct.pack(">QIBB", self._lba(), self.random.choice([length, 0xFFFFFFFF]), 0, 0)
        return reading("GET LBA STATUS", cdb, length)

    def copy(self):
        """EXTENDED COPY (LID1) within the unit: one segment up to the most that is taken, of 65,535 blocks each."""
        target = b"\xE4" + bytes(3) + struct.pack(">BBxB", 1, 3, len(self.unit.designator))
        target = (target + self.unit.designator).ljust(28, b"\0") + struct.pack(">BBH", 0, 0, self.unit.block)
        count = self.random.choice([1, 1, 2, 8, 255])
        segments = b""
        for _ in range(count):
            blocks = self.random.choice([1, 128, 65535])
            segments += struct.pack(">BBHHHHHQQ", 2, 0, 0x18, 0, 0, 0, blocks, self._lba(), self._lba())
        header = struct.pack(">BBHIII", self.random.randrange(256), self.random.choice([0x18, 0, 0x10]), 32, 0, len(segments), 0)
        parameters = header + target + segments
        return writing("EXTENDED COPY", bytes([0x83, 0]) + bytes(8) + struct.pack(">IBB", len(parameters), 0, 0), parameters)

    def erase(self):
        """FORMAT UNIT and SANITIZE, the whole medium."""
        if self.random.random() < 0.3:
            return nothing("FORMAT UNIT", bytes([4, 0, 0, 0, 0, 0]))
        service = self.random.choice([1, 2, 2, 3, 0x1F])
        immediate = self.random.choice([0x80, 0])
        parameters = b"" if service != 1 else struct.pack(">BBH", 1, 0, self.unit.block) + self._bytes(self.unit.block)
        cdb = bytes([0x48, immediate | service]) + bytes(5) + struct.pack(">HB", len(parameters), 0)
        return writing("SANITIZE", cdb, parameters)

    # --- parameters ---------------------------------------------------------------------------------

    def mode_select(self):
        """Lists that are nearly right, and bytes that are none."""
        page = self.random.choice([self.random.randbytes(self.random.randrange(64)), bytes([8, 0x12]) + self.random.randbytes(18),
                                   bytes([0x0A, 0x0A]) + self.random.randbytes(10), bytes([1, 0x0A]) + self.random.randbytes(10)])
        descriptor = self.random.choice([b"", self.random.randbytes(8), bytes(6) + struct.pack(">H", self.unit.block)])
        first = self.random.choice([0x10, 0x11, self.random.randrange(256)])
        if self.random.random() < 0.5:
            parameters = bytes([0, 0, 0, len(descriptor)]) + descriptor + page
            return writing("MODE SELECT(6)", bytes([0x15, first, 0, 0, min(len(parameters), 255), 0]), parameters[:255])
        parameters = bytes(6) + struct.pack(">H", len(descriptor)) + descriptor + page
        return writing("MODE SELECT(10)", bytes([0x55, first]) + bytes(5) + struct.pack(">HB", len(parameters), 0), parameters)

    def reserve(self):
        """Reservations of any kind, mostly with a key that can be cleared."""
        if self.random.random() < 0.15:
            return nothing("RESERVE or RELEASE", bytes([self.random.choice([0x16, 0x17]), 0, 0, 0, 0, 0]))
        if self.random.random() < 0.3:
            return reading("PERSISTENT RESERVE IN", bytes([0x5E, self.random.randrange(8)]) + bytes(5) + struct.pack(">HB", 1024, 0), 1024)
        action, kind = self.random.choice([0, 1, 2, 3, 4, 5, 6, 7, self.random.randrange(32)]), self.random.randrange(16)
        parameters = self.random.choice([KEY, bytes(8)]) + KEY + self.random.choice([bytes(8), self.random.randbytes(8)])
        parameters = parameters[:self.random.choice([24, 24, 24, 23, 8])]
        cdb = bytes([0x5F, action, kind]) + bytes(2) + struct.pack(">IB", len(parameters), 0)
        return writing("PERSISTENT RESERVE OUT", cdb, parameters)

    def page(self):
        """Questions with any page, length and form."""
        length = self.random.choice([0, 1, 4, 255, 4096, 65535])
        number, sub = self.random.randrange(256), self.random.choice([0, 0, 0xFF, self.random.randrange(256)])
        cdb = self.random.choice([
            bytes([0x12, self.random.randrange(4), number]) + struct.pack(">HB", length, 0),
            bytes([0x1A, self.random.randrange(256), number, sub, length & 255, 0]),
            bytes([0x5A, self.random.randrange(256), number, sub]) + bytes(3) + struct.pack(">HB", length, 0),
            bytes([0x4D, 0, number, sub]) + bytes(3) + struct.pack(">HB", length, 0),
            bytes([0xA3, 0x0C, self.random.choice([0, 0x80, 1, 2, 3, 7]), number, 0, sub]) + struct.pack(">IBB", length, 0, 0),
            bytes([0xA3, self.random.randrange(32)]) + bytes(4) + struct.pack(">IBB", length, 0, 0),
            bytes([0x9E, self.random.randrange(32)]) + bytes(8) + struct.pack(">IBB", length, 0, 0),
            bytes([0x84, self.random.randrange(8)]) + bytes(8) + struct.pack(">IBB", length, 0, 0),
            bytes([0xA0, 0, self.random.randrange(256)]) + bytes(3) + struct.pack(">IBB", length, 0, 0),
            bytes([0x03, self.random.randrange(2), 0, 0, length & 255, 0]),
        ])
        return reading("a question", cdb, length)

    def junk(self):
        """Any operation code with any bytes behind it, and any transfer."""
        code = self.random.randrange(256)
        if code == 0x7F:
            cdb = bytes([code]) + self.random.randbytes(6) + bytes([24]) + self.random.randbytes(24)
        else:
            cdb = bytes([code]) + self.random.choice([self.random.randbytes(15), bytes(15), b"\xFF" * 15])
        if code in (0x04, 0x48):
            # Erasures are rare on purpose: while one is at work nothing else is.
            cdb = bytes([code]) + b"\xFF" * 15
        if code == 0x5F:
            cdb = cdb[:1] + bytes([cdb[1] | 0x18]) + cdb[2:]
        size = self.random.choice([0, 0, 1, 511, 512, 4096, 65536, self.random.randrange(131072)])
        way = self.random.choice(["reads", "writes", "none"])
        if way == "none" or size == 0:
            return nothing("junk", cdb)
        return reading("junk", cdb, size) if way == "reads" else writing("junk", cdb, self._bytes(size))

    def _spoil(self, command):
        """A bit of the CDB turned over, or a transfer of another length, direction or none."""
        way = self.random.randrange(4)
        if way == 0:
            cdb = bytearray(command.cdb)
            # Not the operation code: that is what junk is for.
            cdb[self.random.randrange(1, len(cdb))] ^= 1 << self.random.randrange(8)
            command.cdb = bytes(cdb)
        elif way == 1:
            command.expected = self.random.choice([0, 1, command.expected // 2, command.expected + 512, 65536])
        elif way == 2:
            command.reads, command.writes = command.writes, command.reads
        else:
            command.expected = 0
        if command.expected == 0:
            command.reads = command.writes = False
        elif not command.reads and not command.writes:
            command.reads = True
        command.title += ", spoiled"
