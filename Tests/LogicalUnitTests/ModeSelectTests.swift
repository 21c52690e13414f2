import BlockBackend
import LogicalUnit
import MemoryBackend
import Reactor
import SCSI
import TCMUTestKit
import Testing

@Suite("MODE SELECT: write protection, descriptor sense, the write cache")
struct ModeSelectTests {
    static let size: UInt64 = 1024 * 512
    static let block = [UInt8](repeating: 7, count: 512)
    static let serial = "0123456789abcdef"

    /// Changes bits of one page, as MODE SENSE shows it now.
    static func change<Backend: BlockBackend & ~Copyable>(
        _ rig: borrowing UnitRig<Backend>, page: UInt8, set: [Int: UInt8] = [:], clear: [Int: UInt8] = [:]
    ) throws -> RingCompletion {
        let modes = try rig.run(InitiatorCDB.modeSense6(page: page), dataInLength: 255).dataIn
        let list = InitiatorCDB.modeParameters(Array(modes.dropFirst(4)), set: set, clear: clear)
        return try rig.run(InitiatorCDB.modeSelect6(parameterListLength: UInt8(list.count)), dataOut: list)
    }

    /// Each command that alters the medium.
    static var writes: [(String, [UInt8], [UInt8])] {
        let unmap = InitiatorCDB.unmapParameters([(lba: 1, blocks: 1)])
        let overwrite = InitiatorCDB.overwriteParameters([0x55])
        let copy = InitiatorCDB.copyParameters(
            units: [(InitiatorCDB.designator(serial: serial), 512)], [CopyRequestSegment(0, 8, 4)])
        return [
            ("WRITE (6)", InitiatorCDB.write6(1, 1), block), ("WRITE (10)", InitiatorCDB.write10(1, 1), block),
            ("WRITE (12)", InitiatorCDB.write12(1, 1), block), ("WRITE (16)", InitiatorCDB.write16(1, 1), block),
            ("WRITE SAME (10)", InitiatorCDB.writeSame10(1, 1), block),
            ("WRITE SAME (16)", InitiatorCDB.writeSame16(1, 1), block),
            ("WRITE SAME with UNMAP", InitiatorCDB.writeSame16(1, 1, flags: 0x09), []),
            ("UNMAP", InitiatorCDB.unmap(parameterListLength: UInt16(unmap.count)), unmap),
            ("COMPARE AND WRITE", InitiatorCDB.compareAndWrite(1, 1), block + block),
            ("ORWRITE", InitiatorCDB.orWrite16(1, 1), block),
            ("WRITE ATOMIC", InitiatorCDB.writeAtomic16(0, 1), block),
            ("WRITE AND VERIFY (10)", InitiatorCDB.writeAndVerify10(1, 1), block),
            ("WRITE AND VERIFY (12)", InitiatorCDB.writeAndVerify12(1, 1), block),
            ("WRITE AND VERIFY (16)", InitiatorCDB.writeAndVerify16(1, 1), block),
            (
                "SANITIZE, OVERWRITE", InitiatorCDB.sanitizeOverwrite(parameterListLength: UInt16(overwrite.count)),
                overwrite
            ),
            ("SANITIZE, BLOCK ERASE", InitiatorCDB.sanitizeBlockErase(), []),
            ("FORMAT UNIT", InitiatorCDB.formatUnit(), []),
            ("FORMAT UNIT, fast", InitiatorCDB.formatUnit(fast: true), []),
            ("EXTENDED COPY onto itself", InitiatorCDB.extendedCopy(parameterListLength: copy.count), copy),
        ]
    }

    @Test("With SWP set nothing writes, everything else is served; cleared, all is as before")
    func softwareWriteProtect() async throws {
        let script = BackendScript(size: Self.size, capabilities: Backends.capable())
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answerSurveys(.init(availableBytes: Self.size))
        #expect(try Self.change(rig, page: 0x0A, set: [4: 0x08]).status == 0)
        #expect(try rig.run(InitiatorCDB.modeSense6(), dataInLength: 255).dataIn[2] & 0x80 != 0, "WP")
        for (title, cdb, data) in Self.writes {
            #expect(try rig.run(cdb, dataOut: data).codes == Codes.writeProtected, "\(title)")
        }
        #expect(
            !script.operations.contains {
                [.write, .discard, .writeZeroes, .writeSame, .compareAndWrite].contains($0.kind)
            })
        #expect(try rig.run(InitiatorCDB.read10(1, 1), dataInLength: 512).status == 0)
        #expect(try rig.run(InitiatorCDB.verify10(1, 1)).status == 0)
        #expect(try rig.run(InitiatorCDB.synchronizeCache10()).status == 0)
        #expect(try rig.run(InitiatorCDB.sanitizeExitFailureMode).status == 0)
        #expect(try Self.change(rig, page: 0x0A, clear: [4: 0x08]).status == 0)
        for (title, cdb, data) in Self.writes {
            #expect(try rig.run(cdb, dataOut: data).codes != Codes.writeProtected, "\(title)")
        }
        await rig.stop()
    }

    @Test("A unit that cannot be written stays so, whatever SWP says")
    func readOnly() async throws {
        var capabilities = Backends.capable()
        capabilities.readOnly = true
        let script = BackendScript(size: Self.size, capabilities: capabilities)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        _ = try Self.change(rig, page: 0x0A, set: [4: 0x08])
        _ = try Self.change(rig, page: 0x0A, clear: [4: 0x08])
        #expect(try rig.run(InitiatorCDB.write10(1, 1), dataOut: Self.block).codes == Codes.writeProtected)
        await rig.stop()
    }

    @Test("With D_SENSE sense comes in descriptor format")
    func descriptorSense() async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size))
        #expect(try rig.run(InitiatorCDB.read10(1024, 1), dataInLength: 512).sense[0] == 0x70)
        #expect(try Self.change(rig, page: 0x0A, set: [2: 0x04]).status == 0)
        let range = try rig.run(InitiatorCDB.read10(1024, 1), dataInLength: 512)
        #expect(Array(range.sense.prefix(8)) == [0x72, 5, 0x21, 0, 0, 0, 0, 0])
        let compare = try rig.run(InitiatorCDB.compareAndWrite(0, 1), dataOut: Self.block + Self.block)
        #expect(Array(compare.sense.prefix(4)) == [0x72, 0x0E, 0x1D, 0])
        #expect(compare.sense[7] == 12, "the information descriptor")
        #expect(Array(compare.sense[8..<20]) == [0, 0x0A, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        #expect(try Self.change(rig, page: 0x0A, clear: [2: 0x04]).status == 0)
        #expect(try rig.run(InitiatorCDB.read10(1024, 1), dataInLength: 512).sense[0] == 0x70)
        await rig.stop()
    }

    /// Each command that writes data, and what the backend is asked for it with WCE = 0 and without FUA of its own.
    static let throughs: [(String, [UInt8], [UInt8], [BackendScript.Kind])] = [
        ("WRITE", InitiatorCDB.write10(1, 1), block, [.write, .flush]),
        (
            "WRITE SAME of zeros", InitiatorCDB.writeSame16(1, 4), [UInt8](repeating: 0, count: 512),
            [.discard, .flush]
        ),
        (
            "WRITE SAME with UNMAP", InitiatorCDB.writeSame16(1, 4, flags: 0x08), [UInt8](repeating: 0, count: 512),
            [.discard, .flush]
        ),
        ("WRITE SAME of a pattern", InitiatorCDB.writeSame16(1, 4), block, [.writeSame, .flush]),
        (
            "COMPARE AND WRITE", InitiatorCDB.compareAndWrite(0, 1), [UInt8](repeating: 0, count: 512) + block,
            [.read, .write, .flush]
        ),
        ("ORWRITE", InitiatorCDB.orWrite16(1, 1), block, [.read, .write, .flush]),
        ("WRITE ATOMIC", InitiatorCDB.writeAtomic16(0, 1), block, [.write, .flush]),
        ("WRITE AND VERIFY", InitiatorCDB.writeAndVerify10(1, 1), block, [.write, .flush, .read]),
    ]

    @Test("With WCE = 0 every write is flushed before its answer, with WCE = 1 none")
    func writeThrough() async throws {
        for (title, cdb, data, kinds) in Self.throughs {
            let script = BackendScript(size: Self.size, capabilities: Backends.capable(volatileCache: true))
            script.answerSurveys(.init(availableBytes: Self.size))
            let rig = try await UnitRig.start(ScriptedBackend(script))
            #expect(try Self.change(rig, page: 0x08, clear: [2: 0x04]).status == 0)
            #expect(try rig.run(cdb, dataOut: data).status == 0, "\(title)")
            // A look at the space may come in between.
            #expect(script.operations.map(\.kind).filter { $0 != .survey } == [.flush] + kinds, "\(title)")
            #expect(try Self.change(rig, page: 0x08, set: [2: 0x04]).status == 0)
            let before = script.operations.count
            #expect(try rig.run(InitiatorCDB.write10(9, 1), dataOut: Self.block).status == 0)
            #expect(!script.operations.dropFirst(before).contains { $0.kind == .flush })
            await rig.stop()
        }
    }

    @Test("With WCE = 0, WRITE SAME in copies and EXTENDED COPY are flushed once, at their end")
    func writeThroughPieces() async throws {
        let script = BackendScript(size: 8 << 20, capabilities: Backends.cached())
        let rig = try await UnitRig.start(ScriptedBackend(script))
        #expect(try Self.change(rig, page: 0x08, clear: [2: 0x04]).status == 0)
        #expect(try rig.run(InitiatorCDB.writeSame16(0, 5000), dataOut: Self.block).status == 0)
        #expect(script.operations.map(\.kind) == [.flush, .write, .write, .write, .flush])
        let list = InitiatorCDB.copyParameters(
            units: [(InitiatorCDB.designator(serial: Self.serial), 512)], [CopyRequestSegment(0, 8000, 4000)])
        let copy = InitiatorCDB.extendedCopy(parameterListLength: list.count)
        #expect(try rig.run(copy, dataOut: list).status == 0)
        #expect(script.operations.dropFirst(5).map(\.kind) == [.read, .write, .read, .write, .flush])
        script.fail(.flush, with: 5)
        #expect(
            try rig.run(copy, dataOut: list).codes == [0x0A, 0x0C, 0], "data that is not durable is not copied")
        #expect(try rig.run(InitiatorCDB.writeSame16(0, 1), dataOut: Self.block).codes == Codes.writeError)
        await rig.stop()
    }

    @Test("With WCE = 0 a backend that has FUA is given it")
    func writeThroughFUA() async throws {
        var capabilities = Backends.cached()
        capabilities.forceUnitAccess = true
        let script = BackendScript(size: Self.size, capabilities: capabilities)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        #expect(try Self.change(rig, page: 0x08, clear: [2: 0x04]).status == 0)
        #expect(try rig.run(InitiatorCDB.write10(1, 1), dataOut: Self.block).status == 0)
        // What was answered before the change is made durable by it.
        #expect(script.operations.map(\.kind) == [.flush, .write])
        #expect(script.operations.map(\.isDurable) == [false, true])
        await rig.stop()
    }

    @Test("WCE of a unit without a cache cannot be changed")
    func noCache() async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size))
        #expect(try Self.change(rig, page: 0x08, set: [2: 0x04]).codes == [5, 0x26, 0])
        await rig.stop()
    }

    // MARK: - Kept over daemons

    private static let busy: UInt8 = 0x08

    /// What the unit has asked to be kept.
    private func asked(_ rig: UnitRig<ScriptedBackend>) -> [ModeParameters] {
        rig.events.all.compactMap {
            if case .modeParametersChanged(let parameters) = $0 { parameters } else { nil }
        }
    }

    @Test("Parameters count, and GOOD is told, when they are kept; one that changes nothing need not be")
    func keptFirst() async throws {
        let script = BackendScript(size: Self.size, capabilities: Backends.cached())
        let rig = try await UnitRig.start(ScriptedBackend(script))
        let unit: any ControlledUnit = rig.unit
        rig.events.keepModes(nil)
        let modes = try rig.run(InitiatorCDB.modeSense6(page: 0x08), dataInLength: 255).dataIn
        let same = InitiatorCDB.modeParameters(Array(modes.dropFirst(4)))
        let through = InitiatorCDB.modeParameters(Array(modes.dropFirst(4)), clear: [2: 0x04])
        let select = InitiatorCDB.modeSelect6(parameterListLength: UInt8(same.count))
        #expect(try rig.run(select, dataOut: same).status == 0)
        #expect(asked(rig).isEmpty)
        let id = try rig.send(select, dataOut: through)
        #expect(await rig.events.wait { if case .modeParametersChanged = $0 { true } else { false } })
        #expect(asked(rig).map(\.writeCacheEnabled) == [false])
        #expect(try rig.run(InitiatorCDB.modeSense6(page: 0x08), dataInLength: 255).dataIn == modes, "not yet")
        #expect(try rig.run(select, dataOut: through).status == Self.busy, "one at a time")
        await rig.loop.run(unit) { unit.modeParametersKept(true, isShared: false) }
        #expect(rig.ends(1)[id]?.status == 0)
        #expect(script.operations.map(\.kind) == [.flush])
        #expect(try rig.run(InitiatorCDB.modeSense6(page: 0x08), dataInLength: 255).dataIn[6] & 0x04 == 0)
        await rig.stop()
    }

    @Test("Parameters that cannot be kept are refused and change nothing")
    func notKept() async throws {
        let script = BackendScript(size: Self.size, capabilities: Backends.cached())
        let rig = try await UnitRig.start(ScriptedBackend(script))
        rig.events.keepModes(false)
        #expect(try Self.change(rig, page: 0x0A, set: [4: 0x08]).codes == Codes.tooShort)
        #expect(try Self.change(rig, page: 0x08, clear: [2: 0x04]).codes == Codes.tooShort)
        #expect(try rig.run(InitiatorCDB.write10(1, 1), dataOut: Self.block).status == 0)
        #expect(!script.operations.contains { $0.kind == .flush })
        await rig.stop()
    }

    @Test("A unit begins with what was kept of it, but for a cache that it does not have")
    func restored() async throws {
        let kept = ModeParameters(writeCacheEnabled: false, softwareWriteProtect: true, descriptorSense: true)
        let script = BackendScript(size: Self.size, capabilities: Backends.cached())
        let rig = try await UnitRig.start(ScriptedBackend(script), keptModes: kept)
        #expect(try rig.run(InitiatorCDB.modeSense6(page: 0x08), dataInLength: 255).dataIn[6] & 0x04 == 0)
        let refused = try rig.run(InitiatorCDB.write10(1, 1), dataOut: Self.block)
        #expect(Array(refused.sense.prefix(4)) == [0x72, 7, 0x27, 0])
        #expect(try Self.change(rig, page: 0x0A, clear: [4: 0x08]).status == 0)
        #expect(try rig.run(InitiatorCDB.write10(1, 1), dataOut: Self.block).status == 0)
        #expect(
            script.operations.map(\.kind) == [.flush, .write, .flush],
            "MODE SELECT flushes what an earlier daemon left")
        await rig.stop()
        let cacheless = BackendScript(size: Self.size)
        let other = try await UnitRig.start(
            ScriptedBackend(cacheless),
            keptModes: ModeParameters(
                writeCacheEnabled: true, softwareWriteProtect: false, descriptorSense: false))
        #expect(try other.run(InitiatorCDB.modeSense6(page: 0x08), dataInLength: 255).dataIn[6] & 0x04 == 0)
        await other.stop()
    }

    @Test(
        "Where several initiators use the unit, the next command is told; where one does, none",
        arguments: [true, false])
    func attention(_ isShared: Bool) async throws {
        let rig = try await UnitRig.start(
            ScriptedBackend(BackendScript(size: Self.size, capabilities: Backends.cached())))
        rig.events.keepModes(true, isShared: isShared)
        #expect(try Self.change(rig, page: 0x08, clear: [2: 0x04]).status == 0)
        #expect(try rig.run(InitiatorCDB.testUnitReady).codes == (isShared ? [6, 0x2A, 1] : nil))
        #expect(try rig.run(InitiatorCDB.testUnitReady).status == 0)
        await rig.stop()
    }

    @Test(
        "WCE = 0 is not GOOD before a flush, however often MODE SELECT is sent again and by which daemon it was kept"
    )
    func flushOwed() async throws {
        let kept = ModeParameters(writeCacheEnabled: false, softwareWriteProtect: false, descriptorSense: false)
        for keptModes in [nil, kept] {
            let script = BackendScript(size: Self.size, capabilities: Backends.cached())
            let rig = try await UnitRig.start(ScriptedBackend(script), keptModes: keptModes)
            script.fail(.flush, with: 16)
            for _ in 0..<3 { #expect(try Self.change(rig, page: 0x08, clear: [2: 0x04]).status == Self.busy) }
            script.fail(.flush, with: 5)
            #expect(try Self.change(rig, page: 0x0A, set: [2: 0x04]).status == 2, "another page's, too")
            script.fail(.flush, with: nil)
            let before = script.operations.count
            #expect(try Self.change(rig, page: 0x08, clear: [2: 0x04]).status == 0)
            #expect(script.operations.dropFirst(before).map(\.kind) == [.flush])
            #expect(try Self.change(rig, page: 0x08, clear: [2: 0x04]).status == 0)
            #expect(script.operations.count == before + 1, "nothing is owed any more")
            #expect(asked(rig).count == (keptModes == nil ? 2 : 1), "kept once each")
            await rig.stop()
        }
    }

    @Test("MODE SELECT that switches the cache on again waits for no flush")
    func nothingOwed() async throws {
        let script = BackendScript(size: Self.size, capabilities: Backends.cached())
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.fail(.flush, with: 16)
        #expect(try Self.change(rig, page: 0x08, clear: [2: 0x04]).status == Self.busy)
        #expect(try Self.change(rig, page: 0x08, set: [2: 0x04]).status == 0)
        #expect(try Self.change(rig, page: 0x08, clear: [2: 0x04]).status == Self.busy)
        await rig.stop()
    }
}
