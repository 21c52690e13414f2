import BlockBackend
import LogicalUnit
import MemoryBackend
import SCSI
import TCMUTestKit
import Testing

/// A command and what must come back.
struct CommandRow: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let cdb: [UInt8]
    var dataOut: [UInt8] = []
    var dataInLength = 0
    var status: UInt8 = 0
    /// Sense key, ASC, ASCQ.
    var sense: [UInt8]?
}

@Suite("Commands through the ring, on memory")
struct CommandTests {
    /// Blocks of 512 bytes.
    static let blocks: UInt64 = 2048

    static func block(_ seed: UInt8, count: Int = 1) -> [UInt8] {
        (0..<512 * count).map { UInt8(truncatingIfNeeded: $0 / 3) ^ seed }
    }

    static let good: [CommandRow] = [
        CommandRow(testDescription: "TEST UNIT READY", cdb: InitiatorCDB.testUnitReady),
        CommandRow(testDescription: "START STOP UNIT, start", cdb: InitiatorCDB.startUnit),
        CommandRow(testDescription: "SYNCHRONIZE CACHE (10)", cdb: InitiatorCDB.synchronizeCache10()),
        CommandRow(testDescription: "SYNCHRONIZE CACHE (16)", cdb: InitiatorCDB.synchronizeCache16(7, 9)),
        CommandRow(testDescription: "READ (10) of no blocks", cdb: InitiatorCDB.read10(0, 0)),
        CommandRow(testDescription: "READ (10) of no blocks at the end", cdb: InitiatorCDB.read10(2048, 0)),
        CommandRow(testDescription: "WRITE (10) of no blocks", cdb: InitiatorCDB.write10(0, 0)),
        CommandRow(
            testDescription: "READ (10) of the last block", cdb: InitiatorCDB.read10(2047, 1), dataInLength: 512),
        CommandRow(
            testDescription: "WRITE (16) of the last block", cdb: InitiatorCDB.write16(2047, 1), dataOut: block(1)),
        CommandRow(
            testDescription: "UNMAP of nothing", cdb: InitiatorCDB.unmap(parameterListLength: 0)),
    ]

    static func refused(
        _ title: String, _ cdb: [UInt8], _ sense: [UInt8], dataOut: [UInt8] = [], dataInLength: Int = 0
    ) -> CommandRow {
        CommandRow(
            testDescription: title, cdb: cdb, dataOut: dataOut, dataInLength: dataInLength, status: 2, sense: sense)
    }

    static let outOfRange: [UInt8] = [5, 0x21, 0]
    static let unknown: [UInt8] = [5, 0x20, 0]
    static let invalidField: [UInt8] = [5, 0x24, 0]
    static let tooShort: [UInt8] = [4, 0x44, 0]

    static let ranges: [CommandRow] = [
        refused("READ (6) past the end", InitiatorCDB.read6(2047, 2), outOfRange, dataInLength: 1024),
        refused("READ (10) past the end", InitiatorCDB.read10(2048, 1), outOfRange, dataInLength: 512),
        refused("READ (12) past the end", InitiatorCDB.read12(2047, 2), outOfRange, dataInLength: 1024),
        refused("READ (16) past the end", InitiatorCDB.read16(2049, 0), outOfRange),
        refused(
            "READ (16) whose range wraps around 64 bits", InitiatorCDB.read16(.max, 2), outOfRange,
            dataInLength: 1024),
        refused("READ (16) of 2^32 - 1 blocks", InitiatorCDB.read16(1, .max), outOfRange, dataInLength: 512),
        refused("WRITE (10) past the end", InitiatorCDB.write10(2048, 1), outOfRange, dataOut: block(0)),
        refused("WRITE (16) at 2^63", InitiatorCDB.write16(1 << 63, 1), outOfRange, dataOut: block(0)),
        refused("SYNCHRONIZE CACHE past the end", InitiatorCDB.synchronizeCache16(2048, 1), outOfRange),
        refused("WRITE SAME (10) past the end", InitiatorCDB.writeSame10(2047, 2), outOfRange, dataOut: block(0)),
        refused(
            "COMPARE AND WRITE past the end", InitiatorCDB.compareAndWrite(2048, 1), outOfRange,
            dataOut: block(0, count: 2)),
        refused(
            "UNMAP past the end", InitiatorCDB.unmap(parameterListLength: 24), outOfRange,
            dataOut: InitiatorCDB.unmapParameters([(lba: 2047, blocks: 2)])),
        refused(
            "UNMAP whose second range is past the end", InitiatorCDB.unmap(parameterListLength: 40), outOfRange,
            dataOut: InitiatorCDB.unmapParameters([(lba: 0, blocks: 1), (lba: .max, blocks: 2)])),
    ]

    static let buffers: [CommandRow] = [
        refused("READ with a buffer too short", InitiatorCDB.read10(0, 2), tooShort, dataInLength: 1023),
        refused("READ without a buffer", InitiatorCDB.read10(0, 1), tooShort),
        refused("WRITE with data too short", InitiatorCDB.write10(0, 2), tooShort, dataOut: block(9)),
        refused("WRITE without data", InitiatorCDB.write16(0, 1), tooShort),
        refused(
            "COMPARE AND WRITE with one block of two", InitiatorCDB.compareAndWrite(0, 1), invalidField,
            dataOut: block(0)),
        refused("WRITE SAME without data", InitiatorCDB.writeSame16(0, 4), invalidField),
        refused(
            "WRITE SAME with two blocks", InitiatorCDB.writeSame16(0, 4), invalidField, dataOut: block(0, count: 2)),
        refused(
            "UNMAP list shorter than it says", InitiatorCDB.unmap(parameterListLength: 24), [5, 0x1A, 0],
            dataOut: [0, 22]),
        refused(
            "UNMAP of five ranges", InitiatorCDB.unmap(parameterListLength: 88), [5, 0x26, 0],
            dataOut: InitiatorCDB.unmapParameters((0..<5).map { (lba: UInt64($0), blocks: 1) })),
    ]

    static let operations: [CommandRow] = [
        refused("RECEIVE DIAGNOSTIC RESULTS", [0x1C, 0x01, 0, 0, 16, 0], unknown),
        refused("READ LONG (16)", [0x9E, 0x11] + [UInt8](repeating: 0, count: 14), unknown),
        refused("SET TARGET PORT GROUPS", [0xA4, 0x0A] + [UInt8](repeating: 0, count: 10), unknown),
        refused("vendor specific C0h", [0xC0] + [UInt8](repeating: 0, count: 9), unknown),
        refused("reserved 60h", [0x60] + [UInt8](repeating: 0, count: 9), unknown),
        refused("READ (32)", [0x7F, 0, 0, 0, 0, 0, 0, 24, 0, 9] + [UInt8](repeating: 0, count: 22), unknown),
        refused(
            "REPORT TARGET PORT GROUPS without a port", InitiatorCDB.reportTargetPortGroups, unknown,
            dataInLength: 1024),
        refused("INQUIRY of an unknown page", InitiatorCDB.inquiry(page: 0xC9), invalidField, dataInLength: 255),
        refused(
            "MODE SENSE of an unknown page", InitiatorCDB.modeSense6(page: 0x1D), invalidField, dataInLength: 255),
        refused("START STOP UNIT, stop", [0x1B, 0, 0, 0, 0, 0], invalidField),
    ]

    @Test("One command, one answer", arguments: [good, ranges, buffers, operations].flatMap { $0 })
    func answer(_ row: CommandRow) async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.blocks * 512))
        let done = try #require(rig.perform(cdb: row.cdb, dataOut: row.dataOut, dataInLength: row.dataInLength))
        #expect(done.status == row.status)
        #expect(done.senseTriple.map { [$0.key, $0.asc, $0.ascq] } == row.sense)
        #expect(!done.isUnknownOpcode)
        #expect(rig.kernel.violations.isEmpty)
        await rig.stop()
    }

    @Test(
        "What one command wrote, the next one reads",
        arguments: [
            (InitiatorCDB.write6(5, 3), InitiatorCDB.read6(5, 3)),
            (InitiatorCDB.write10(5, 3), InitiatorCDB.read10(5, 3)),
            (InitiatorCDB.write10(5, 3, flags: 0x08), InitiatorCDB.read12(5, 3)),
            (InitiatorCDB.write12(5, 3), InitiatorCDB.read16(5, 3)),
            (InitiatorCDB.write16(5, 3, flags: 0x08), InitiatorCDB.read10(5, 3)),
        ])
    func roundTrip(_ row: (write: [UInt8], read: [UInt8])) async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.blocks * 512))
        let data = Self.block(0x33, count: 3)
        #expect(rig.perform(cdb: row.write, dataOut: data)?.status == 0)
        #expect(rig.perform(cdb: row.read, dataInLength: 1536)?.dataIn == data)
        // The neighbours are untouched.
        let around = try #require(rig.perform(cdb: InitiatorCDB.read10(4, 5), dataInLength: 2560))
        #expect(around.dataIn == [UInt8](repeating: 0, count: 512) + data + [UInt8](repeating: 0, count: 512))
        await rig.stop()
    }

    @Test("READ (6) and WRITE (6) of 0 blocks mean 256")
    func sixByteCount() async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.blocks * 512))
        let data = Self.block(0x77, count: 256)
        #expect(rig.perform(cdb: InitiatorCDB.write6(0, 0), dataOut: data)?.status == 0)
        #expect(rig.perform(cdb: InitiatorCDB.read6(0, 0), dataInLength: data.count)?.dataIn == data)
        await rig.stop()
    }

    @Test("A buffer longer than the CDB says is filled as far as the CDB says, with the residual told")
    func longBuffer() async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.blocks * 512))
        let data = Self.block(0x42)
        #expect(rig.perform(cdb: InitiatorCDB.write10(0, 1), dataOut: data + data)?.status == 0)
        let read = try #require(rig.perform(cdb: InitiatorCDB.read10(0, 2), dataInLength: 8192))
        #expect(read.dataIn == data + [UInt8](repeating: 0, count: 512))
        #expect(read.residual == 8192 - 1024)
        await rig.stop()
    }

    @Test("Without READ_LEN in the mailbox, no byte of an earlier command comes along")
    func noLeak() async throws {
        var geometry = RingGeometry()
        geometry.flags = 1
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.blocks * 512), geometry: geometry)
        for (cdb, given) in [
            (InitiatorCDB.inquiry(), 36), (InitiatorCDB.read10(0, 1), 512), (InitiatorCDB.read10(0, 0), 0),
        ] {
            let done = try #require(rig.perform(cdb: cdb, dataInLength: 2048))
            #expect(done.status == 0 && done.dataIn.count == 2048)
            #expect(!done.dataIn.dropFirst(given).contains(0xA5), "what was in the data area before is handed out")
        }
        await rig.stop()
    }

    @Test("COMPARE AND WRITE writes on a match and reports the first difference otherwise")
    func compareAndWrite() async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.blocks * 512))
        let old = [UInt8](repeating: 0, count: 512)
        let new = Self.block(0x11)
        #expect(rig.perform(cdb: InitiatorCDB.compareAndWrite(8, 1), dataOut: old + new)?.status == 0)
        var wrong = new
        wrong[300] ^= 0xFF
        let refused = try #require(rig.perform(cdb: InitiatorCDB.compareAndWrite(8, 1), dataOut: wrong + old))
        #expect(refused.status == 2)
        #expect(refused.senseTriple.map { [$0.key, $0.asc, $0.ascq] } == [0x0E, 0x1D, 0])
        #expect(Array(refused.sense.prefix(7)) == [0xF0, 0, 0x0E, 0, 0, 0x01, 0x2C], "VALID, INFORMATION 300")
        #expect(rig.perform(cdb: InitiatorCDB.read10(8, 1), dataInLength: 512)?.dataIn == new)
        await rig.stop()
    }

    @Test("INQUIRY, READ CAPACITY and MODE SENSE tell who we are")
    func identity() async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.blocks * 512))
        let standard = try #require(rig.perform(cdb: InitiatorCDB.inquiry(), dataInLength: 255))
        #expect(standard.dataIn.count == 74, "with version descriptors")
        #expect(Array(standard.dataIn[8..<36]) == Array("LIO-ORG TCMU device     0002".utf8))
        let serial = try #require(rig.perform(cdb: InitiatorCDB.inquiry(page: 0x80), dataInLength: 255))
        #expect(String(decoding: serial.dataIn.dropFirst(4).prefix(16), as: UTF8.self) == "0123456789abcdef")
        let small = try #require(rig.perform(cdb: InitiatorCDB.readCapacity10, dataInLength: 8))
        #expect(small.dataIn == [0, 0, 7, 0xFF, 0, 0, 2, 0])
        let large = try #require(rig.perform(cdb: InitiatorCDB.readCapacity16, dataInLength: 32))
        #expect(Array(large.dataIn.prefix(12)) == [0, 0, 0, 0, 0, 0, 7, 0xFF, 0, 0, 2, 0])
        #expect(rig.perform(cdb: InitiatorCDB.modeSense6(), dataInLength: 255)?.status == 0)
        #expect(rig.perform(cdb: InitiatorCDB.modeSense10(), dataInLength: 255)?.status == 0)
        await rig.stop()
    }

    @Test("Commands with more pieces than one operation takes are refused, the next one is served")
    func tooManySegments() async throws {
        // Every second block of the data area is kept busy, so that no two free ones adjoin.
        var geometry = RingGeometry(pages: 64, dataBlocks: 2400)
        geometry.ringBytes = 1 << 20
        let script = BackendScript(size: 1 << 24)
        let rig = try await UnitRig.start(ScriptedBackend(script), geometry: geometry)
        script.answer(.held)
        for index in 0..<2400 {
            #expect(rig.kernel.post(cdb: InitiatorCDB.read10(UInt32(index), 1), dataInLength: 512) != nil)
        }
        rig.kernel.notify()
        #expect(script.waitForHeld(2400))
        script.releaseEverySecond()
        #expect(rig.kernel.reapCompletions(count: 1200).count == 1200)
        #expect(rig.kernel.post(cdb: InitiatorCDB.read10(0, 1100 * 8), dataInLength: 1100 * 4096) != nil)
        rig.kernel.notify()
        let refused = try #require(rig.kernel.reapCompletions(count: 1).first)
        #expect(refused.senseTriple.map { [$0.key, $0.asc, $0.ascq] } == Self.invalidField)
        script.answer(.immediate)
        script.release()
        #expect(rig.kernel.reapCompletions(count: 1200).count == 1200)
        #expect(rig.perform(cdb: InitiatorCDB.read10(0, 8), dataInLength: 4096)?.status == 0)
        #expect(rig.kernel.violations.isEmpty)
        await rig.stop()
    }
}
