import BlockBackend
import LogicalUnit
import MemoryBackend
import Reactor
import SCSI
import TCMURing
import TCMUTestKit
import Testing

@Suite("A unit's life: late commands, lost rings, quiet ends")
struct UnitLifeTests {
    static let size: UInt64 = 1024 * 512

    @Test("A command that the backend sits on is reported, the unit says BUSY, and recovers")
    func lateCommand() async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script), commandTimeout: 50)
        script.answer(.held)
        let late = try #require(rig.kernel.post(cdb: InitiatorCDB.read10(3, 1), dataInLength: 512))
        rig.kernel.notify()
        let isReported = await rig.events.wait { if case .commandsLate = $0 { true } else { false } }
        #expect(isReported)
        #expect(
            rig.perform(cdb: InitiatorCDB.write10(5, 1), dataOut: [UInt8](repeating: 1, count: 512))?.status == 0x08
        )
        #expect(rig.perform(cdb: InitiatorCDB.testUnitReady)?.status == 0)
        script.release()
        let finished = rig.kernel.reapCompletions(count: 1)
        #expect(finished.map(\.id) == [late])
        #expect(finished.first?.status == 0)
        script.answer(.immediate)
        #expect(rig.perform(cdb: InitiatorCDB.read10(3, 1), dataInLength: 512)?.status == 0)
        #expect(rig.events.count { if case .lateCommandsAnswered = $0 { true } else { false } } == 1)
        #expect(rig.events.count { if case .commandsLate = $0 { true } else { false } } == 1)
        await rig.stop()
    }

    @Test("Commands are found to be late while others keep the unit busy")
    func lateOnABusyUnit() async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script), commandTimeout: 50)
        script.answer(.held)
        try #require(rig.kernel.post(cdb: InitiatorCDB.read10(3, 1), dataInLength: 512) != nil)
        rig.kernel.notify()
        #expect(script.waitForHeld(1))
        let isLate: @Sendable (UnitEvent) -> Bool = { if case .commandsLate = $0 { true } else { false } }
        // Bound: far more commands than half a second of turns could hold; the loop never sleeps meanwhile.
        var spent = 0
        while rig.events.count(where: isLate) == 0 && spent < 2_000_000 {
            for _ in 0..<64 { _ = rig.kernel.post(cdb: InitiatorCDB.testUnitReady) }
            rig.kernel.notify()
            spent += rig.kernel.reapCompletions(count: 64).count
        }
        #expect(rig.events.count(where: isLate) == 1)
        script.release()
        #expect(rig.kernel.reapCompletions(count: 1).count == 1)
        await rig.stop()
    }

    @Test("An impossible entry stops the unit with a report; with a new ring it serves on")
    func ringFailure() async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        let open = try #require(rig.kernel.post(cdb: InitiatorCDB.read10(3, 1), dataInLength: 512))
        rig.kernel.notify()
        #expect(script.waitForHeld(1))
        rig.kernel.forceEntry([0xF9, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0], advance: 120)
        rig.kernel.notify()
        let isReported = await rig.events.wait { if case .ringFailed(.entryLength) = $0 { true } else { false } }
        #expect(isReported)

        // What the daemon does then: backend drained, ring given up and reset, node opened again.
        #expect(rig.kernel.tail == 0, "nothing is completed into a ring that lies")
        script.release()
        let unit: any ControlledUnit = rig.unit
        while await rig.loop.run(unit, { unit.commandsInFlight }) ?? 0 > 0 {}
        try await rig.loop.watchRing(of: unit, false)
        await rig.loop.run(unit) { unit.dropRing() }
        #expect(rig.kernel.resetRing().contains(open))
        let descriptors = rig.kernel.ringDescriptors()
        let isAttached = await rig.loop.run(unit) {
            guard let ring = try? CommandRing(descriptors) else { return false }
            unit.install(ring)
            return true
        }
        #expect(isAttached == true)
        try await rig.loop.watchRing(of: unit, true)
        script.answer(.immediate)
        #expect(rig.perform(cdb: InitiatorCDB.read10(3, 1), dataInLength: 512)?.status == 0)
        #expect(rig.kernel.violations.isEmpty)
        await rig.stop()
    }

    @Test("A kernel side that has gone is reported once and stops nothing else")
    func ringGone() async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size))
        #expect(rig.perform(cdb: InitiatorCDB.testUnitReady)?.status == 0)
        rig.kernel.hangUp()
        try #require(rig.kernel.post(cdb: InitiatorCDB.testUnitReady) != nil)
        rig.kernel.notify()
        let isReported = await rig.events.wait { if case .ringGone = $0 { true } else { false } }
        #expect(isReported)
        await rig.stop()
        #expect(rig.events.count { if case .ringGone = $0 { true } else { false } } == 1)
    }

    @Test("Told to stop, a unit takes no more and answers what it has")
    func draining() async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        let first = try #require(rig.kernel.post(cdb: InitiatorCDB.read10(0, 1), dataInLength: 512))
        rig.kernel.notify()
        #expect(script.waitForHeld(1))
        let unit: any ControlledUnit = rig.unit
        await rig.loop.run(unit) { unit.stopTaking() }
        try #require(rig.kernel.post(cdb: InitiatorCDB.read10(1, 1), dataInLength: 512) != nil)
        rig.kernel.notify()
        #expect(await rig.loop.run(unit) { unit.commandsInFlight } == 1)
        script.release()
        #expect(rig.kernel.reapCompletions(count: 1).map(\.id) == [first])
        #expect(await rig.loop.run(unit) { unit.commandsInFlight } == 0)
        #expect(await rig.loop.run(unit) { unit.isQuiet } == false, "one command waits in the ring")
        #expect(script.operations.count == 1)
        await rig.stop()
        #expect(script.isClosed)
    }

    @Test("Task management notices are reported with their count, and the commands they name are answered")
    func taskManagement() async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        let id = try #require(rig.kernel.post(cdb: InitiatorCDB.read10(0, 1), dataInLength: 512))
        #expect(rig.kernel.postTaskManagement(type: 5, ids: [id]))
        rig.kernel.notify()
        let isReported = await rig.events.wait {
            if case .taskManagement("LOGICAL UNIT RESET", commands: 1) = $0 { true } else { false }
        }
        #expect(isReported)
        #expect(script.waitForHeld(1))
        script.release()
        #expect(rig.kernel.reapCompletions(count: 1).map(\.id) == [id])
        #expect(rig.kernel.tail == rig.kernel.head)
        await rig.stop()
    }

    @Test("More commands than slots: the rest waits in the ring and is served")
    func moreThanSlots() async throws {
        let script = BackendScript(size: Self.size)
        var geometry = RingGeometry(dataBlocks: 6000)
        geometry.ringBytes = 1 << 20
        let rig = try await UnitRig.start(ScriptedBackend(script), geometry: geometry)
        script.answer(.held)
        let wanted = Limits.commandsInFlight + 1000
        for _ in 0..<wanted {
            try #require(rig.kernel.post(cdb: InitiatorCDB.read10(0, 1), dataInLength: 512) != nil)
        }
        rig.kernel.notify()
        #expect(script.waitForHeld(Limits.commandsInFlight))
        #expect(script.operations.count == Limits.commandsInFlight)
        script.answer(.immediate)
        script.release()
        #expect(rig.kernel.reapCompletions(count: wanted).count == wanted)
        #expect(rig.kernel.violations.isEmpty)
        await rig.stop()
    }

    @Test("An INQUIRY waits for identity, not for ever")
    func withoutFacts() async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size), facts: nil)
        let done = try #require(rig.perform(cdb: InitiatorCDB.inquiry(), dataInLength: 255))
        #expect(done.status == 0x08, "nothing was read yet: come again")
        #expect(rig.events.count { if case .factsNeeded = $0 { true } else { false } } >= 1)
        await rig.stop()
    }

    @Test("An INQUIRY is refused when configfs cannot be read")
    func unreadableFacts() async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size), facts: nil)
        let unit: any ControlledUnit = rig.unit
        // On a machine so busy that the command's patience ends before the word that nothing can be read, it is sent
        // again.
        var answer: RingCompletion?
        for _ in 0..<10 where answer == nil || answer?.status == 0x08 {
            try #require(rig.kernel.post(cdb: InitiatorCDB.inquiry(), dataInLength: 255) != nil)
            rig.kernel.notify()
            repeat {
                await rig.loop.run(unit) { unit.deliver(nil) }
                answer = rig.kernel.reapCompletions().first
            } while answer == nil
        }
        #expect(answer?.senseTriple.map { [$0.key, $0.asc, $0.ascq] } == [4, 0x44, 0])
        await rig.stop()
    }

    @Test("A unit that no loop ever had lets go of its node before its backend is closed, which may take long")
    func neverAttached() throws {
        let script = BackendScript(size: Self.size)
        let kernel = try RingSimulator()
        let profile = UnitProfile(
            name: "test/unit", capacity: Capacity(blocks: Self.size / 512, blockSize: 512),
            maximumTransferBlocks: 8192, configString: "test/unit")
        let unit = EngineUnit(
            profile: profile, backend: ScriptedBackend(script), ring: try CommandRing(kernel.ringDescriptors())
        ) { _ in }
        #expect(kernel.openElsewhere == 1)
        let seen = OpenAtClose(kernel)
        script.whileClosing { seen.look() }
        unit.closeBackend()
        #expect(script.isClosed)
        #expect(seen.count == 0)
    }
}

/// How many had the node open when the backend was being closed.
private final class OpenAtClose: @unchecked Sendable {
    // SAFETY: used by the test's thread only, in which the backend is closed, too.
    private let kernel: RingSimulator
    private(set) var count: Int?

    init(_ kernel: RingSimulator) { self.kernel = kernel }
    func look() { count = kernel.openElsewhere }
}
