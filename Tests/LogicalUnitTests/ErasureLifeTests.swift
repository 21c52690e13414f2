import BlockBackend
import Glibc
import LogicalUnit
import Reactor
import TCMURing
import TCMUTestKit
import Testing

@Suite("SANITIZE while the unit is stopped, loses its ring, or is told to abort")
struct ErasureLifeTests {
    /// A unit with a SANITIZE of which one piece is held.
    static func started(
        immediate: Bool
    ) async throws -> (UnitRig<ScriptedBackend>, BackendScript, UInt16) {
        let script = ErasureTests.script()
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        let (cdb, list) = ErasureTests.overwrite([0x11], immediate: immediate)
        let id = try rig.send(cdb, dataOut: list)
        if immediate { #expect(rig.ends(1)[id]?.status == 0) }
        #expect(script.waitForHeld(1))
        return (rig, script, id)
    }

    @Test("A stop does not wait for its end, and it is told as failed", arguments: [false, true])
    func draining(_ immediate: Bool) async throws {
        let (rig, script, id) = try await Self.started(immediate: immediate)
        let unit: any ControlledUnit = rig.unit
        await rig.loop.run(unit) { unit.stopTaking() }
        script.release()
        #expect(await rig.waitUntilIdle())
        #expect(script.operations.count == 1, "no piece is written after the stop")
        if !immediate { #expect(rig.ends(1)[id]?.codes == Codes.sanitizeFailed) }
        #expect(rig.kernel.tail == rig.kernel.head)
        #expect(rig.kernel.violations.isEmpty)
        await rig.stop()
    }

    @Test("One that has touched nothing when the right to write is lost is BUSY, and the medium is well")
    func unbegun() async throws {
        let script = BackendScript(size: 1 << 20)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        let read = try rig.send(InitiatorCDB.read10(0, 1), dataInLength: 512)
        let (cdb, list) = ErasureTests.overwrite([0x11])
        let id = try rig.send(cdb, dataOut: list)
        // Behind it: what is answered shows that the erasure waits for the READ.
        #expect(try rig.run(InitiatorCDB.testUnitReady).codes == Codes.sanitizing)
        script.ownership.generation += 1
        script.answer(.immediate)
        script.release()
        let ends = rig.ends(2)
        #expect(ends[read]?.status == 0)
        #expect(ends[id]?.status == 0x08)
        #expect(try rig.run(InitiatorCDB.testUnitReady).status == 0)
        #expect(script.operations.allSatisfy { $0.kind == .read })
        await rig.stop()
    }

    @Test("On a backend that answers at once a stop ends it between two turns")
    func drainingAtOnce() async throws {
        let script = BackendScript(size: 64 << 20)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        let (cdb, list) = ErasureTests.overwrite([0x11], passes: 31, immediate: true)
        #expect(try rig.run(cdb, dataOut: list).status == 0)
        #expect(await rig.drain())
        #expect(script.operations.count < 31 * 64, "all passes were written in spite of the stop")
        await rig.stop()
    }

    @Test("With the ring gone it ends with the piece under way; the unit refuses its medium with a new ring")
    func ringLost() async throws {
        for immediate in [false, true] {
            let (rig, script, _) = try await Self.started(immediate: immediate)
            rig.kernel.forceEntry([0xF9, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0], advance: 120)
            rig.kernel.notify()
            #expect(await rig.events.wait { if case .ringFailed = $0 { true } else { false } })
            script.answer(.immediate)
            script.release()
            #expect(await rig.waitUntilIdle())
            #expect(script.operations.count == 1)
            try await Self.replaceRing(rig)
            #expect(try rig.run(InitiatorCDB.testUnitReady).codes == Codes.sanitizeFailed)
            let (cdb, list) = ErasureTests.overwrite([0x22])
            #expect(try rig.run(cdb, dataOut: list).status == 0)
            #expect(try rig.run(InitiatorCDB.testUnitReady).status == 0)
            try expectMemoryIsFree(rig, script)
            await rig.stop()
        }
    }

    /// What the daemon does when a ring has failed.
    static func replaceRing(_ rig: borrowing UnitRig<ScriptedBackend>) async throws {
        let unit: any ControlledUnit = rig.unit
        try await rig.loop.watchRing(of: unit, false)
        await rig.loop.run(unit) { unit.dropRing() }
        rig.kernel.resetRing()
        let descriptors = rig.kernel.ringDescriptors()
        await rig.loop.run(unit) {
            if let ring = try? CommandRing(descriptors) { unit.install(ring) }
        }
        try await rig.loop.watchRing(of: unit, true)
    }

    @Test("Yielded and waiting commands of a unit whose kernel side is gone end by themselves")
    func ringGone() async throws {
        let script = BackendScript(size: 64 << 20)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        // A backend that answers at once: VERIFY lays itself aside after each turn's worth, SANITIZE waits for it.
        _ = try #require(rig.kernel.post(cdb: InitiatorCDB.verify16(0, 131_072)))
        _ = try #require(
            rig.kernel.post(cdb: InitiatorCDB.sanitizeOverwrite(parameterListLength: 5), dataOut: [1, 0, 0, 1, 9]))
        _ = try #require(rig.kernel.post(cdb: InitiatorCDB.testUnitReady))
        rig.kernel.hangUp()
        rig.kernel.notify()
        #expect(await rig.events.wait { if case .ringGone = $0 { true } else { false } })
        #expect(await rig.waitUntilIdle())
        #expect(script.operations.count < 64)
        await rig.stop()
    }

    @Test("ABORT TASK gets TASK ABORTED for the command, and the erasure goes on")
    func aborted() async throws {
        let (rig, script, id) = try await Self.started(immediate: false)
        #expect(rig.kernel.postTaskManagement(type: 1, ids: [id]))
        rig.kernel.notify()
        #expect(rig.ends(1)[id]?.status == 0x40)
        #expect(try rig.run(InitiatorCDB.testUnitReady).codes == Codes.sanitizing)
        script.answer(.immediate)
        script.release()
        #expect(await rig.waitUntilIdle())
        #expect(Content.consists(script.content, of: [0x11]))
        #expect(try rig.run(InitiatorCDB.testUnitReady).status == 0)
        #expect(rig.kernel.violations.isEmpty, "one command, one answer")
        try expectMemoryIsFree(rig, script)
        await rig.stop()
    }

    @Test("A notice that names it again, after its answer, or names another command, changes nothing")
    func abortedAgain() async throws {
        let (rig, script, id) = try await Self.started(immediate: false)
        #expect(rig.kernel.postTaskManagement(type: 5, ids: [id, id, 4711]))
        rig.kernel.notify()
        #expect(rig.ends(1)[id]?.status == 0x40)
        // The number is free, and given to the next command.
        let next = try rig.send(InitiatorCDB.testUnitReady)
        #expect(next == id)
        #expect(rig.kernel.postTaskManagement(type: 1, ids: [id]))
        rig.kernel.notify()
        #expect(rig.ends(1)[next]?.codes == Codes.sanitizing)
        script.answer(.immediate)
        script.release()
        #expect(await rig.waitUntilIdle())
        #expect(rig.kernel.violations.isEmpty)
        await rig.stop()
    }

    @Test("Aborted while it waits for commands before it, it still begins when they have ended")
    func abortedWhileWaiting() async throws {
        let script = ErasureTests.script()
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        let read = try rig.send(InitiatorCDB.read10(0, 1), dataInLength: 512)
        #expect(script.waitForHeld(1))
        let (cdb, list) = ErasureTests.overwrite([0x11])
        let erase = try rig.send(cdb, dataOut: list)
        #expect(rig.kernel.postTaskManagement(type: 1, ids: [erase]))
        rig.kernel.notify()
        #expect(rig.ends(1)[erase]?.status == 0x40)
        script.answer(.immediate)
        script.release()
        #expect(rig.ends(1)[read]?.status == 0)
        #expect(await rig.waitUntilIdle())
        #expect(Content.consists(script.content, of: [0x11]))
        await rig.stop()
    }

    @Test("A late piece is reported; the erasure goes on when it comes back")
    func late() async throws {
        let script = ErasureTests.script()
        let rig = try await UnitRig.start(ScriptedBackend(script), commandTimeout: 50)
        script.answer(.held)
        let (cdb, list) = ErasureTests.overwrite([0x11])
        let id = try rig.send(cdb, dataOut: list)
        #expect(script.waitForHeld(1))
        #expect(await rig.events.wait { if case .commandsLate = $0 { true } else { false } })
        #expect(try rig.run(InitiatorCDB.testUnitReady).codes == Codes.sanitizing)
        script.answer(.immediate)
        script.release()
        #expect(rig.ends(1)[id]?.status == 0)
        #expect(rig.events.count { if case .lateCommandsAnswered = $0 { true } else { false } } == 1)
        #expect(try rig.run(InitiatorCDB.read10(0, 1), dataInLength: 512).status == 0)
        await rig.stop()
    }

    @Test("EXTENDED COPY that waits for configfs when SANITIZE begins is refused, not carried out on what is left")
    func copyBehindErasure() async throws {
        let script = ErasureTests.script()
        let rig = try await UnitRig.start(ScriptedBackend(script), facts: nil)
        let serial = "0123456789abcdef"
        let unit: any ControlledUnit = rig.unit
        let parameters = InitiatorCDB.copyParameters(
            units: [(InitiatorCDB.designator(serial: serial), 512)], [CopyRequestSegment(0, 16, 4)])
        let copying = InitiatorCDB.extendedCopy(parameterListLength: parameters.count)
        script.answer(.held)
        let (cdb, list) = ErasureTests.overwrite([0x11])
        // Both before the unit looks: the copy waits for facts, and SANITIZE begins.
        let copy = try #require(rig.kernel.post(cdb: copying, dataOut: parameters))
        let erase = try rig.send(cdb, dataOut: list)
        #expect(script.waitForHeld(1))
        await rig.loop.run(unit) { unit.deliver(BackstoreFacts(serial: serial)) }
        #expect(rig.ends(1)[copy]?.codes == Codes.sanitizing)
        script.answer(.immediate)
        script.release()
        #expect(rig.ends(1)[erase]?.status == 0)
        #expect(!script.operations.contains { $0.kind == .read })
        await rig.stop()
    }
}
