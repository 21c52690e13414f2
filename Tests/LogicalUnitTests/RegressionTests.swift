import BlockBackend
import Glibc
import LogicalUnit
import MemoryBackend
import Reactor
import TCMUTestKit
import Testing

@Suite("What once went wrong in the engine")
struct RegressionTests {
    static let size: UInt64 = 16384 * 512
    static let block = [UInt8](repeating: 0, count: 512)

    struct DataLess: CustomTestStringConvertible {
        let testDescription: String
        let cdb: [UInt8]

        init(_ title: String, _ cdb: [UInt8]) {
            testDescription = title
            self.cdb = cdb
        }
    }

    static let dataLess = [
        DataLess("TEST UNIT READY", InitiatorCDB.testUnitReady),
        DataLess("SYNCHRONIZE CACHE", InitiatorCDB.synchronizeCache10()),
        DataLess("READ of no blocks", InitiatorCDB.read10(1, 0)),
        DataLess("WRITE of no blocks", InitiatorCDB.write10(1, 0)),
        DataLess("UNMAP of nothing", InitiatorCDB.unmap(parameterListLength: 0)),
        DataLess("WRITE SAME with NDOB", InitiatorCDB.writeSame16(1, 4, flags: 0x01)),
        DataLess("MODE SELECT of nothing", [0x15, 0x10, 0, 0, 0, 0]),
    ]

    @Test("A buffer that a command has no data for comes back without what was in it", arguments: dataLess)
    func nothingLeaks(command: DataLess) async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size))
        let done = try #require(rig.perform(cdb: command.cdb, dataInLength: 4096))
        #expect(done.status == 0)
        #expect(!done.dataIn.contains(0xA5), "the data area's former content is handed out")
        await rig.stop()
    }

    @Test("Time spent waiting for another command does not count against the time limit")
    func waitingIsNotLate() async throws {
        let script = BackendScript(size: Self.size)
        let limit: Int64 = 2000
        let rig = try await UnitRig.start(ScriptedBackend(script), commandTimeout: limit)
        script.answer(.held)
        let first = try #require(
            rig.kernel.post(cdb: InitiatorCDB.compareAndWrite(4, 1), dataOut: Self.block + Self.block))
        let second = try #require(rig.kernel.post(cdb: InitiatorCDB.write10(4, 1), dataOut: Self.block))
        rig.kernel.notify()
        // COMPARE AND WRITE's read, then its write, then the WRITE that waited: each within its own limit, all three
        // together beyond it.
        for step in 1...3 {
            #expect(script.waitForHeld(1), "step \(step)")
            // Not Task.sleep: among many tests at once a task may be resumed seconds late, and that would be late indeed.
            usleep(UInt32(limit * 1000 * 6 / 10))
            script.release()
        }
        let finished = Set(rig.kernel.reapCompletions(count: 2).map(\.id))
        #expect(finished == [first, second])
        #expect(rig.events.count { if case .commandsLate = $0 { true } else { false } } == 0)
        await rig.stop()
    }

    @Test("Commands behind a full slot table are taken when it empties within a turn, without another event")
    func starvedTurn() async throws {
        // A backend that answers at once and has no COMPARE AND WRITE: what waits behind one ends in the same turn.
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(
            ScriptedBackend(script), geometry: RingGeometry(pages: 1024, dataBlocks: 8192))
        script.answer(.held)
        try #require(
            rig.kernel.post(cdb: InitiatorCDB.compareAndWrite(0, 1), dataOut: Self.block + Self.block) != nil)
        rig.kernel.notify()
        #expect(script.waitForHeld(1))
        script.answer(.immediate)
        let more = Limits.commandsInFlight + 99
        for _ in 0..<more {
            try #require(rig.kernel.post(cdb: InitiatorCDB.write10(0, 1), dataOut: Self.block) != nil)
        }
        rig.kernel.notify()
        let unit: any ControlledUnit = rig.unit
        while await rig.loop.run(unit, { unit.commandsInFlight }) ?? 0 < Limits.commandsInFlight {}
        script.release()
        #expect(rig.kernel.reapCompletions(count: more + 1, patience: 5000).count == more + 1)
        await rig.stop()
    }
}
