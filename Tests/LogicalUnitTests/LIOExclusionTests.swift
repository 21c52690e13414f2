import BlockBackend
import LogicalUnit
import Reactor
import TCMUTestKit
import Testing

@Suite("Changes that LIO cannot see are held to what it holds writes to")
struct LIOExclusionTests {
    static let size: UInt64 = 1024 * 512
    static let conflict: UInt8 = 0x18
    static let busy: UInt8 = 0x08

    /// Each command that changes the medium, or gives an erased one back, without Data-Out.
    static let unseen: [(String, [UInt8])] = [
        ("WRITE SAME with NDOB", InitiatorCDB.writeSame16(1, 4, flags: 0x01)),
        ("WRITE SAME with NDOB and UNMAP", InitiatorCDB.writeSame16(1, 4, flags: 0x09)),
        ("FORMAT UNIT", InitiatorCDB.formatUnit()),
        ("FORMAT UNIT, fast", InitiatorCDB.formatUnit(fast: true)),
        ("SANITIZE, BLOCK ERASE", InitiatorCDB.sanitizeBlockErase()),
        ("SANITIZE, BLOCK ERASE, IMMED", InitiatorCDB.sanitizeBlockErase(immediate: true)),
        ("SANITIZE, EXIT FAILURE MODE", InitiatorCDB.sanitizeExitFailureMode),
    ]

    static func facts(_ exclusion: Exclusion?) -> BackstoreFacts {
        BackstoreFacts(serial: "0123456789abcdef", exclusion: exclusion)
    }

    private func start(
        _ facts: BackstoreFacts?, patience: Int64 = Limits.identityPatience
    ) async throws -> (UnitRig<ScriptedBackend>, BackendScript) {
        let script = BackendScript(size: Self.size, capabilities: Backends.capable())
        script.content = Content.numbered(Int(Self.size))
        script.answerSurveys(.init(availableBytes: Self.size))
        let rig = try await UnitRig.start(
            ScriptedBackend(script), facts: facts, heldToExclusion: true, factsPatience: patience)
        return (rig, script)
    }

    @Test(
        "refused with LIO's answer while anybody is excluded; nothing has reached the backend",
        arguments: [
            (Exclusion(reservation: .writeExclusive), conflict, nil),
            (Exclusion(hasReadOnlyMapping: true), 0x02, Codes.writeProtected),
            (Exclusion(reservation: .exclusiveAccess, hasReadOnlyMapping: true), 0x02, Codes.writeProtected),
        ] as [(Exclusion, UInt8, [UInt8]?)])
    func refused(_ exclusion: Exclusion, _ status: UInt8, _ codes: [UInt8]?) async throws {
        let (rig, script) = try await start(Self.facts(exclusion))
        for (title, cdb) in Self.unseen {
            let done = try rig.run(cdb)
            #expect(done.status == status && done.codes == codes, "\(title): \(done)")
        }
        #expect(script.operations.isEmpty)
        // What LIO sees it has judged, and what changes nothing is nobody's concern.
        let block = [UInt8](repeating: 1, count: 512)
        let seen: [([UInt8], [UInt8])] = [
            (InitiatorCDB.write10(1, 1), block), (InitiatorCDB.writeSame16(1, 4), block),
            (InitiatorCDB.orWrite16(1, 1), block), (InitiatorCDB.verify10(1, 1), []),
            (InitiatorCDB.synchronizeCache10(), []), (InitiatorCDB.startUnit, []),
        ]
        for (cdb, data) in seen { #expect(try rig.run(cdb, dataOut: data).status == 0, "\(cdb)") }
        await rig.stop()
    }

    @Test(
        "served where LIO has refused all others already, and where nobody is excluded",
        arguments: [.none, .exclusiveAccess, .scsi2] as [Exclusion.Reservation])
    func served(_ reservation: Exclusion.Reservation) async throws {
        let (rig, script) = try await start(Self.facts(Exclusion(reservation: reservation)))
        for (title, cdb) in Self.unseen {
            #expect(try rig.run(cdb).status == 0, "\(title)")
            #expect(await rig.waitUntilIdle())
        }
        #expect(!script.operations.isEmpty)
        await rig.stop()
    }

    @Test("where it is not known who is excluded: BUSY", arguments: [facts(nil), nil])
    func unknown(_ facts: BackstoreFacts?) async throws {
        let (rig, script) = try await start(facts)
        let ids = try Self.unseen.map { try rig.send($0.1) }
        let ends = rig.ends(ids.count)
        for id in ids { #expect(ends[id]?.status == Self.busy) }
        #expect(script.operations.isEmpty)
        await rig.stop()
    }

    @Test("a reservation that was made while configfs was being read for another command counts")
    func fresh() async throws {
        let (rig, script) = try await start(nil, patience: 600_000)
        let unit: any ControlledUnit = rig.unit
        let free = Self.facts(.nobody)
        let first = try rig.send(InitiatorCDB.writeSame16(1, 1, flags: 0x01))
        #expect(await rig.events.wait { if case .factsNeeded = $0 { true } else { false } })
        let second = try rig.send(InitiatorCDB.writeSame16(9, 1, flags: 0x01))
        try rig.passBy()
        #expect(rig.events.requests == [FactsRequest(number: 1, wantsExclusion: true)], "one reading at a time")
        await rig.loop.run(unit) { unit.deliver(free, for: 0) }
        await rig.loop.run(unit) { unit.deliver(free, for: 1) }
        #expect(rig.ends(1)[first]?.status == 0)
        #expect(rig.kernel.reapCompletions().isEmpty, "the second one came after that reading began")
        #expect(rig.events.requests.map(\.number) == [1, 2])
        await rig.loop.run(unit) {
            unit.deliver(Self.facts(Exclusion(reservation: .writeExclusive)), for: 2)
        }
        #expect(rig.ends(1)[second]?.status == Self.conflict)
        #expect(!script.operations.contains { $0.extent.offset == 9 * 512 }, "nothing of the second one")
        await rig.stop()
    }

    // MARK: - Another unit of the copy group

    static let serials = ["aaaa0001", "bbbb0002"]

    /// Two units of a group; `exclusion` is the second one's.
    private func pair(
        _ exclusion: Exclusion?
    ) async throws -> (scripts: [BackendScript], rigs: [UnitRig<ScriptedBackend>]) {
        let group = CopyGroup()
        var (scripts, rigs): ([BackendScript], [UnitRig<ScriptedBackend>]) = ([], [])
        for unit in 0...1 {
            let script = BackendScript(size: 8 << 20)
            script.content = Content.numbered(8 << 20, seed: UInt8(77 * unit))
            scripts.append(script)
            rigs.append(
                try await UnitRig.start(
                    ScriptedBackend(script),
                    facts: BackstoreFacts(serial: Self.serials[unit], exclusion: unit == 1 ? exclusion : .nobody),
                    name: "test/unit-\(unit)", group: group, heldToExclusion: true))
        }
        return (scripts, rigs)
    }

    /// Which way a copy between unit 0, which gets the command, and unit 1 goes, and how it ends.
    static let copies: [(Exclusion?, writes: Bool, status: UInt8, codes: [UInt8]?)] = [
        (.nobody, true, 0, nil), (.nobody, false, 0, nil),
        (Exclusion(reservation: .writeExclusive), true, conflict, nil),
        (Exclusion(reservation: .writeExclusive), false, 0, nil),
        (Exclusion(reservation: .exclusiveAccess), true, conflict, nil),
        (Exclusion(reservation: .exclusiveAccess), false, conflict, nil),
        (Exclusion(reservation: .scsi2), true, conflict, nil),
        (Exclusion(reservation: .scsi2), false, conflict, nil),
        (Exclusion(hasReadOnlyMapping: true), true, 2, [0x0A, 0x27, 0]),
        (Exclusion(hasReadOnlyMapping: true), false, 0, nil),
        (nil, true, busy, nil), (nil, false, busy, nil),
    ]

    @Test("EXTENDED COPY does not pass a reservation of its other unit, or its mappings", arguments: copies)
    func copy(_ exclusion: Exclusion?, _ writes: Bool, _ status: UInt8, _ codes: [UInt8]?) async throws {
        let (scripts, rigs) = try await pair(exclusion)
        let before = scripts[1].content
        // More than one piece of a mebibyte.
        let (cdb, list) = PeerCopyTests.copy([
            CopyRequestSegment(0, 8192, 4000, source: writes ? 0 : 1, destination: writes ? 1 : 0)
        ])
        let done = try rigs[0].run(cdb, dataOut: list)
        #expect(done.status == status && done.codes == codes)
        if status != 0 {
            #expect(scripts[1].operations.isEmpty)
            #expect(Content.isSame(scripts[1].content[...], before[...]))
        }
        // The next copy asks anew.
        rigs[1].events.answerFacts(BackstoreFacts(serial: Self.serials[1], exclusion: .nobody))
        #expect(try rigs[0].run(cdb, dataOut: list).status == 0)
        rigs[1].events.answerFacts(
            BackstoreFacts(serial: Self.serials[1], exclusion: Exclusion(reservation: .scsi2)))
        #expect(try rigs[0].run(cdb, dataOut: list).status == Self.conflict)
        for rig in rigs { await rig.stop() }
    }
}
