import BlockBackend
import Glibc
import LogicalUnit
import MemoryBackend
import Reactor
import TCMUTestKit
import Testing

@Suite("EXTENDED COPY within a unit")
struct CopyTests {
    static let serial = "0123456789abcdef"
    static let own = (InitiatorCDB.designator(serial: serial), 512 as UInt32)
    /// 8 MiB.
    static let size: UInt64 = 8 << 20
    static let busy: UInt8 = 0x08

    static func content(_ bytes: Int = Int(size)) -> [UInt8] {
        Content.numbered(bytes)
    }

    /// A unit whose medium is nowhere the same.
    static func start(
        _ capabilities: BackendCapabilities = .init(), commandTimeout: Int64? = nil
    ) async throws -> (UnitRig<ScriptedBackend>, BackendScript) {
        let script = BackendScript(size: size, capabilities: capabilities)
        script.content = content()
        return (try await UnitRig.start(ScriptedBackend(script), commandTimeout: commandTimeout), script)
    }

    /// The command and its list, LID1 or LID4.
    static func command(
        _ segments: [CopyRequestSegment], units: [([UInt8], UInt32)] = [own], identifier: UInt8 = 7,
        lid4: Bool = false, immediate: Bool = false
    ) -> (cdb: [UInt8], list: [UInt8]) {
        let list =
            lid4
            ? InitiatorCDB.copyParameters4(
                units: units, segments, identifier: UInt32(identifier), immediate: immediate)
            : InitiatorCDB.copyParameters(units: units, segments, identifier: identifier)
        return (InitiatorCDB.extendedCopy(parameterListLength: list.count, lid4: lid4), list)
    }

    @Test("Segments are copied in their order, whatever their lengths", arguments: [false, true])
    func segments(_ lid4: Bool) async throws {
        let (rig, script) = try await Self.start()
        var expected = Self.content()
        let segments: [(Int, Int, Int)] = [(0, 9000, 4000), (16, 100, 0), (5, 13000, 1), (9000, 14000, 2049)]
        for (from, to, count) in segments {
            let bytes = expected[from * 512..<(from + count) * 512]
            expected.replaceSubrange(to * 512..<(to + count) * 512, with: Array(bytes))
        }
        let (cdb, list) = Self.command(
            segments.map { CopyRequestSegment(UInt64($0.0), UInt64($0.1), UInt16($0.2)) }, lid4: lid4)
        #expect(try rig.run(cdb, dataOut: list).status == 0)
        #expect(Content.isSame(script.content[...], expected[...]))
        #expect(script.operations.allSatisfy { $0.extent.length <= 1 << 20 })
        try expectMemoryIsFree(rig, script)
        await rig.stop()
    }

    @Test("A list without segments, and no list, copy nothing")
    func nothing() async throws {
        let (rig, script) = try await Self.start()
        #expect(try rig.run(InitiatorCDB.extendedCopy(parameterListLength: 0)).status == 0)
        let (cdb, list) = Self.command([])
        #expect(try rig.run(cdb, dataOut: list).status == 0)
        #expect(script.operations.isEmpty)
        await rig.stop()
    }

    @Test("What is refused, is refused before anything is copied")
    func refusals() async throws {
        let (rig, script) = try await Self.start()
        let good = CopyRequestSegment(0, 100, 10)
        let rows: [(String, [CopyRequestSegment], [([UInt8], UInt32)], [UInt8])] = [
            ("past the end of the source", [good, .init(16380, 0, 10)], [Self.own], Codes.notReachable),
            ("past the end of the destination", [good, .init(0, 16380, 10)], [Self.own], Codes.notReachable),
            ("an LBA that wraps around", [good, .init(.max, 0, 10)], [Self.own], Codes.notReachable),
            (
                "a unit that is not in the list", [good, .init(0, 8, 1, destination: 1)], [Self.own],
                Codes.notReachable
            ),
            (
                "another unit, without a group", [good, .init(0, 8, 1, destination: 1)],
                [Self.own, (InitiatorCDB.designator(serial: "ff"), 512)], Codes.notReachable
            ),
            ("blocks of another length", [good], [(Self.own.0, 4096)], [0x0A, 0x0D, 0x03]),
        ]
        for (title, segments, units, codes) in rows {
            let (cdb, list) = Self.command(segments, units: units)
            #expect(try rig.run(cdb, dataOut: list).codes == codes, "\(title)")
        }
        let (cdb, list) = Self.command([good])
        #expect(try rig.run(cdb, dataOut: Array(list.dropLast())).codes == [5, 0x1A, 0])
        #expect(script.operations.isEmpty)
        // DISK BLOCK LENGTH zero is "not given".
        let (open, openList) = Self.command([good], units: [(Self.own.0, 0)])
        #expect(try rig.run(open, dataOut: openList).status == 0)
        await rig.stop()
    }

    @Test("COMPARE AND WRITE waits for the piece that a copy is at, and a copy's piece for COMPARE AND WRITE")
    func overlap() async throws {
        let (rig, script) = try await Self.start()
        script.answer(.held)
        let (cdb, list) = Self.command([CopyRequestSegment(0, 5000, 4000)])
        let copy = try rig.send(cdb, dataOut: list)
        #expect(script.waitForHeld(1))
        script.release()
        #expect(script.waitForHeld(1))
        #expect(script.operations.map(\.kind) == [.read, .write])
        let old = Self.content()[0..<512]
        let new = [UInt8](repeating: 0xBB, count: 512)
        let compare = try rig.send(InitiatorCDB.compareAndWrite(5000, 1), dataOut: old + new)
        try rig.passBy()
        #expect(script.heldCount == 1, "COMPARE AND WRITE reads what the copy is about to write")
        script.release()
        // Both read now: the copy its next piece, which is elsewhere.
        #expect(script.waitForHeld(2))
        // A second copy reads what it will put there, and then waits.
        let (again, againList) = Self.command([CopyRequestSegment(12000, 5000, 1)], identifier: 8)
        let second = try rig.send(again, dataOut: againList)
        #expect(script.waitForHeld(3))
        script.releaseNewest()
        try rig.passBy()
        #expect(script.heldCount == 2, "the copy got between the two halves of COMPARE AND WRITE")
        script.answer(.immediate)
        script.release()
        let finished = rig.ends(3)
        #expect([copy, compare, second].allSatisfy { finished[$0]?.status == 0 })
        #expect(script.content[5000 * 512..<5001 * 512].elementsEqual(Self.content()[12000 * 512..<12001 * 512]))
        await rig.stop()
    }

    // MARK: - RECEIVE COPY RESULTS

    @Test("With IMMED the answer comes at once and the status tells the rest")
    func immediate() async throws {
        let (rig, script) = try await Self.start()
        script.answer(.held)
        let (cdb, list) = Self.command([CopyRequestSegment(0, 8000, 3000)], lid4: true, immediate: true)
        #expect(try rig.run(cdb, dataOut: list).status == 0)
        #expect(script.waitForHeld(1))
        let status = InitiatorCDB.receiveCopyStatus4(7)
        #expect(try rig.run(status, dataInLength: 1024).dataIn[5] == 0x12, "in progress, in the background")
        #expect(try rig.run(status, dataInLength: 1024).dataIn[5] == 0x12, "asking does not end it")
        #expect(try rig.run(cdb, dataOut: list).codes == [5, 0x26, 0], "its identifier is taken")
        script.answer(.immediate)
        script.release()
        #expect(await rig.waitUntilIdle())
        let done = try rig.run(status, dataInLength: 1024).dataIn
        #expect(done[5] == 0x01)
        #expect(Array(done[16..<24]) == InitiatorCDB.bigEndian(UInt64(3000 * 512)))
        #expect(Array(done[24..<26]) == [0, 1])
        #expect(try rig.run(status, dataInLength: 1024).codes == Codes.invalidField, "told, and forgotten")
        #expect(Content.isSame(script.content[8000 * 512..<11000 * 512], Self.content()[..<(3000 * 512)]))
        #expect(rig.kernel.violations.isEmpty, "one command, one answer")
        try expectMemoryIsFree(rig, script)
        await rig.stop()
    }

    @Test("A copy that fails tells which half, in its answer, its status and its failure details")
    func failure() async throws {
        for (kind, cause) in [(BackendScript.Kind.read, 0x11 as UInt8), (.write, 0x0C)] {
            let (rig, script) = try await Self.start()
            script.fail(kind, with: EIO)
            let (cdb, list) = Self.command([CopyRequestSegment(0, 8000, 3000)])
            #expect(try rig.run(cdb, dataOut: list).codes == [0x0A, cause, 0])
            let status = try rig.run(InitiatorCDB.receiveCopyStatus(7), dataInLength: 1024).dataIn
            #expect(status[4] == 0x02)
            let details = try rig.run(InitiatorCDB.receiveCopyFailureDetails(7), dataInLength: 1024).dataIn
            #expect(details.count == 78)
            #expect([details[62], details[72], details[73]] == [0x0A, cause, 0])
            #expect(
                try rig.run(InitiatorCDB.receiveCopyFailureDetails(7), dataInLength: 1024).codes
                    == Codes.invalidField)
            script.fail(kind, with: nil)
            #expect(try rig.run(cdb, dataOut: list).status == 0, "the identifier can be used again")
            try expectMemoryIsFree(rig, script)
            await rig.stop()
        }
    }

    @Test("The operating parameters are those that lists are checked against")
    func operatingParameters() async throws {
        let (rig, _) = try await Self.start()
        let data = try rig.run(InitiatorCDB.receiveCopyOperatingParameters, dataInLength: 1024).dataIn
        let segments = Int(data[10]) << 8 | Int(data[11])
        let most = (0..<segments).map { CopyRequestSegment(UInt64($0), UInt64(9000 + $0), 1) }
        let (cdb, list) = Self.command(most)
        #expect(try rig.run(cdb, dataOut: list).status == 0)
        let (over, overList) = Self.command(most + [CopyRequestSegment(0, 1, 1)])
        #expect(try rig.run(over, dataOut: overList).codes == [5, 0x26, 0x08])
        let longest = data[16..<20].reduce(0) { $0 << 8 | Int($1) }
        #expect(longest >= 1 << 20)
        await rig.stop()
    }

    @Test("More copies at once than have memory get TASK SET FULL, and leave nothing behind")
    func memory() async throws {
        let (rig, script) = try await Self.start()
        script.answer(.held)
        for number in 0..<17 {
            let (cdb, list) = Self.command(
                [CopyRequestSegment(0, UInt64(1000 + number), 1)], identifier: UInt8(number))
            _ = try rig.send(cdb, dataOut: list)
        }
        #expect(script.waitForHeld(16))
        #expect(rig.kernel.reapCompletions(count: 1).first?.status == 0x28)
        script.answer(.immediate)
        script.release()
        #expect(rig.kernel.reapCompletions(count: 16).count { $0.status == 0 } == 16)
        try expectMemoryIsFree(rig, script)
        await rig.stop()
    }

    @Test("A stop ends a copy with BUSY after the piece under way", arguments: [false, true])
    func draining(_ immediate: Bool) async throws {
        let (rig, script) = try await Self.start()
        script.answer(.held)
        let (cdb, list) = Self.command([CopyRequestSegment(0, 8000, 3000)], lid4: true, immediate: immediate)
        let id = try rig.send(cdb, dataOut: list)
        #expect(script.waitForHeld(1))
        if immediate { #expect(rig.ends(1)[id]?.status == 0) }
        let unit: any ControlledUnit = rig.unit
        await rig.loop.run(unit) { unit.stopTaking() }
        script.release()
        #expect(await rig.waitUntilIdle())
        if !immediate { #expect(rig.ends(1)[id]?.status == Self.busy) }
        #expect(script.operations.count == 1)
        #expect(rig.kernel.violations.isEmpty)
        await rig.stop()
    }

    @Test("Where facts cannot be read the copy ends, as INQUIRY does")
    func noFacts() async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script), facts: nil)
        let (cdb, list) = Self.command([CopyRequestSegment(0, 8000, 1)])
        #expect(try rig.run(cdb, dataOut: list).status == Self.busy)
        #expect(script.operations.isEmpty)
        await rig.stop()
    }
}
