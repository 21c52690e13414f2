import BlockBackend
import Glibc
import LogicalUnit
import MemoryBackend
import TCMUTestKit
import Testing

@Suite("Space: GET LBA STATUS, LOG SENSE, the soft threshold")
struct SpaceTests {
    /// 4096 blocks of 4 KiB.
    static let size: UInt64 = 16 << 20

    struct Descriptor: Equatable {
        let lba: UInt64
        let blocks: UInt32
        let isMapped: Bool
    }

    /// The descriptors of GET LBA STATUS parameter data.
    static func descriptors(_ data: [UInt8]) -> [Descriptor] {
        stride(from: 8, to: data.count - 15, by: 16).map { at in
            Descriptor(
                lba: data[at..<at + 8].reduce(0) { $0 << 8 | UInt64($1) },
                blocks: data[at + 8..<at + 12].reduce(0) { $0 << 8 | UInt32($1) }, isMapped: data[at + 12] == 0)
        }
    }

    static func run(_ bytes: Range<UInt64>, _ isMapped: Bool) -> AllocationRun {
        AllocationRun(
            extent: ByteExtent(offset: bytes.lowerBound, length: UInt64(bytes.count)), isMapped: isMapped)
    }

    @Test("Runs of bytes become runs of blocks; a block of which any byte is allocated is mapped")
    func rounding() async throws {
        let script = BackendScript(size: Self.size, capabilities: Backends.capable())
        let rig = try await UnitRig.start(ScriptedBackend(script), blockSize: 4096)
        script.answerSurveys(
            .init(runs: [
                Self.run(0..<8192, true), Self.run(8192..<20000, false), Self.run(20000..<20100, true),
                Self.run(20100..<Self.size, false),
            ]))
        let done = try rig.run(InitiatorCDB.getLBAStatus(0), dataInLength: 1024)
        #expect(
            Self.descriptors(done.dataIn) == [
                Descriptor(lba: 0, blocks: 2, isMapped: true), Descriptor(lba: 2, blocks: 2, isMapped: false),
                Descriptor(lba: 4, blocks: 1, isMapped: true), Descriptor(lba: 5, blocks: 4091, isMapped: false),
            ])
        #expect(script.operations.map(\.extent) == [ByteExtent(offset: 0, length: Self.size)])
        await rig.stop()
    }

    @Test("It starts at the block asked about")
    func start() async throws {
        let script = BackendScript(size: Self.size, capabilities: Backends.capable())
        let rig = try await UnitRig.start(ScriptedBackend(script), blockSize: 4096)
        script.answerSurveys(.init(runs: [Self.run(5 * 4096..<Self.size, false)]))
        let done = try rig.run(InitiatorCDB.getLBAStatus(5), dataInLength: 1024)
        #expect(Self.descriptors(done.dataIn) == [Descriptor(lba: 5, blocks: 4091, isMapped: false)])
        #expect(try rig.run(InitiatorCDB.getLBAStatus(4096), dataInLength: 1024).codes == Codes.outOfRange)
        #expect(try rig.run(InitiatorCDB.getLBAStatus(.max), dataInLength: 1024).codes == Codes.outOfRange)
        await rig.stop()
    }

    @Test("A first run shorter than a block, and no room for a second, still tells of one block")
    func shortFirstRun() async throws {
        let script = BackendScript(size: Self.size, capabilities: Backends.capable())
        let rig = try await UnitRig.start(ScriptedBackend(script), blockSize: 4096)
        script.answerSurveys(.init(runs: [Self.run(0..<512, false)]))
        let done = try rig.run(InitiatorCDB.getLBAStatus(0, length: 24), dataInLength: 24)
        #expect(Self.descriptors(done.dataIn) == [Descriptor(lba: 0, blocks: 1, isMapped: true)])
        await rig.stop()
    }

    @Test(
        "A short allocation length gets as much as fits, with the length of the whole",
        arguments: [0, 4, 8, 24, 40])
    func shortAllocation(_ length: Int) async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size))
        for lba: UInt32 in [0, 64, 128] {
            #expect(
                try rig.run(InitiatorCDB.write10(lba, 8), dataOut: [UInt8](repeating: 1, count: 4096)).status == 0)
        }
        let cdb = InitiatorCDB.getLBAStatus(0, length: UInt32(length))
        let done = try rig.run(cdb, dataInLength: 1024)
        #expect(done.status == 0)
        if length == 0 {
            #expect(!done.dataIn.contains(0xA5))
        } else {
            #expect(done.dataIn.count == length)
        }
        if length >= 24 {
            #expect(Self.descriptors(done.dataIn).first == Descriptor(lba: 0, blocks: 8, isMapped: true))
        }
        await rig.stop()
    }

    @Test("Memory tells of what was written and what was given back")
    func memory() async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size))
        #expect(try rig.run(InitiatorCDB.write10(64, 8), dataOut: [UInt8](repeating: 1, count: 4096)).status == 0)
        let done = try rig.run(InitiatorCDB.getLBAStatus(0), dataInLength: 1024)
        #expect(
            Self.descriptors(done.dataIn) == [
                Descriptor(lba: 0, blocks: 64, isMapped: false), Descriptor(lba: 64, blocks: 8, isMapped: true),
                Descriptor(lba: 72, blocks: 32768 - 72, isMapped: false),
            ])
        let list = InitiatorCDB.unmapParameters([(lba: 64, blocks: 8)])
        #expect(try rig.run(InitiatorCDB.unmap(parameterListLength: 24), dataOut: list).status == 0)
        let after = try rig.run(InitiatorCDB.getLBAStatus(3), dataInLength: 1024)
        #expect(Self.descriptors(after.dataIn) == [Descriptor(lba: 3, blocks: 32765, isMapped: false)])
        await rig.stop()
    }

    @Test("A backend that cannot tell has everything mapped, and is not asked")
    func unsupported() async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        let done = try rig.run(InitiatorCDB.getLBAStatus(7), dataInLength: 1024)
        #expect(Self.descriptors(done.dataIn) == [Descriptor(lba: 7, blocks: 32761, isMapped: true)])
        let pages = try rig.run(InitiatorCDB.logSense(page: 0), dataInLength: 256)
        #expect(pages.dataIn == [0, 0, 0, 1, 0])
        #expect(try rig.run(InitiatorCDB.logSense(page: 0x0C), dataInLength: 256).codes == Codes.invalidField)
        #expect(script.operations.isEmpty)
        await rig.stop()
    }

    @Test(
        "A survey that fails fails the command with the sense of its errno, and the next one is served",
        arguments: [(EIO, 2 as UInt8, Codes.readError as [UInt8]?), (EAGAIN, 8, nil), (ENOMEM, 0x28, nil)])
    func failure(_ row: (errno: Int32, status: UInt8, codes: [UInt8]?)) async throws {
        let script = BackendScript(size: Self.size, capabilities: Backends.capable())
        let rig = try await UnitRig.start(ScriptedBackend(script))
        for cdb in [InitiatorCDB.getLBAStatus(0), InitiatorCDB.logSense(page: 0x0C)] {
            script.fail(.survey, with: row.errno)
            let done = try rig.run(cdb, dataInLength: 256)
            #expect(done.status == row.status)
            #expect(done.codes == row.codes)
            script.fail(.survey, with: nil)
            script.answerSurveys(.init(availableBytes: 5 << 20))
            #expect(try rig.run(cdb, dataInLength: 256).status == 0)
        }
        await rig.stop()
    }

    @Test("LOG SENSE tells what is left and what is used, in units of 1 MiB")
    func logSense() async throws {
        let script = BackendScript(size: Self.size, capabilities: Backends.capable())
        let rig = try await UnitRig.start(ScriptedBackend(script), blockSize: 4096)
        script.answerSurveys(.init(availableBytes: 5 << 20 | 4096, usedBytes: 3 << 20 | 4096))
        #expect(try rig.run(InitiatorCDB.logSense(page: 0), dataInLength: 256).dataIn == [0, 0, 0, 2, 0, 0x0C])
        let page = try rig.run(InitiatorCDB.logSense(page: 0x0C), dataInLength: 256).dataIn
        #expect(
            page == [0x8C, 0, 0, 24] + [0, 1, 3, 8, 0, 0, 0, 5, 2, 0, 0, 0] + [0, 2, 3, 8, 0, 0, 0, 4, 1, 0, 0, 0])
        await rig.stop()
    }

    // MARK: - The soft threshold

    static let soft: [UInt8] = [6, 0x38, 0x07]

    /// A unit that looks at its space, and is told how much that is. The look after the first write is over.
    static func watched(
        _ available: UInt64
    ) async throws -> (UnitRig<ScriptedBackend>, BackendScript) {
        // A unit so large that the 256 MiB between two looks are few commands: WRITE SAME does not count, WRITE does.
        let script = BackendScript(size: 16 << 20, capabilities: Backends.capable())
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answerSurveys(.init(availableBytes: available))
        return (rig, script)
    }

    /// Writes as much as lies between two looks, and one command more.
    static func writeAsMuch(_ rig: borrowing UnitRig<ScriptedBackend>) throws -> [UInt8]? {
        let data = [UInt8](repeating: 1, count: 2 << 20)
        var told: [UInt8]?
        for _ in 0..<130 {
            let done = try rig.run(InitiatorCDB.write16(0, 4096), dataOut: data)
            if done.status != 0 { told = done.codes }
        }
        return told
    }

    @Test("Less than a tenth left is told once by a unit attention, and again only after there was more")
    func threshold() async throws {
        let (rig, script) = try await Self.watched(1 << 20)
        let block = [UInt8](repeating: 1, count: 512)
        #expect(try rig.run(InitiatorCDB.write10(0, 1), dataOut: block).status == 0, "the write itself is GOOD")
        // Not told to these two, and still there after INQUIRY.
        #expect(try rig.run(InitiatorCDB.inquiry(), dataInLength: 255).status == 0)
        #expect(try rig.run(InitiatorCDB.testUnitReady).codes == Self.soft)
        #expect(try rig.run(InitiatorCDB.testUnitReady).status == 0, "told once")
        #expect(rig.events.count { if case .spaceLow(1_048_576, _) = $0 { true } else { false } } == 1)
        #expect(try Self.writeAsMuch(rig) == nil, "still short is no news")
        script.answerSurveys(.init(availableBytes: 8 << 20))
        #expect(try Self.writeAsMuch(rig) == nil)
        script.answerSurveys(.init(availableBytes: 1 << 20))
        #expect(try Self.writeAsMuch(rig) == Self.soft)
        #expect(rig.events.count { if case .spaceLow = $0 { true } else { false } } == 2)
        let surveys = script.operations.count { $0.kind == .survey }
        #expect(surveys == 4, "looked at \(surveys) times over 780 MiB")
        await rig.stop()
    }

    @Test("Every way of writing is one after which the space is looked at")
    func everyWrite() async throws {
        for (title, cdb, data, _) in ModeSelectTests.throughs where title != "WRITE SAME with UNMAP" {
            let (rig, script) = try await Self.watched(1 << 20)
            #expect(try rig.run(cdb, dataOut: data).status == 0, "\(title)")
            #expect(try rig.run(InitiatorCDB.testUnitReady).codes == Self.soft, "\(title)")
            #expect(script.operations.count { $0.kind == .survey } == 1)
            await rig.stop()
        }
        let (rig, _) = try await Self.watched(1 << 20)
        let (copy, list) = CopyTests.command([CopyRequestSegment(0, 100, 8)])
        #expect(try rig.run(copy, dataOut: list).status == 0)
        #expect(try rig.run(InitiatorCDB.testUnitReady).codes == Self.soft)
        await rig.stop()
    }

    @Test("REQUEST SENSE tells it with GOOD, and it is told by that")
    func requestSense() async throws {
        let (rig, _) = try await Self.watched(0)
        #expect(try rig.run(InitiatorCDB.write10(0, 1), dataOut: [UInt8](repeating: 1, count: 512)).status == 0)
        let sense = try rig.run(InitiatorCDB.requestSense, dataInLength: 252)
        #expect(sense.status == 0)
        #expect([sense.dataIn[2], sense.dataIn[12], sense.dataIn[13]] == Self.soft)
        #expect(try rig.run(InitiatorCDB.testUnitReady).status == 0)
        let empty = try rig.run(InitiatorCDB.requestSense, dataInLength: 252)
        #expect([empty.dataIn[2], empty.dataIn[12], empty.dataIn[13]] == [0, 0, 0])
        await rig.stop()
    }

    @Test("Enough left, an unknown answer and a failed look say nothing", arguments: [UInt64?.some(8 << 20), nil])
    func silence(_ available: UInt64?) async throws {
        let script = BackendScript(size: Self.size, capabilities: Backends.capable())
        let rig = try await UnitRig.start(ScriptedBackend(script))
        if available == nil { script.fail(.survey, with: EIO) }
        script.answerSurveys(.init(availableBytes: available))
        #expect(try rig.run(InitiatorCDB.write10(0, 1), dataOut: [UInt8](repeating: 1, count: 512)).status == 0)
        #expect(try rig.run(InitiatorCDB.testUnitReady).status == 0)
        #expect(script.operations.count { $0.kind == .survey } == 1)
        let untold = rig.events.count { if case .spaceUnknown = $0 { true } else { false } }
        #expect(untold == (available == nil ? 1 : 0))
        await rig.stop()
    }

    @Test("A look at the space that takes long holds up neither its write nor a stop")
    func slowLook() async throws {
        let (rig, script) = try await Self.watched(0)
        script.answer(.held)
        _ = try rig.send(InitiatorCDB.write10(0, 1), dataOut: [UInt8](repeating: 1, count: 512))
        #expect(script.waitForHeld(1))
        script.release()
        #expect(rig.kernel.reapCompletions(count: 1).first?.status == 0)
        #expect(script.waitForHeld(1))
        #expect(script.operations.last?.kind == .survey)
        script.release()
        #expect(await rig.drain())
        await rig.stop()
    }
}
