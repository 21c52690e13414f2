import BlockBackend
import Glibc
import Reactor
import TCMUTestKit
import Testing

@testable import LogicalUnit

@Suite("A FORMAT UNIT or SANITIZE that was cut off or has failed is told by the next daemon")
struct KeptErasureTests {
    private static let sanitize = KeptErasure(isSanitize: true, mayExit: false)
    private static let exitable = KeptErasure(isSanitize: true, mayExit: true)
    private static let format = KeptErasure(isSanitize: false, mayExit: false)

    private func words(_ rig: borrowing UnitRig<ScriptedBackend>) -> [KeptErasure?] {
        rig.events.all.compactMap { if case .erasureChanged(let erasure) = $0 { erasure } else { nil } }
    }

    private func start(_ kept: KeptErasure? = nil) async throws -> (UnitRig<ScriptedBackend>, BackendScript) {
        let script = ErasureTests.script()
        return (try await UnitRig.start(ScriptedBackend(script), keptErasure: kept), script)
    }

    @Test(
        "It begins when that is kept, and ends well when that is; IMMED is answered when it has begun",
        arguments: [false, true])
    func order(immediate: Bool) async throws {
        let (rig, script) = try await start()
        let unit: any ControlledUnit = rig.unit
        rig.events.keepErasures(nil)
        let (cdb, list) = ErasureTests.overwrite([0x11], immediate: immediate, mayExit: true)
        let id = try rig.send(cdb, dataOut: list)
        #expect(await rig.events.wait { if case .erasureChanged(Self.exitable) = $0 { true } else { false } })
        // What comes after it meets it.
        #expect(try rig.run(InitiatorCDB.testUnitReady).codes == Codes.sanitizing)
        #expect(script.operations.isEmpty && rig.kernel.inFlight == 1)
        await rig.loop.run(unit) { unit.erasureKept(true) }
        #expect(await rig.events.wait { if case .erasureChanged(nil) = $0 { true } else { false } })
        #expect(script.content.allSatisfy { $0 == 0x11 })
        if immediate { #expect(rig.ends(1)[id]?.status == 0) }
        #expect(try rig.run(InitiatorCDB.testUnitReady).codes == Codes.sanitizing)
        await rig.loop.run(unit) { unit.erasureKept(true) }
        if !immediate { #expect(rig.ends(1)[id]?.status == 0) }
        #expect(try rig.run(InitiatorCDB.testUnitReady).status == 0)
        #expect(words(rig) == [Self.exitable, nil])
        try expectMemoryIsFree(rig, script)
        await rig.stop()
    }

    @Test("One that cannot be kept is not begun")
    func notKept() async throws {
        let (rig, script) = try await start()
        rig.events.keepErasures(false)
        let (cdb, list) = ErasureTests.overwrite([0x11], immediate: true)
        #expect(try rig.run(cdb, dataOut: list).codes == [4, 0x44, 0])
        #expect(script.operations.isEmpty)
        #expect(try rig.run(InitiatorCDB.testUnitReady).status == 0)
        await rig.stop()
    }

    @Test(
        "A stop or a lost right before it is kept leaves the medium, and what is kept, as they were",
        arguments: [false, true])
    func ended(isStop: Bool) async throws {
        let (rig, script) = try await start(Self.format)
        let unit: any ControlledUnit = rig.unit
        rig.events.keepErasures(nil)
        let (cdb, list) = ErasureTests.overwrite([0x11], immediate: true)
        let id = try rig.send(cdb, dataOut: list)
        #expect(await rig.events.wait { if case .erasureChanged = $0 { true } else { false } })
        await rig.loop.run(unit) {
            if isStop { unit.stopTaking() } else { script.ownership.generation += 1 }
            unit.erasureKept(true)
        }
        #expect(rig.ends(1)[id]?.status == 0x08)
        #expect(await rig.waitUntilIdle())
        #expect(words(rig) == [Self.sanitize, Self.format])
        #expect(script.operations.isEmpty)
        await rig.stop()
    }

    @Test("One that is aborted before it is kept has its answer, and goes on like one under way")
    func aborted() async throws {
        let (rig, script) = try await start()
        let unit: any ControlledUnit = rig.unit
        rig.events.keepErasures(nil)
        let (cdb, list) = ErasureTests.overwrite([0x11], immediate: true)
        let id = try rig.send(cdb, dataOut: list)
        #expect(await rig.events.wait { if case .erasureChanged = $0 { true } else { false } })
        #expect(rig.kernel.postTaskManagement(type: 1, ids: [id]))
        rig.kernel.notify()
        #expect(rig.ends(1)[id]?.status == 0x40)
        rig.events.keepErasures(true)
        await rig.loop.run(unit) { unit.erasureKept(true) }
        #expect(await rig.waitUntilIdle())
        #expect(script.content.allSatisfy { $0 == 0x11 })
        #expect(words(rig) == [Self.sanitize, nil])
        await rig.stop()
    }

    @Test("What fails or is cut off stays kept", arguments: [false, true])
    func cutOff(isStop: Bool) async throws {
        let (rig, script) = try await start()
        let unit: any ControlledUnit = rig.unit
        script.answer(.held)
        let (cdb, list) = ErasureTests.overwrite([0x11])
        let id = try rig.send(cdb, dataOut: list)
        #expect(script.waitForHeld(1))
        #expect(rig.events.keptErasure == Self.sanitize)
        if isStop { await rig.loop.run(unit) { unit.stopTaking() } } else { script.fail(.write, with: EIO) }
        script.release()
        #expect(rig.ends(1)[id]?.codes == Codes.sanitizeFailed)
        #expect(await rig.waitUntilIdle())
        #expect(rig.events.keptErasure == Self.sanitize)
        await rig.stop()
    }

    struct Row: Sendable {
        let title: String
        let kept: KeptErasure
        let codes: [UInt8]
        /// EXIT FAILURE MODE ends it.
        var exits = false
    }

    private static let rows = [
        Row(title: "FORMAT UNIT", kept: format, codes: Codes.formatFailed),
        Row(title: "SANITIZE", kept: sanitize, codes: Codes.sanitizeFailed),
        Row(title: "SANITIZE with AUSE", kept: exitable, codes: Codes.sanitizeFailed, exits: true),
    ]

    @Test(
        "The next daemon refuses the medium until one succeeds, or EXIT FAILURE MODE may end it",
        arguments: rows.indices)
    func next(index: Int) async throws {
        let row = Self.rows[index]
        let (rig, script) = try await start(row.kept)
        #expect(try rig.run(InitiatorCDB.testUnitReady).codes == row.codes, "\(row.title)")
        #expect(try rig.run(InitiatorCDB.read10(0, 1), dataInLength: 512).codes == row.codes)
        #expect(try rig.run(InitiatorCDB.write10(0, 1), dataOut: ErasureTests.block([1])).codes == row.codes)
        #expect(try rig.run(InitiatorCDB.inquiry(), dataInLength: 255).status == 0)
        if row.kept.isSanitize {
            let exit = try rig.run(InitiatorCDB.sanitizeExitFailureMode)
            #expect(row.exits ? exit.status == 0 : exit.codes == Codes.invalidField)
        }
        #expect((try rig.run(InitiatorCDB.testUnitReady).status == 0) == row.exits)
        #expect(words(rig) == (row.exits ? [nil] : []))
        let (cdb, list) = ErasureTests.overwrite([0x11])
        #expect(try rig.run(cdb, dataOut: list).status == 0)
        #expect(try rig.run(InitiatorCDB.testUnitReady).status == 0)
        #expect(words(rig).suffix(2) == [Self.sanitize, nil])
        #expect(script.content.allSatisfy { $0 == 0x11 })
        await rig.stop()
    }

    @Test("EXIT FAILURE MODE that cannot be kept ends nothing")
    func exitNotKept() async throws {
        let (rig, _) = try await start(Self.exitable)
        rig.events.keepErasures(false)
        #expect(try rig.run(InitiatorCDB.sanitizeExitFailureMode).codes == [4, 0x44, 0])
        #expect(try rig.run(InitiatorCDB.testUnitReady).codes == Codes.sanitizeFailed)
        await rig.stop()
    }
}
