import BlockBackend
import Glibc
import LogicalUnit
import MemoryBackend
import TCMUTestKit
import Testing

@Suite("SANITIZE and FORMAT UNIT")
struct ErasureTests {
    /// 4 MiB: four pieces of memory.
    static let size: UInt64 = 4 << 20

    static func overwrite(
        _ pattern: [UInt8], passes: UInt8 = 1, inverts: Bool = false, immediate: Bool = false, mayExit: Bool = false
    ) -> (cdb: [UInt8], list: [UInt8]) {
        let list = InitiatorCDB.overwriteParameters(pattern, passes: passes, inverts: inverts)
        let cdb = InitiatorCDB.sanitizeOverwrite(
            parameterListLength: UInt16(list.count), immediate: immediate, mayExit: mayExit)
        return (cdb, list)
    }

    /// A medium that is nowhere empty.
    static func script(_ capabilities: BackendCapabilities = .init()) -> BackendScript {
        let script = BackendScript(size: size, capabilities: capabilities)
        script.content = [UInt8](repeating: 0xC7, count: Int(size))
        return script
    }

    static func block(_ pattern: [UInt8]) -> [UInt8] { (0..<512).map { pattern[$0 % pattern.count] } }

    // MARK: - What is on the medium afterwards

    @Test(
        "OVERWRITE leaves the pattern in every block",
        arguments: [[0x5A], [1, 2, 3], (0..<512).map { UInt8($0 & 0xFF) }])
    func pattern(_ pattern: [UInt8]) async throws {
        let script = Self.script()
        let rig = try await UnitRig.start(ScriptedBackend(script))
        let (cdb, list) = Self.overwrite(pattern)
        #expect(try rig.run(cdb, dataOut: list).status == 0)
        let block = Self.block(pattern)
        let content = script.content
        #expect(
            Content.consists(content, of: block))
        #expect(script.operations.map(\.kind) == [.write, .write, .write, .write, .flush])
        try expectMemoryIsFree(rig, script)
        await rig.stop()
    }

    @Test("Each pass with INVERT writes the complement of the one before", arguments: [1, 2, 3] as [UInt8])
    func passes(_ count: UInt8) async throws {
        let script = Self.script()
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        let (cdb, list) = Self.overwrite([0x0F, 0x33], passes: count, inverts: true)
        let id = try rig.send(cdb, dataOut: list)
        for pass in 0..<Int(count) {
            for _ in 0..<4 {
                #expect(script.waitForHeld(1))
                script.release()
            }
            let block = Self.block(pass % 2 == 0 ? [0x0F, 0x33] : [0xF0, 0xCC])
            let content = script.content
            #expect(
                Content.consists(content, of: block),
                "pass \(pass)")
            // On the medium before the next pass overwrites it.
            #expect(script.waitForHeld(1))
            #expect(script.operations.last?.kind == .flush)
            script.release()
        }
        #expect(rig.ends(1)[id]?.status == 0)
        await rig.stop()
    }

    @Test("BLOCK ERASE deallocates the whole medium, no more at a time than the backend takes")
    func blockErase() async throws {
        let script = Self.script(Backends.capable())
        let rig = try await UnitRig.start(ScriptedBackend(script))
        #expect(try rig.run(InitiatorCDB.sanitizeBlockErase()).status == 0)
        #expect(Content.consists(script.content, of: [0]))
        #expect(script.operations.map(\.kind) == [.discard, .discard, .discard, .discard, .flush])
        await rig.stop()
    }

    @Test("BLOCK ERASE is refused where deallocated blocks may keep their data, CRYPTOGRAPHIC ERASE always")
    func noBlockErase() async throws {
        var capabilities = Backends.capable()
        capabilities.discard?.readsZeros = false
        for capabilities in [capabilities, BackendCapabilities()] {
            let script = Self.script(capabilities)
            let rig = try await UnitRig.start(ScriptedBackend(script))
            #expect(try rig.run(InitiatorCDB.sanitizeBlockErase()).codes == Codes.invalidField)
            #expect(try rig.run([0x48, 0x03, 0, 0, 0, 0, 0, 0, 0, 0]).codes == Codes.invalidField)
            #expect(script.operations.isEmpty)
            await rig.stop()
        }
    }

    @Test(
        "FORMAT UNIT leaves zeros: deallocated blocks where the backend has them, else written ones",
        arguments: [false, true])
    func formatZeros(_ isNative: Bool) async throws {
        let script = Self.script(isNative ? Backends.capable() : .init())
        let rig = try await UnitRig.start(ScriptedBackend(script))
        #expect(try rig.run(InitiatorCDB.formatUnit()).status == 0)
        #expect(Content.consists(script.content, of: [0]))
        #expect(Set(script.operations.map(\.kind)) == (isNative ? [.discard, .flush] : [.write, .flush]))
        #expect(script.operations.last?.kind == .flush)
        await rig.stop()
    }

    @Test("FORMAT UNIT with an initialization pattern leaves that")
    func formatPattern() async throws {
        let script = Self.script(Backends.capable())
        let rig = try await UnitRig.start(ScriptedBackend(script))
        let list = InitiatorCDB.formatParameters(pattern: [0xAB, 0xCD, 0xEF])
        #expect(try rig.run(InitiatorCDB.formatUnit(hasList: true), dataOut: list).status == 0)
        let block = Self.block([0xAB, 0xCD, 0xEF])
        let content = script.content
        #expect(
            Content.consists(content, of: block))
        await rig.stop()
    }

    @Test("A fast FORMAT UNIT writes nothing")
    func formatFast() async throws {
        let script = Self.script()
        let rig = try await UnitRig.start(ScriptedBackend(script))
        #expect(try rig.run(InitiatorCDB.formatUnit(fast: true)).status == 0)
        #expect(script.operations.map(\.kind) == [.flush])
        #expect(Content.consists(script.content, of: [0xC7]))
        await rig.stop()
    }

    @Test("Lists that are wrong or cut erase nothing")
    func wrongLists() async throws {
        let script = Self.script(Backends.capable())
        let rig = try await UnitRig.start(ScriptedBackend(script))
        let (cdb, list) = Self.overwrite([1, 2, 3])
        #expect(try rig.run(cdb, dataOut: Array(list.dropLast())).codes == [5, 0x1A, 0])
        #expect(try rig.run(cdb).codes == [5, 0x1A, 0])
        #expect(try rig.run(cdb, dataOut: [0] + list.dropFirst()).codes == [5, 0x26, 0])
        #expect(try rig.run(InitiatorCDB.formatUnit(hasList: true)).codes == [5, 0x1A, 0])
        #expect(
            try rig.run(InitiatorCDB.formatUnit(hasList: true), dataOut: [0, 0x48, 0, 0]).codes == [5, 0x26, 0])
        #expect(script.operations.isEmpty)
        #expect(try rig.run(InitiatorCDB.read10(0, 1), dataInLength: 512).status == 0)
        await rig.stop()
    }

    // MARK: - Meanwhile

    struct Kind: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let cdb: [UInt8]
        let list: [UInt8]
        let inProgress: [UInt8]
        let failed: [UInt8]
    }

    static func kinds(immediate: Bool) -> [Kind] {
        let (cdb, list) = overwrite([0x11], immediate: immediate)
        return [
            Kind(
                testDescription: "SANITIZE", cdb: cdb, list: list, inProgress: Codes.sanitizing,
                failed: Codes.sanitizeFailed),
            Kind(
                testDescription: "FORMAT UNIT", cdb: InitiatorCDB.formatUnit(hasList: true),
                list: InitiatorCDB.formatParameters(pattern: [0x11], immediate: immediate),
                inProgress: Codes.formatting, failed: Codes.formatFailed),
        ]
    }

    @Test(
        "With IMMED the answer comes at once, the medium is refused meanwhile and progress grows",
        arguments: kinds(immediate: true))
    func immediate(_ kind: Kind) async throws {
        let script = Self.script()
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        #expect(try rig.run(kind.cdb, dataOut: kind.list).status == 0)
        var seen: [Int] = []
        for _ in 0..<4 {
            #expect(script.waitForHeld(1))
            for (cdb, length) in [
                (InitiatorCDB.testUnitReady, 0), (InitiatorCDB.read10(0, 1), 512), (InitiatorCDB.modeSense6(), 255),
                (InitiatorCDB.synchronizeCache10(), 0), (InitiatorCDB.readCapacity16, 32), (kind.cdb, 0),
            ] {
                #expect(try rig.run(cdb, dataInLength: length).codes == kind.inProgress)
            }
            seen.append(try #require(rig.run(InitiatorCDB.testUnitReady).progress))
            let sense = try rig.run(InitiatorCDB.requestSense, dataInLength: 252)
            #expect(sense.status == 0)
            #expect([sense.dataIn[2], sense.dataIn[12], sense.dataIn[13]] == kind.inProgress)
            #expect(Int(sense.dataIn[16]) << 8 | Int(sense.dataIn[17]) == seen.last)
            #expect(try rig.run(InitiatorCDB.inquiry(), dataInLength: 255).status == 0)
            #expect(try rig.run(InitiatorCDB.reportSupportedOperationCodes, dataInLength: 8192).status == 0)
            script.release()
        }
        #expect(seen == seen.sorted() && Set(seen).count == 4, "progress: \(seen)")
        #expect(script.waitForHeld(1), "the flush")
        #expect(try rig.run(InitiatorCDB.testUnitReady).codes == kind.inProgress)
        script.answer(.immediate)
        script.release()
        #expect(await rig.waitUntilIdle())
        #expect(try rig.run(InitiatorCDB.testUnitReady).status == 0)
        #expect(try rig.run(InitiatorCDB.read10(0, 1), dataInLength: 512).dataIn.allSatisfy { $0 == 0x11 })
        try expectMemoryIsFree(rig, script)
        await rig.stop()
    }

    @Test("Commands in flight end first, those after it are refused", arguments: kinds(immediate: false))
    func order(_ kind: Kind) async throws {
        let script = Self.script()
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        let read = try rig.send(InitiatorCDB.read10(5, 1), dataInLength: 512)
        let write = try rig.send(InitiatorCDB.write10(9, 1), dataOut: [UInt8](repeating: 0x77, count: 512))
        // One piece, and several.
        let verify = try rig.send(InitiatorCDB.verify16(0, 2048))
        let long = try rig.send(InitiatorCDB.verify16(0, 8192))
        #expect(script.waitForHeld(4))
        let erase = try rig.send(kind.cdb, dataOut: kind.list)
        #expect(try rig.run(InitiatorCDB.read10(5, 1), dataInLength: 512).codes == kind.inProgress)
        #expect(script.heldCount == 4, "the erasure did not wait")
        script.answer(.immediate)
        script.release()
        let finished = rig.ends(5)
        #expect(finished[read]?.dataIn.allSatisfy { $0 == 0xC7 } == true)
        #expect(finished[write]?.status == 0)
        #expect(finished[verify]?.status == 0)
        #expect(finished[long]?.codes == kind.inProgress, "nobody waits for the pieces it has not begun")
        #expect(finished[erase]?.status == 0)
        #expect(Content.consists(script.content, of: [0x11]))
        try expectMemoryIsFree(rig, script)
        await rig.stop()
    }

    @Test("A buffer that SANITIZE with IMMED has no data for comes back without what was in it")
    func nothingLeaks() async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size))
        let done = try rig.run(InitiatorCDB.sanitizeBlockErase(immediate: true), dataInLength: 4096)
        #expect(done.status == 0)
        #expect(!done.dataIn.contains(0xA5))
        #expect(await rig.waitUntilIdle())
        await rig.stop()
    }

    // MARK: - Failure

    @Test(
        "An error in the middle fails it, and the medium stays refused until it succeeds",
        arguments: kinds(immediate: false))
    func failure(_ kind: Kind) async throws {
        let script = Self.script()
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        let id = try rig.send(kind.cdb, dataOut: kind.list)
        #expect(script.waitForHeld(1))
        script.release()
        #expect(script.waitForHeld(1))
        script.answer(.immediate)
        script.fail(.write, with: EIO)
        script.release()
        #expect(rig.ends(1)[id]?.codes == kind.failed)
        script.fail(.write, with: nil)
        #expect(rig.events.count { if case .erasureFailed(_, EIO) = $0 { true } else { false } } == 1)
        #expect(try rig.run(InitiatorCDB.testUnitReady).codes == kind.failed)
        #expect(try rig.run(InitiatorCDB.read10(0, 1), dataInLength: 512).codes == kind.failed)
        let sense = try rig.run(InitiatorCDB.requestSense, dataInLength: 252)
        #expect([sense.dataIn[2], sense.dataIn[12], sense.dataIn[13]] == kind.failed)
        #expect(try rig.run(InitiatorCDB.inquiry(), dataInLength: 255).status == 0)
        // Without AUSE there is no way out but through.
        let exit = try rig.run(InitiatorCDB.sanitizeExitFailureMode)
        #expect(exit.codes == (kind.failed == Codes.sanitizeFailed ? Codes.invalidField : nil))
        #expect(try rig.run(InitiatorCDB.testUnitReady).codes == kind.failed)
        #expect(try rig.run(kind.cdb, dataOut: kind.list).status == 0)
        #expect(try rig.run(InitiatorCDB.testUnitReady).status == 0)
        #expect(try rig.run(InitiatorCDB.read10(0, 1), dataInLength: 512).dataIn.allSatisfy { $0 == 0x11 })
        try expectMemoryIsFree(rig, script)
        await rig.stop()
    }

    @Test("EXIT FAILURE MODE ends the failure of a SANITIZE with AUSE, and is GOOD where there is none")
    func exitFailureMode() async throws {
        let script = Self.script()
        let rig = try await UnitRig.start(ScriptedBackend(script))
        #expect(try rig.run(InitiatorCDB.sanitizeExitFailureMode).status == 0)
        script.fail(.write, with: EIO)
        let (cdb, list) = Self.overwrite([0x11], mayExit: true)
        #expect(try rig.run(cdb, dataOut: list).codes == Codes.sanitizeFailed)
        #expect(try rig.run(InitiatorCDB.formatUnit()).codes == Codes.sanitizeFailed, "no way out")
        #expect(try rig.run(InitiatorCDB.sanitizeExitFailureMode).status == 0)
        #expect(try rig.run(InitiatorCDB.testUnitReady).status == 0)
        #expect(try rig.run(InitiatorCDB.read10(0, 1), dataInLength: 512).status == 0)
        await rig.stop()
    }

    @Test("A flush that fails fails the erasure")
    func flushFails() async throws {
        let script = Self.script()
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.fail(.flush, with: EIO)
        let (cdb, list) = Self.overwrite([0x11])
        #expect(try rig.run(cdb, dataOut: list).codes == Codes.sanitizeFailed)
        await rig.stop()
    }

    @Test("An error behind an answer given with IMMED is what REQUEST SENSE tells")
    func immediateFailure() async throws {
        let script = Self.script()
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.fail(.write, with: EIO)
        let (cdb, list) = Self.overwrite([0x11], immediate: true)
        #expect(try rig.run(cdb, dataOut: list).status == 0)
        #expect(await rig.waitUntilIdle())
        let sense = try rig.run(InitiatorCDB.requestSense, dataInLength: 252)
        #expect([sense.dataIn[2], sense.dataIn[12], sense.dataIn[13]] == Codes.sanitizeFailed)
        #expect(rig.kernel.violations.isEmpty, "one command, one answer")
        await rig.stop()
    }
}
