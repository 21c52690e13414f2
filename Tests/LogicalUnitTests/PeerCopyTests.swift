import BlockBackend
import Glibc
import LogicalUnit
import Reactor
import TCMUTestKit
import Testing

@Suite("EXTENDED COPY between units of a copy group")
struct PeerCopyTests {
    static let serials = ["aaaa0001", "bbbb0002"]

    static func designator(_ unit: Int, _ blockSize: UInt32 = 512) -> ([UInt8], UInt32) {
        (InitiatorCDB.designator(serial: serials[unit]), blockSize)
    }

    /// Two units of 8 MiB, each with a content of its own.
    struct Pair {
        let loops: [EngineLoop]
        let scripts: [BackendScript]
        let rigs: [UnitRig<ScriptedBackend>]

        static func start(
            groups: [CopyGroup?], sharedLoop: Bool = false, capabilities: BackendCapabilities = .init(),
            blockSize: UInt32 = 512
        ) async throws -> Pair {
            let shared = sharedLoop ? try EngineLoop.start(name: "shared-loop") : nil
            var scripts: [BackendScript] = []
            var rigs: [UnitRig<ScriptedBackend>] = []
            for unit in 0...1 {
                let script = BackendScript(
                    size: 8 << 20, capabilities: unit == 1 ? capabilities : BackendCapabilities())
                script.content = Content.numbered(8 << 20, seed: UInt8(77 * unit))
                scripts.append(script)
                rigs.append(
                    try await UnitRig.start(
                        ScriptedBackend(script), blockSize: unit == 1 ? blockSize : 512,
                        facts: BackstoreFacts(serial: serials[unit]), name: "test/unit-\(unit)", loop: shared,
                        group: groups[unit]))
            }
            return Pair(loops: shared.map { [$0] } ?? [], scripts: scripts, rigs: rigs)
        }

        func stop() async {
            for rig in rigs { await rig.stop() }
            for loop in loops { await loop.stop() }
        }
    }

    /// A copy for unit 0 or 1 to carry out.
    static func copy(
        _ segments: [CopyRequestSegment], blockSizes: [UInt32] = [512, 512], identifier: UInt8 = 7
    ) -> (cdb: [UInt8], list: [UInt8]) {
        CopyTests.command(
            segments, units: [designator(0, blockSizes[0]), designator(1, blockSizes[1])], identifier: identifier)
    }

    @Test("Without a group, or from different ones, the other unit is not reachable", arguments: [false, true])
    func refused(_ hasGroups: Bool) async throws {
        let pair = try await Pair.start(groups: hasGroups ? [CopyGroup(), CopyGroup()] : [nil, nil])
        for segment in [CopyRequestSegment(0, 0, 8, destination: 1), .init(0, 0, 8, source: 1)] {
            let (cdb, list) = Self.copy([segment])
            #expect(try pair.rigs[0].run(cdb, dataOut: list).codes == Codes.notReachable)
        }
        #expect(pair.scripts.allSatisfy { $0.operations.isEmpty })
        await pair.stop()
    }

    @Test(
        "In one group blocks go both ways, whoever is asked, on one loop and on two",
        arguments: [false, true], [0, 1])
    func copies(_ sharedLoop: Bool, _ asked: Int) async throws {
        let group = CopyGroup()
        let pair = try await Pair.start(groups: [group, group], sharedLoop: sharedLoop)
        let before = pair.scripts.map(\.content)
        let (cdb, list) = Self.copy([
            CopyRequestSegment(3, 9000, 4100, source: 0, destination: 1),
            CopyRequestSegment(5, 10000, 2500, source: 1, destination: 0),
        ])
        #expect(try pair.rigs[asked].run(cdb, dataOut: list).status == 0)
        var expected = before
        expected[1].replaceSubrange(9000 * 512..<13100 * 512, with: before[0][3 * 512..<4103 * 512])
        expected[0].replaceSubrange(10000 * 512..<12500 * 512, with: before[1][5 * 512..<2505 * 512])
        #expect(Content.isSame(pair.scripts[0].content[...], expected[0][...]))
        #expect(Content.isSame(pair.scripts[1].content[...], expected[1][...]))
        for unit in 0...1 { try expectMemoryIsFree(pair.rigs[unit], pair.scripts[unit]) }
        await pair.stop()
    }

    @Test("From a unit to a third, both of them others")
    func neither() async throws {
        let group = CopyGroup()
        let pair = try await Pair.start(groups: [group, group])
        let script = BackendScript(size: 8 << 20)
        let third = try await UnitRig.start(
            ScriptedBackend(script), facts: BackstoreFacts(serial: "cccc0003"), name: "test/unit-2", group: group)
        let (cdb, list) = Self.copy([CopyRequestSegment(0, 100, 100, source: 0, destination: 1)])
        #expect(try third.run(cdb, dataOut: list).status == 0)
        #expect(Content.isSame(pair.scripts[1].content[51200..<102_400], pair.scripts[0].content[..<51200]))
        #expect(script.operations.isEmpty)
        await third.stop()
        await pair.stop()
    }

    @Test("A unit that may not be written refuses, and can be read")
    func readOnly() async throws {
        var capabilities = BackendCapabilities()
        capabilities.readOnly = true
        let group = CopyGroup()
        let pair = try await Pair.start(groups: [group, group], capabilities: capabilities)
        let (there, thereList) = Self.copy([CopyRequestSegment(0, 0, 8, destination: 1)])
        #expect(try pair.rigs[0].run(there, dataOut: thereList).codes == [0x0A, 0x27, 0])
        #expect(try pair.rigs[1].run(there, dataOut: thereList).codes == Codes.writeProtected)
        let (back, backList) = Self.copy([CopyRequestSegment(0, 0, 8, source: 1)])
        #expect(try pair.rigs[0].run(back, dataOut: backList).status == 0)
        #expect(!pair.scripts[1].operations.contains { $0.kind == .write })
        await pair.stop()
    }

    @Test("Blocks of two lengths: whole blocks on both sides are copied, others refused")
    func blockSizes() async throws {
        let group = CopyGroup()
        let pair = try await Pair.start(groups: [group, group], blockSize: 4096)
        let (good, goodList) = Self.copy(
            [
                CopyRequestSegment(16, 3, 24, source: 0, destination: 1),
                CopyRequestSegment(64, 10, 2, source: 0, destination: 1, countsDestination: true),
            ], blockSizes: [512, 4096])
        #expect(try pair.rigs[0].run(good, dataOut: goodList).status == 0)
        let source = pair.scripts[0].content
        #expect(Content.isSame(pair.scripts[1].content[3 * 4096..<6 * 4096], source[16 * 512..<40 * 512]))
        #expect(Content.isSame(pair.scripts[1].content[10 * 4096..<12 * 4096], source[64 * 512..<80 * 512]))
        let (cut, cutList) = Self.copy(
            [CopyRequestSegment(16, 3, 23, source: 0, destination: 1)], blockSizes: [512, 4096])
        #expect(try pair.rigs[0].run(cut, dataOut: cutList).codes == [5, 0x26, 0])
        let (wrong, wrongList) = Self.copy([CopyRequestSegment(16, 3, 24, source: 0, destination: 1)])
        #expect(try pair.rigs[0].run(wrong, dataOut: wrongList).codes == [0x0A, 0x0D, 0x03])
        await pair.stop()
    }

    @Test("An error of the other unit is the copy's, and its own thing there")
    func peerFails() async throws {
        let group = CopyGroup()
        let pair = try await Pair.start(groups: [group, group])
        pair.scripts[1].fail(.write, with: ENOSPC)
        let (cdb, list) = Self.copy([CopyRequestSegment(0, 0, 8, destination: 1)])
        #expect(try pair.rigs[0].run(cdb, dataOut: list).codes == [0x0A, 0x27, 0x07])
        pair.scripts[1].fail(.write, with: nil)
        #expect(try pair.rigs[0].run(cdb, dataOut: list).status == 0)
        await pair.stop()
    }

    @Test("A unit that is stopped in the middle ends the copy with BUSY, and waits for the piece under way")
    func peerStops() async throws {
        let group = CopyGroup()
        let pair = try await Pair.start(groups: [group, group])
        pair.scripts[1].answer(.held)
        let (cdb, list) = Self.copy([CopyRequestSegment(0, 0, 4000, destination: 1)])
        let id = try pair.rigs[0].send(cdb, dataOut: list)
        #expect(pair.scripts[1].waitForHeld(1))
        let peer: any ControlledUnit = pair.rigs[1].unit
        await pair.rigs[1].loop.run(peer) { peer.stopTaking() }
        #expect(await pair.rigs[1].loop.run(peer) { peer.commandsInFlight } == 1)
        pair.scripts[1].release()
        #expect(pair.rigs[0].ends(1)[id]?.status == CopyTests.busy)
        #expect(await pair.rigs[1].waitUntilIdle())
        #expect(pair.scripts[1].operations.count == 1)
        try expectMemoryIsFree(pair.rigs[0], pair.scripts[0])
        await pair.stop()
    }

    @Test("A unit that has left while the copy reads elsewhere ends it with BUSY", arguments: [false, true])
    func peerLeaves(_ sharedLoop: Bool) async throws {
        let group = CopyGroup()
        let pair = try await Pair.start(groups: [group, group], sharedLoop: sharedLoop)
        pair.scripts[0].answer(.held)
        let (cdb, list) = Self.copy([CopyRequestSegment(0, 0, 4000, destination: 1)])
        let id = try pair.rigs[0].send(cdb, dataOut: list)
        #expect(pair.scripts[0].waitForHeld(1))
        // The daemon's loops outlive their units; the rig's would end with it.
        await pair.rigs[1].loop.detach(pair.rigs[1].unit)
        pair.rigs[1].leaveGroup()
        pair.scripts[0].answer(.immediate)
        pair.scripts[0].release()
        #expect(pair.rigs[0].ends(1)[id]?.status == CopyTests.busy)
        let (next, nextList) = Self.copy([CopyRequestSegment(0, 0, 8, destination: 1)], identifier: 9)
        #expect(try pair.rigs[0].run(next, dataOut: nextList).codes == Codes.notReachable)
        try expectMemoryIsFree(pair.rigs[0], pair.scripts[0])
        await pair.stop()
    }

    @Test("The unit that copies is not idle before the other one has let go of its memory")
    func askerStops() async throws {
        let group = CopyGroup()
        let pair = try await Pair.start(groups: [group, group])
        pair.scripts[1].answer(.held)
        let (cdb, list) = Self.copy([CopyRequestSegment(0, 0, 4000, destination: 1)])
        let id = try pair.rigs[0].send(cdb, dataOut: list)
        #expect(pair.scripts[1].waitForHeld(1))
        let asker: any ControlledUnit = pair.rigs[0].unit
        await pair.rigs[0].loop.run(asker) { asker.stopTaking() }
        #expect(await pair.rigs[0].loop.run(asker) { asker.commandsInFlight } == 1)
        pair.scripts[1].release()
        #expect(pair.rigs[0].ends(1)[id]?.status == CopyTests.busy)
        #expect(await pair.rigs[0].waitUntilIdle())
        #expect(pair.scripts[1].operations.count == 1)
        await pair.stop()
    }

    @Test("A backend that sits on a piece is late for its own unit alone, and that recovers")
    func late() async throws {
        let group = CopyGroup()
        let scripts = [BackendScript(size: 1 << 20), BackendScript(size: 1 << 20)]
        var rigs: [UnitRig<ScriptedBackend>] = []
        for unit in 0...1 {
            rigs.append(
                try await UnitRig.start(
                    ScriptedBackend(scripts[unit]), facts: BackstoreFacts(serial: Self.serials[unit]),
                    commandTimeout: 50, name: "test/unit-\(unit)", group: group))
        }
        scripts[1].answer(.held)
        let (cdb, list) = Self.copy([CopyRequestSegment(0, 0, 8, destination: 1)])
        let id = try rigs[0].send(cdb, dataOut: list)
        #expect(scripts[1].waitForHeld(1))
        #expect(await rigs[1].events.wait { if case .commandsLate = $0 { true } else { false } })
        #expect(try rigs[1].run(InitiatorCDB.read10(0, 1), dataInLength: 512).status == CopyTests.busy)
        #expect(try rigs[0].run(InitiatorCDB.read10(0, 1), dataInLength: 512).status == 0, "its own medium is well")
        scripts[1].answer(.immediate)
        scripts[1].release()
        #expect(rigs[0].ends(1)[id]?.status == 0)
        for unit in 0...1 {
            #expect(await rigs[unit].waitUntilIdle())
            #expect(try rigs[unit].run(InitiatorCDB.read10(0, 1), dataInLength: 512).status == 0)
            let answered = rigs[unit].events.count { if case .lateCommandsAnswered = $0 { true } else { false } }
            #expect(answered == unit)
            await rigs[unit].stop()
        }
    }

    @Test("A unit being sanitized is not written by others")
    func peerErases() async throws {
        let group = CopyGroup()
        let pair = try await Pair.start(groups: [group, group])
        pair.scripts[1].answer(.held)
        let (erase, parameters) = ErasureTests.overwrite([0x11])
        let erasing = try pair.rigs[1].send(erase, dataOut: parameters)
        #expect(pair.scripts[1].waitForHeld(1))
        let (cdb, list) = Self.copy([CopyRequestSegment(0, 0, 8, destination: 1)])
        #expect(try pair.rigs[0].run(cdb, dataOut: list).status == CopyTests.busy)
        pair.scripts[1].answer(.immediate)
        pair.scripts[1].release()
        #expect(pair.rigs[1].ends(1)[erasing]?.status == 0)
        #expect(Content.consists(pair.scripts[1].content, of: [0x11]))
        await pair.stop()
    }

    @Test("What another unit writes is durable where the write cache is off")
    func durable() async throws {
        let group = CopyGroup()
        let pair = try await Pair.start(groups: [group, group], capabilities: Backends.cached())
        #expect(try ModeSelectTests.change(pair.rigs[1], page: 0x08, clear: [2: 0x04]).status == 0)
        let (cdb, list) = Self.copy([CopyRequestSegment(0, 0, 8, destination: 1)])
        #expect(try pair.rigs[0].run(cdb, dataOut: list).status == 0)
        #expect(pair.scripts[1].operations.map(\.kind) == [.flush, .write, .flush])
        await pair.stop()
    }

    @Test("A copy whose last segment goes elsewhere makes durable what it wrote here")
    func durableHere() async throws {
        let group = CopyGroup()
        let pair = try await Pair.start(groups: [group, group], capabilities: Backends.cached())
        #expect(try ModeSelectTests.change(pair.rigs[1], page: 0x08, clear: [2: 0x04]).status == 0)
        // The first one's designator is read with its first INQUIRY.
        #expect(try pair.rigs[0].run(InitiatorCDB.inquiry(), dataInLength: 255).status == 0)
        let (cdb, list) = Self.copy([
            CopyRequestSegment(0, 100, 8, source: 1, destination: 1),
            CopyRequestSegment(0, 0, 8, source: 1, destination: 0),
        ])
        #expect(try pair.rigs[1].run(cdb, dataOut: list).status == 0)
        #expect(pair.scripts[1].operations.map(\.kind) == [.flush, .read, .write, .read, .flush])
        await pair.stop()
    }

    @Test("Two units of one name are two units, and one that ends does not take the other with it")
    func namesakes() async throws {
        let group = CopyGroup()
        let pair = try await Pair.start(groups: [group, group])
        let script = BackendScript(size: 1 << 20)
        let namesake = try await UnitRig.start(
            ScriptedBackend(script), facts: BackstoreFacts(serial: "dddd0004"), name: "test/unit-1", group: group)
        let list = InitiatorCDB.copyParameters(
            units: [Self.designator(0), Self.designator(1), (InitiatorCDB.designator(serial: "dddd0004"), 512)],
            [CopyRequestSegment(0, 8, 8, destination: 1), CopyRequestSegment(0, 16, 8, destination: 2)])
        let cdb = InitiatorCDB.extendedCopy(parameterListLength: list.count)
        #expect(try pair.rigs[0].run(cdb, dataOut: list).status == 0)
        #expect(pair.scripts[1].operations.map(\.extent.offset) == [8 * 512])
        #expect(script.operations.map(\.extent.offset) == [16 * 512])
        await namesake.stop()
        let (still, stillList) = Self.copy([CopyRequestSegment(0, 0, 8, destination: 1)])
        #expect(try pair.rigs[0].run(still, dataOut: stillList).status == 0)
        await pair.stop()
    }

    @Test("Two units that claim one serial number are both out of reach")
    func twins() async throws {
        let group = CopyGroup()
        let pair = try await Pair.start(groups: [group, group])
        let script = BackendScript(size: 1 << 20)
        let twin = try await UnitRig.start(
            ScriptedBackend(script), facts: BackstoreFacts(serial: Self.serials[1]), name: "test/twin", group: group
        )
        let (cdb, list) = Self.copy([CopyRequestSegment(0, 0, 8, destination: 1)])
        #expect(try pair.rigs[0].run(cdb, dataOut: list).codes == Codes.notReachable)
        await twin.stop()
        #expect(try pair.rigs[0].run(cdb, dataOut: list).status == 0)
        await pair.stop()
    }

    @Test("Units that copy to each other, each with a COMPARE AND WRITE behind its own copy, do not wait for ever")
    func crosswise() async throws {
        let group = CopyGroup()
        let pair = try await Pair.start(groups: [group, group])
        for script in pair.scripts {
            script.content = [UInt8](repeating: 0, count: script.content.count)
            script.answer(.held)
        }
        // Each unit's copy writes blocks 0...7 of its own first, then reads, or writes, the other's.
        let segments = [CopyRequestSegment(100, 0, 8), CopyRequestSegment(0, 0, 8, destination: 1)]
        let mirrored = [
            CopyRequestSegment(100, 0, 8, source: 1, destination: 1), CopyRequestSegment(0, 0, 8, source: 1),
        ]
        var ids: [[UInt16]] = [[], []]
        for (unit, list) in [segments, mirrored].enumerated() {
            let (cdb, parameters) = Self.copy(list)
            ids[unit].append(try pair.rigs[unit].send(cdb, dataOut: parameters))
            #expect(pair.scripts[unit].waitForHeld(1))
            let data = [UInt8](repeating: 0, count: 1024)
            ids[unit].append(try pair.rigs[unit].send(InitiatorCDB.compareAndWrite(0, 1), dataOut: data))
            try pair.rigs[unit].passBy()
        }
        for script in pair.scripts {
            script.answer(.immediate)
            script.release()
        }
        for unit in 0...1 {
            let finished = pair.rigs[unit].ends(2)
            #expect(ids[unit].allSatisfy { finished[$0]?.status == 0 }, "unit \(unit)")
        }
        await pair.stop()
    }

    @Test("A unit that has grown is still known to its group; a resize that ends late puts none back that has left")
    func resizeEndsLate() async throws {
        let group = CopyGroup()
        let pair = try await Pair.start(groups: [group, group])
        let (cdb, list) = Self.copy([CopyRequestSegment(0, 0, 8, destination: 1)])
        pair.rigs[1].joinGroup(32 << 10)
        #expect(try pair.rigs[0].run(cdb, dataOut: list).status == 0)
        pair.rigs[1].leaveGroup()
        pair.rigs[1].joinGroup(64 << 10)
        #expect(try pair.rigs[0].run(cdb, dataOut: list).codes == Codes.notReachable)
        // It still answers for itself, and says under which name.
        #expect(try pair.rigs[1].run(InitiatorCDB.inquiry(page: 0x83), dataInLength: 255).status == 0)
        #expect(try pair.rigs[0].run(cdb, dataOut: list).codes == Codes.notReachable)
        await pair.stop()
    }
}
