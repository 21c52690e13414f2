import CTCMU
import TCMURing
import TCMUTestKit
import Testing

/// A lie in the mailbox and what it must be called.
struct MailboxLie: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let tell: @Sendable (RingSimulator) -> Void
    let expected: @Sendable (RingGeometry) -> RingError
}

/// A lie in one entry, told after a sound command was posted at ring position 0.
struct EntryLie: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let tell: @Sendable (RingSimulator) -> Void
    let isExpected: @Sendable (RingError) -> Bool
}

@Suite("Impossible values in shared memory")
struct HostileRingTests {
    static let mailboxLies: [MailboxLie] = [
        MailboxLie(testDescription: "version 1", tell: { $0.poke(1 as UInt16, at: 0) }) { _ in .version(1) },
        MailboxLie(testDescription: "version 3", tell: { $0.poke(3 as UInt16, at: 0) }) { _ in .version(3) },
        MailboxLie(testDescription: "no out-of-order completion", tell: { $0.poke(0xE as UInt16, at: 2) }) { _ in
            .inOrderOnly
        },
        MailboxLie(testDescription: "ring inside the mailbox", tell: { $0.poke(64 as UInt32, at: 4) }) {
            .ringBounds(offset: 64, size: UInt32($0.ringBytes), mapping: $0.mapSize)
        },
        MailboxLie(testDescription: "ring offset not aligned", tell: { $0.poke(132 as UInt32, at: 4) }) {
            .ringBounds(offset: 132, size: UInt32($0.ringBytes), mapping: $0.mapSize)
        },
        MailboxLie(testDescription: "ring offset near 2^32", tell: { $0.poke(0xFFFF_FFF8 as UInt32, at: 4) }) {
            .ringBounds(offset: 0xFFFF_FFF8, size: UInt32($0.ringBytes), mapping: $0.mapSize)
        },
        MailboxLie(testDescription: "ring longer than the map", tell: { $0.poke(0xFFFF_FFF8 as UInt32, at: 8) }) {
            .ringBounds(offset: 128, size: 0xFFFF_FFF8, mapping: $0.mapSize)
        },
        MailboxLie(testDescription: "ring without room for an entry", tell: { $0.poke(8 as UInt32, at: 8) }) {
            .ringBounds(offset: 128, size: 8, mapping: $0.mapSize)
        },
        MailboxLie(testDescription: "ring of size 0", tell: { $0.poke(0 as UInt32, at: 8) }) {
            .ringBounds(offset: 128, size: 0, mapping: $0.mapSize)
        },
        MailboxLie(testDescription: "tail outside the ring", tell: { $0.forceTail(0xFFFF_FFF8) }) {
            .tail(0xFFFF_FFF8, ringSize: UInt32($0.ringBytes))
        },
        MailboxLie(testDescription: "tail at the ring's end", tell: { $0.forceTail(UInt32($0.geometry.ringBytes)) })
        {
            .tail(UInt32($0.ringBytes), ringSize: UInt32($0.ringBytes))
        },
        MailboxLie(testDescription: "tail not aligned", tell: { $0.forceTail(4) }) {
            .tail(4, ringSize: UInt32($0.ringBytes))
        },
    ]

    @Test("A mailbox that cannot be is refused at attach", arguments: mailboxLies)
    func mailbox(_ lie: MailboxLie) throws {
        let kernel = try RingSimulator()
        lie.tell(kernel)
        #expect(throws: lie.expected(kernel.geometry)) {
            _ = try CommandRing(kernel.ringDescriptors()).openEntries
        }
    }

    @Test("A map without room for the mailbox is refused", arguments: [0, 1, 64, 128])
    func tinyMap(_ size: Int) throws {
        let kernel = try RingSimulator()
        let given = kernel.ringDescriptors()
        let small = RingDescriptors(
            region: given.region, notify: given.notify, doorbell: given.doorbell, mapSize: size)
        #expect(throws: RingError.mappingTooSmall(size: size)) { _ = try CommandRing(small).openEntries }
    }

    /// Ring position 0 from the start of the map.
    static let entry = 128

    static func isLength(_ error: RingError) -> Bool {
        if case .entryLength = error { true } else { false }
    }

    static func isBounds(_ error: RingError) -> Bool {
        if case .segmentBounds = error { true } else { false }
    }

    static func isCount(_ error: RingError) -> Bool {
        if case .segmentCount = error { true } else { false }
    }

    static func isCommandBlock(_ error: RingError) -> Bool {
        if case .commandBlock = error { true } else { false }
    }

    static func isHead(_ error: RingError) -> Bool {
        if case .head = error { true } else { false }
    }

    static func isNotice(_ error: RingError) -> Bool {
        if case .taskManagementCount = error { true } else { false }
    }

    static func length(_ value: UInt32, operation: UInt32) -> EntryLie {
        EntryLie(
            testDescription: "length \(value) for operation \(operation)",
            tell: { $0.poke(value | operation, at: entry) }, isExpected: isLength)
    }

    static let impossibleLengths: [(operation: UInt32, lengths: [UInt32])] = [
        (operation: 0, lengths: [0, 136, 0xFFFF_FFF8]),
        (operation: 1, lengths: [0, 8, 48, 104, 136, 4096, 0xFFFF_FFF8]),
        (operation: 2, lengths: [0, 8, 24, 136, 0xFFFF_FFF8]),
        (operation: 7, lengths: [0, 8, 104, 136, 0xFFFF_FFF8]),
    ]

    static let lengthLies: [EntryLie] = impossibleLengths.flatMap { row in
        row.lengths.map { length($0, operation: row.operation) }
    }

    static let allLies: [EntryLie] = [lengthLies, headLies, countLies, commandBlockLies, boundsLies, noticeLies]
        .flatMap { $0 }

    static let headLies: [EntryLie] = ([4, 1, 0xFFFF_FFFF, 0xFFFF_FFF8, 65_536] as [UInt32]).map { head in
        EntryLie(testDescription: "head \(head)", tell: { $0.forceHead(head) }, isExpected: isHead)
    }

    static func segments(_ count: UInt32, at offset: Int) -> EntryLie {
        EntryLie(
            testDescription: "\(count) iovecs in the count at byte \(offset)",
            tell: { $0.poke(count, at: entry + offset) }, isExpected: isCount)
    }

    static let countLies: [EntryLie] = [8, 12, 16].flatMap { offset in
        ([6, 0x1000_0000, 0x7FFF_FFFF, 0xFFFF_FFFF] as [UInt32]).map { segments($0, at: offset) }
    }

    static let outsideCommandBlocks: [UInt64] = [
        0, 8, 127, 128, 128 + 47, 128 + 128, 1 << 20, 1 << 32, UInt64.max, UInt64.max - 64, 1 << 63,
    ]

    static let commandBlockLies: [EntryLie] = outsideCommandBlocks.map { offset in
        EntryLie(
            testDescription: "CDB at \(offset)", tell: { $0.poke(offset, at: entry + 24) },
            isExpected: isCommandBlock)
    }

    static let outsideSegments: [(offset: UInt64, length: UInt64)] = [
        (0, 4096), (128, 8), (1 << 62, 1), (UInt64.max, 1), (UInt64.max - 4095, 4096), (UInt64.max, UInt64.max),
        (1 << 63, 1 << 63), (65_536 - 1, 2), (65_536, UInt64.max), (65_536 + 1024 * 4096, 1),
        (65_536 + 1024 * 4096 - 1, 2),
    ]

    static let boundsLies: [EntryLie] = outsideSegments.map { offset, length in
        EntryLie(
            testDescription: "segment of \(length) bytes at \(offset)",
            tell: {
                $0.poke(offset, at: entry + 48)
                $0.poke(length, at: entry + 56)
            }, isExpected: isBounds)
    }

    static let noticeLies: [EntryLie] = ([49, 0x8000_0000, 0xFFFF_FFFF] as [UInt32]).map { count in
        EntryLie(
            testDescription: "notice of \(count) commands",
            tell: {
                $0.poke(128 | 2 as UInt32, at: entry)
                $0.poke(count, at: entry + 12)
            }, isExpected: isNotice)
    }

    @Test("An entry that cannot be is reported, never followed", arguments: allLies)
    func entry(_ lie: EntryLie) throws {
        let served = try ServedRing()
        let id = served.kernel.post(cdb: [0x28, 0, 0, 0, 0, 7, 0, 0, 8, 0], dataInLength: 4096)
        try #require(id != nil)
        lie.tell(served.kernel)
        do {
            let taken = try served.takeAll()
            Issue.record("taken without complaint: \(taken)")
        } catch let error as RingError {
            #expect(lie.isExpected(error), "reported as \(error)")
            #expect(!error.description.isEmpty)
        }
    }

    @Test("Segments up to the very edges of the data area are accepted")
    func edges() throws {
        for (offset, length) in [(65_536, 1024 * 4096), (65_536 + 1024 * 4096 - 1, 1), (65_536 + 1024 * 4096, 0)] {
            let served = try ServedRing()
            let id = try #require(served.kernel.post(cdb: [0, 0, 0, 0, 0, 0], dataInLength: 1))
            served.kernel.poke(UInt64(offset), at: Self.entry + 48)
            served.kernel.poke(UInt64(length), at: Self.entry + 56)
            let taken = try #require(try served.take())
            #expect(taken.id == id)
            #expect(taken.data.count == length)
        }
    }

    @Test("Garbage in the whole ring ends in an error or in nothing, without a trap", arguments: 0..<8)
    func garbage(_ run: Int) throws {
        var random = SeededRandom.replayable()
        var errors = 0
        for _ in 0..<400 {
            let served = try ServedRing(RingGeometry(pages: 1, dataBlocks: 4), openLimit: 64)
            var bytes = random.bytes(served.kernel.geometry.ringBytes)
            // Even runs keep lengths plausible, so that the checks behind the length are reached.
            if run % 2 == 0 {
                for position in stride(from: 0, to: bytes.count - 32, by: 128) {
                    bytes[position] = UInt8(128 | Int.random(in: 0...3, using: &random))
                    bytes[position + 1] = 0
                    bytes[position + 2] = 0
                    bytes[position + 3] = 0
                    if random.chance(70) {
                        for index in 8..<20 {
                            bytes[position + index] = index % 4 == 0 ? bytes[position + index] % 3 : 0
                        }
                        let offset = UInt64(128 + position + 112)
                        for index in 0..<8 {
                            bytes[position + 24 + index] = UInt8(truncatingIfNeeded: offset >> UInt64(8 * index))
                        }
                    }
                }
            }
            served.kernel.poke(bytes, at: 128)
            served.kernel.forceHead(UInt32.random(in: 1..<480, using: &random) * 8)
            do {
                while let command = try served.take() { served.complete(command.id) }
            } catch is RingError {
                errors += 1
            }
        }
        #expect(errors > 300, "garbage was taken for commands, \(random)")
    }
}
