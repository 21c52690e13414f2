import LogicalUnit
import MemoryBackend
import Reactor
import TCMUTestKit
import Testing

@Suite("Looking at memory before a sleep")
struct WatchingTests {
    static let size: UInt64 = 1024 * 512

    @Test("lone commands are answered whatever the limit on watching", arguments: [0, 4_000, 32_000] as [Int64])
    func loneCommands(_ spin: Int64) async throws {
        let rig = try await UnitRig.start(try MemoryBackend.open(size: Self.size), spin: spin)
        for number in 0..<3000 {
            let block = UInt32(number % 1000)
            let data = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 512)
            #expect(rig.perform(cdb: InitiatorCDB.write10(block, 1), dataOut: data)?.status == 0)
            #expect(rig.perform(cdb: InitiatorCDB.read10(block, 1), dataInLength: 512)?.dataIn == data)
        }
        #expect(rig.kernel.violations.isEmpty)
        await rig.stop()
    }

    @Test("several units on one loop, one of which is never quiet, all have their turns")
    func neighbours() async throws {
        let busy = try await UnitRig.start(try MemoryBackend.open(size: Self.size), spin: 32_000)
        let quiet = try await UnitRig.start(
            try MemoryBackend.open(size: Self.size), name: "test/quiet", loop: busy.loop, spin: 0)
        for number in 0..<500 {
            for _ in 0..<4 { #expect(busy.perform(cdb: InitiatorCDB.testUnitReady)?.status == 0) }
            if number % 10 == 0 { #expect(quiet.perform(cdb: InitiatorCDB.testUnitReady)?.status == 0) }
        }
        await quiet.stop()
        await busy.stop()
    }

    @Test("a ring with commands for which there is no slot is no work: the loop sleeps until an answer comes")
    func starved() async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(
            ScriptedBackend(script), geometry: RingGeometry(pages: 512, dataBlocks: 8192), spin: 32_000)
        script.answer(.held)
        var posted = 0
        for _ in 0..<Limits.commandsInFlight + 10 {
            if rig.kernel.post(cdb: InitiatorCDB.read10(3, 1), dataInLength: 512) != nil { posted += 1 }
        }
        try #require(posted == Limits.commandsInFlight + 10)
        rig.kernel.notify()
        try #require(script.waitForHeld(Limits.commandsInFlight))
        let unit = rig.unit
        let hasWork = await rig.loop.run(unit) { unit.hasWork }
        #expect(hasWork == false)
        script.answer(.immediate)
        script.release()
        #expect(rig.kernel.reapCompletions(count: posted).count == posted)
        await rig.stop()
    }
}
