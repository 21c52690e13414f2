import Glibc
import LogicalUnit
import MemoryBackend
import Reactor
import TCMURing
import TCMUTestKit
import Testing

/// The kernel frees an entry's room when it is rung for, and never otherwise: so does the simulator.
@Suite("Whatever a unit has done with, the kernel is told of")
struct RingProgressTests {
    static let size: UInt64 = 1024 * 512
    static let block = [UInt8](repeating: 0x11, count: 512)

    /// Posts `count` notices of LOGICAL UNIT RESETs, waiting for room where there is none. Returns how many got in.
    private static func reset(_ kernel: RingSimulator, times count: Int) -> Int {
        for done in 0..<count {
            while !kernel.postTaskManagement(type: 5, ids: []) {
                kernel.notify()
                guard kernel.waitForDoorbell(milliseconds: 5000) else { return done }
                _ = kernel.reapCompletions()
            }
            if done.isMultiple(of: 7) { kernel.notify() }
        }
        kernel.notify()
        return count
    }

    @Test("40,000 logical unit resets of an idle unit do not fill its ring: a READ works at once")
    func notices() async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size))
        #expect(Self.reset(rig.kernel, times: 40_000) == 40_000, "the ring is full, and nobody rings")
        let read = try #require(rig.perform(cdb: InitiatorCDB.read10(3, 1), dataInLength: 512))
        #expect(read.status == 0)
        #expect(rig.kernel.lastCleaned == rig.kernel.head, "every entry's room is free again")
        await rig.stop()
    }

    @Test("Entries of unknown operations alone are told of, too")
    func unknown() async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size))
        for _ in 0..<2000 {
            let id = try #require(rig.kernel.post(cdb: InitiatorCDB.testUnitReady, operation: 5))
            rig.kernel.notify()
            #expect(rig.kernel.reapCompletions(count: 1).map(\.id) == [id])
        }
        await rig.stop()
    }

    @Test("A notice that waits behind a command is told of with it, also when the unit was told to stop meanwhile")
    func stopping() async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        _ = try rig.send(InitiatorCDB.read10(0, 1), dataInLength: 512)
        #expect(script.waitForHeld(1))
        #expect(rig.kernel.postTaskManagement(type: 5, ids: []))
        rig.kernel.notify()
        #expect(await rig.events.wait { if case .taskManagement = $0 { true } else { false } })
        let unit: any ControlledUnit = rig.unit
        await rig.loop.run(unit) { unit.stopTaking() }
        script.release()
        #expect(rig.kernel.reapCompletions(count: 1).count == 1)
        #expect(rig.kernel.lastCleaned == rig.kernel.head)
        await rig.stop()
    }

    @Test(
        "What is left in the ring because too many entries are open is taken when they end, without another event")
    func tooManyOpen() async throws {
        // What waits behind a COMPARE AND WRITE ends in a turn that has looked at the ring already, and frees all.
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(
            ScriptedBackend(script), geometry: RingGeometry(pages: 512, dataBlocks: 64))
        script.answer(.held)
        _ = try rig.send(InitiatorCDB.compareAndWrite(0, 1), dataOut: Self.block + Self.block)
        #expect(script.waitForHeld(1))
        script.answer(.immediate)
        _ = try rig.send(InitiatorCDB.write10(0, 1), dataOut: Self.block)
        let isNotice: (UnitEvent) -> Bool = { if case .taskManagement = $0 { true } else { false } }
        for _ in 0..<Limits.openEntries { try #require(rig.kernel.postTaskManagement(type: 5, ids: [])) }
        let last = try rig.send(InitiatorCDB.read10(9, 1), dataInLength: 512)
        while rig.events.count(where: isNotice) < Limits.openEntries - 2 { usleep(5000) }
        script.release()
        let ends = Set(rig.kernel.reapCompletions(count: 3, patience: 5000).map(\.id))
        #expect(ends.count == 3)
        #expect(ends.contains(last), "a command in the ring waits for an event that does not come")
        #expect(rig.events.count(where: isNotice) == Limits.openEntries)
        await rig.stop()
    }

    @Test(
        "A ring that is reset with the tail at 0 is given up: a late answer does not become that of a new command",
        arguments: [false, true])
    func resetAtTailZero(_ writes: Bool) async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        let old =
            writes
            ? try rig.send(InitiatorCDB.write10(0, 1), dataOut: Self.block)
            : try rig.send(InitiatorCDB.read10(0, 1), dataInLength: 512)
        #expect(script.waitForHeld(1))
        #expect(rig.kernel.resetRing() == [old])
        let new =
            writes
            ? try rig.send(InitiatorCDB.write10(100, 1), dataOut: Self.block)
            : try rig.send(InitiatorCDB.read10(100, 1), dataInLength: 512)
        #expect(new == old, "the kernel gives the number, the place and the buffer again")
        let isGivenUp = await rig.events.wait { if case .ringFailed(.resetAtStart) = $0 { true } else { false } }
        #expect(isGivenUp)
        script.answer(.immediate)
        script.release()
        #expect(await rig.waitUntilIdle())
        #expect(
            rig.kernel.reapCompletions(withoutDoorbell: true).isEmpty, "the new command got the old one's answer")
        #expect(rig.kernel.violations.isEmpty)
        await rig.stop()
    }
}
