import BlockBackend
import LogicalUnit
import Reactor
import TCMUTestKit
import Testing

@Suite("Commands that wait for the right to write")
struct AwaitedRightTests {
    typealias Served = StorageConditionTests.Served

    /// A unit whose backend may not write yet.
    private func start() async throws -> (UnitRig<ScriptedBackend>, BackendScript) {
        let (rig, script) = try await StorageConditionTests.start()
        script.ownership.mayWrite = false
        script.ownership.isAwaited = true
        return (rig, script)
    }

    /// The backend has it, and the unit gets its turn.
    private func give(_ rig: borrowing UnitRig<ScriptedBackend>, _ script: BackendScript) async {
        let unit: any ControlledUnit = rig.unit
        await rig.loop.run(unit) { script.ownership.mayWrite = true }
    }

    private static let block = StorageConditionTests.block

    private func block(_ byte: UInt8) -> [UInt8] { [UInt8](repeating: byte, count: 512) }

    @Test(
        "It is carried out when the right is there, and nothing of it before",
        arguments: StorageConditionTests.writers)
    func waits(_ command: Served) async throws {
        let (rig, script) = try await start()
        let before = script.content
        let id = try rig.send(command.cdb, dataOut: command.dataOut)
        try rig.passBy()
        #expect(try rig.run(InitiatorCDB.read10(0, 1), dataInLength: 512).status == 0, "reads pass by")
        #expect(rig.kernel.inFlight == 1)
        #expect(script.content == before)
        await give(rig, script)
        #expect(rig.ends(1)[id]?.status == 0)
        // The same as a command that need not wait.
        let (other, model) = try await StorageConditionTests.start()
        #expect(try other.run(command.cdb, dataOut: command.dataOut).status == 0)
        #expect(await other.waitUntilIdle())
        #expect(await rig.waitUntilIdle())
        #expect(script.content == model.content)
        #expect(rig.events.count { if case .backendError = $0 { true } else { false } } == 0, "this is no failure")
        try expectMemoryIsFree(rig, script)
        await other.stop()
        await rig.stop()
    }

    @Test("It gets BUSY after half a second, and so does what comes until the backend knows more")
    func patience() async throws {
        let (rig, script) = try await start()
        let id = try rig.send(InitiatorCDB.write10(0, 1), dataOut: Self.block)
        #expect(rig.ends(1)[id]?.status == 0x08)
        #expect(try rig.run(InitiatorCDB.write10(0, 1), dataOut: Self.block).status == 0x08)
        #expect(script.content.prefix(512).allSatisfy { $0 == 0 })
        // What ended must not come to life.
        await give(rig, script)
        try rig.passBy()
        #expect(script.content.prefix(512).allSatisfy { $0 == 0 })
        #expect(try rig.run(InitiatorCDB.write10(0, 1), dataOut: Self.block).status == 0)
        await rig.stop()
    }

    @Test("It gets BUSY at once where there will be no right")
    func refused() async throws {
        let (rig, script) = try await start()
        let ids = try (0..<3).map { try rig.send(InitiatorCDB.write10(UInt32($0), 1), dataOut: Self.block) }
        try rig.passBy()
        #expect(rig.kernel.inFlight == 3)
        let unit: any ControlledUnit = rig.unit
        await rig.loop.run(unit) { script.ownership.isAwaited = false }
        let ends = rig.ends(3)
        #expect(ids.allSatisfy { ends[$0]?.status == 0x08 })
        await rig.stop()
    }

    @Test("An aborted one ends unbegun", arguments: [UInt8(1), 5])
    func aborted(function: UInt8) async throws {
        let (rig, script) = try await start()
        let hit = try rig.send(InitiatorCDB.write10(0, 1), dataOut: block(1))
        let other = try rig.send(InitiatorCDB.write10(1, 1), dataOut: block(2))
        try rig.passBy()
        #expect(rig.kernel.postTaskManagement(type: function, ids: [hit]))
        rig.kernel.notify()
        #expect(rig.ends(1)[hit]?.status == 0x40)
        await give(rig, script)
        #expect(rig.ends(1)[other]?.status == 0)
        #expect(script.content.prefix(512).allSatisfy { $0 == 0 })
        #expect(script.content[512] == 2)
        await rig.stop()
    }

    @Test("A unit that stops taking commands does not wait with them")
    func stopped() async throws {
        let (rig, script) = try await start()
        let id = try rig.send(InitiatorCDB.write10(0, 1), dataOut: Self.block)
        try rig.passBy()
        let unit: any ControlledUnit = rig.unit
        await rig.loop.run(unit) { unit.stopTaking() }
        #expect(rig.ends(1)[id]?.status == 0x08)
        #expect(await rig.waitUntilIdle())
        #expect(script.content.prefix(512).allSatisfy { $0 == 0 })
        await rig.stop()
    }

    @Test("With the ring gone nothing is left")
    func ringLost() async throws {
        let (rig, script) = try await start()
        _ = try rig.send(InitiatorCDB.write10(0, 1), dataOut: Self.block)
        try rig.passBy()
        rig.kernel.hangUp()
        #expect(await rig.waitUntilIdle())
        await give(rig, script)
        #expect(script.content.prefix(512).allSatisfy { $0 == 0 })
        await rig.stop()
    }

    @Test("They are begun in their order, and before what came later", arguments: [false, true])
    func order(isCombining: Bool) async throws {
        let (rig, script) = try await start()
        for byte in UInt8(1)...3 { _ = try rig.send(InitiatorCDB.write10(0, 1), dataOut: block(byte)) }
        if isCombining {
            _ = try rig.send(InitiatorCDB.compareAndWrite(0, 1), dataOut: block(3) + block(4))
        }
        try rig.passBy()
        // In the ring, and not announced: the unit finds it in the turn in which it finds the right.
        _ = rig.kernel.post(cdb: InitiatorCDB.write10(0, 1), dataOut: block(9), dataInLength: 0)
        await give(rig, script)
        let ends = rig.ends(isCombining ? 5 : 4)
        #expect(ends.values.allSatisfy { $0.status == 0 }, "\(ends)")
        #expect(script.content[0] == 9)
        await rig.stop()
    }

    @Test("A right that is lost between two steps of a command is not waited for")
    func between() async throws {
        let (rig, script) = try await start()
        script.ownership.mayWrite = true
        script.answer(.held)
        let id = try rig.send(InitiatorCDB.orWrite16(0, 1), dataOut: block(7))
        #expect(script.waitForHeld(1))
        script.ownership.mayWrite = false
        script.answer(.immediate)
        script.release()
        #expect(rig.ends(1)[id]?.status == 0x08)
        #expect(script.content.prefix(512).allSatisfy { $0 == 0 })
        await rig.stop()
    }
}
