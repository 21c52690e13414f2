import BlockBackend
import Glibc
import Reactor
import SCSI
import TCMUTestKit
import Testing

@testable import LogicalUnit

@Suite("Storage that is away, standing by or gone, and the right to write")
struct StorageConditionTests {
    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let told: [(at: Int64, what: BackendAvailability)]
        let now: Int64
        var hasOtherPaths = false
        let expected: CommandOutcome?
    }

    static let away = BackendAvailability.recovering(errno: ESHUTDOWN)
    static let late = BackendAvailability.recovering(errno: ETIMEDOUT)
    static let notReady = CommandOutcome.check(.notReadyCauseNotReportable)

    static let rows: [Row] = [
        Row(testDescription: "nothing is the matter", told: [], now: 0, expected: nil),
        Row(testDescription: "just gone away", told: [(100, away)], now: 100, expected: .status(.busy)),
        Row(
            testDescription: "alone: BUSY for two minutes", told: [(100, away)], now: 120_099,
            expected: .status(.busy)),
        Row(testDescription: "alone: then NOT READY", told: [(100, away)], now: 120_100, expected: notReady),
        Row(
            testDescription: "with other paths: BUSY for two seconds", told: [(100, away)], now: 2099,
            hasOtherPaths: true, expected: .status(.busy)),
        Row(
            testDescription: "with other paths: then NOT READY", told: [(100, away)], now: 2100,
            hasOtherPaths: true, expected: notReady),
        Row(
            testDescription: "timed out, with other paths: NOT READY at once", told: [(100, late)], now: 100,
            hasOtherPaths: true, expected: notReady),
        Row(testDescription: "timed out, alone: BUSY", told: [(100, late)], now: 100, expected: .status(.busy)),
        Row(
            testDescription: "a second word does not begin the time anew", told: [(100, away), (119_000, late)],
            now: 120_100, expected: notReady),
        Row(testDescription: "back", told: [(100, away), (200, .ready)], now: 200, expected: nil),
        Row(
            testDescription: "away, back and away again is a new time",
            told: [(100, away), (200, .ready), (119_000, away)], now: 120_100, expected: .status(.busy)),
        Row(
            testDescription: "a copy: standby", told: [(100, .standby)], now: 100,
            expected: .check(.targetPortInStandbyState)),
        Row(
            testDescription: "deleted", told: [(100, .gone(errno: ENOENT))], now: 100,
            expected: .check(.notReadyManualInterventionRequired)),
    ]

    @Test("What a command that needs it is answered", arguments: rows)
    func outcomes(_ row: Row) {
        var condition = StorageCondition.usable
        for (at, what) in row.told { condition = condition.after(what, now: at) }
        #expect(condition.outcome(now: row.now, hasOtherPaths: row.hasOtherPaths) == row.expected)
    }

    static func start() async throws -> (UnitRig<ScriptedBackend>, BackendScript) {
        var capabilities = Backends.capable()
        capabilities.nativeCompareAndWriteBytes = 512
        let script = BackendScript(size: 1 << 20, capabilities: capabilities)
        return (try await UnitRig.start(ScriptedBackend(script)), script)
    }

    struct Served: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let cdb: [UInt8]
        var dataOut: [UInt8] = []
        let isServed: Bool
    }

    static let commands: [Served] = [
        Served(testDescription: "INQUIRY", cdb: [0x12, 0, 0, 0, 96, 0], isServed: true),
        Served(testDescription: "READ CAPACITY(10)", cdb: [0x25] + [UInt8](repeating: 0, count: 9), isServed: true),
        Served(testDescription: "MODE SENSE(6)", cdb: [0x1A, 0, 0x3F, 0, 255, 0], isServed: true),
        Served(testDescription: "REQUEST SENSE", cdb: [0x03, 0, 0, 0, 18, 0], isServed: true),
        Served(testDescription: "TEST UNIT READY", cdb: [0, 0, 0, 0, 0, 0], isServed: false),
        Served(testDescription: "READ", cdb: InitiatorCDB.read10(0, 1), isServed: false),
        Served(
            testDescription: "WRITE", cdb: InitiatorCDB.write10(0, 1), dataOut: [UInt8](repeating: 1, count: 512),
            isServed: false),
    ]

    @Test("While it is away, what is about the unit itself is served", arguments: commands)
    func served(_ command: Served) async throws {
        let (rig, script) = try await Self.start()
        let unit: any ControlledUnit = rig.unit
        await rig.loop.run(unit) { unit.storage(is: .standby) }
        let refused = try rig.run(
            command.cdb, dataOut: command.dataOut, dataInLength: command.dataOut.isEmpty ? 512 : 0)
        #expect(refused.codes == (command.isServed ? nil : [2, 4, 0x0B]))
        #expect(script.operations.isEmpty)
        await rig.loop.run(unit) { unit.storage(is: .ready) }
        let done = try rig.run(
            command.cdb, dataOut: command.dataOut, dataInLength: command.dataOut.isEmpty ? 512 : 0)
        #expect(done.status == 0)
        await rig.stop()
    }

    // MARK: - The right to write

    static let writers: [Served] = [
        Served(testDescription: "WRITE", cdb: InitiatorCDB.write10(0, 1), dataOut: block, isServed: true),
        Served(
            testDescription: "WRITE SAME(16)", cdb: InitiatorCDB.writeSame16(0, 8), dataOut: block, isServed: true),
        Served(
            testDescription: "COMPARE AND WRITE of two blocks", cdb: InitiatorCDB.compareAndWrite(0, 2),
            dataOut: [UInt8](repeating: 0, count: 4 * 512), isServed: true),
        Served(testDescription: "ORWRITE(16)", cdb: InitiatorCDB.orWrite16(0, 1), dataOut: block, isServed: true),
        Served(
            testDescription: "SANITIZE, BLOCK ERASE", cdb: [0x48, 0x02, 0, 0, 0, 0, 0, 0, 0, 0], isServed: true),
    ]
    static let block = [UInt8](repeating: 1, count: 512)

    @Test("Without the right to write a command gets BUSY, asks for it, and changes nothing", arguments: writers)
    func claims(_ command: Served) async throws {
        let (rig, script) = try await Self.start()
        script.ownership.mayWrite = false
        let before = script.content
        #expect(try rig.run(command.cdb, dataOut: command.dataOut).status == 0x08)
        #expect(script.ownership.claims >= 1)
        #expect(script.content == before)
        #expect(try rig.run(InitiatorCDB.read10(0, 1), dataInLength: 512).status == 0, "reads need no such right")
        script.ownership.mayWrite = true
        #expect(try rig.run(command.cdb, dataOut: command.dataOut).status == 0)
        #expect(rig.events.count { if case .backendError = $0 { true } else { false } } == 0, "this is no failure")
        await rig.stop()
    }

    static let combining: [Served] = [
        Served(
            testDescription: "COMPARE AND WRITE of two blocks", cdb: InitiatorCDB.compareAndWrite(0, 2),
            dataOut: [UInt8](repeating: 0, count: 2 * 512) + [UInt8](repeating: 7, count: 2 * 512), isServed: true),
        Served(testDescription: "ORWRITE(16)", cdb: InitiatorCDB.orWrite16(0, 1), dataOut: block, isServed: true),
    ]

    @Test("What was read under a right lost since is not written upon", arguments: combining)
    func generation(_ command: Served) async throws {
        let (rig, script) = try await Self.start()
        script.answer(.held)
        let id = try rig.send(command.cdb, dataOut: command.dataOut)
        #expect(script.waitForHeld(1))
        // Lost, and had back, while the read is under way: another gateway may have written.
        script.ownership.generation += 1
        script.release()
        #expect(rig.ends(1)[id]?.status == 0x08)
        #expect(script.content[..<2048].allSatisfy { $0 == 0 })
        script.answer(.immediate)
        #expect(try rig.run(command.cdb, dataOut: command.dataOut).status == 0)
        await rig.stop()
    }

    @Test("Failures reach the backend, but not the asking for the right to write")
    func failures() async throws {
        let (rig, script) = try await Self.start()
        script.fail(.read, with: ETIMEDOUT)
        #expect(try rig.run(InitiatorCDB.read10(0, 1), dataInLength: 512).status == 0x08)
        script.ownership.mayWrite = false
        #expect(try rig.run(InitiatorCDB.write10(0, 1), dataOut: Self.block).status == 0x08)
        #expect(script.reportedFailures == [-ETIMEDOUT])
        await rig.stop()
    }

    // MARK: - Resize

    @Test("A resize is told by one unit attention, and the new blocks are there")
    func resize() async throws {
        let (rig, script) = try await Self.start()
        let unit: any ControlledUnit = rig.unit
        let capacity: [UInt8] = [0x25] + [UInt8](repeating: 0, count: 9)
        #expect(try rig.run(InitiatorCDB.read10(2048, 1), dataInLength: 512).codes == Codes.outOfRange)
        script.grow(to: 2 << 20)
        await rig.loop.run(unit) {
            unit.resize(bytes: 2 << 20)
            unit.resize(bytes: 2 << 20)
        }
        #expect(try rig.run([0x12, 0, 0, 0, 96, 0], dataInLength: 96).status == 0, "INQUIRY leaves it pending")
        #expect(try rig.run(capacity, dataInLength: 8).codes == [6, 0x2A, 0x09])
        #expect(try rig.run(capacity, dataInLength: 8).dataIn.prefix(4) == [0, 0, 0x0F, 0xFF])
        #expect(try rig.run(InitiatorCDB.read10(4095, 1), dataInLength: 512).status == 0)
        await rig.stop()
    }
}
