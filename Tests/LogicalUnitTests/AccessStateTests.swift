import ALUA
import BlockBackend
import LogicalUnit
import Reactor
import SCSI
import TCMUTestKit
import Testing

@Suite("Access states: REPORT and SET TARGET PORT GROUPS")
struct AccessStateTests {
    typealias Rig = UnitRig<ScriptedBackend>

    static let failed: [UInt8] = [4, 0x67, 0x0A]
    static let wrongList: [UInt8] = [5, 0x26, 0]
    static let wrongLength: [UInt8] = [5, 0x1A, 0]

    /// Two gateways; group 1 is here.
    static func facts(
        _ ours: AccessState, _ theirs: AccessState, support: TargetPortGroupSupport = .implicitAndExplicit,
        others: Bool = true
    ) -> BackstoreFacts {
        func group(_ id: UInt16, _ state: AccessState) -> TargetPortGroupDescription {
            TargetPortGroupDescription(
                preferred: id == 1, state: state.rawValue, supportedStates: 0x85, identifier: id, status: 0,
                relativePortIdentifiers: [id])
        }
        return BackstoreFacts(
            serial: "0123",
            port: UnitIdentity.Port(
                relativeIdentifier: 1, protocolIdentifier: 5, targetPortGroup: 1, targetName: "iqn.example:t",
                portalGroupTag: 1),
            targetPortGroupSupport: support,
            targetPortGroups: others ? [group(1, ours), group(2, theirs)] : [group(1, ours)],
            implicitTransitionSeconds: 45)
    }

    private func start(
        _ facts: BackstoreFacts?, patience: Int64 = Limits.identityPatience
    ) async throws -> (Rig, BackendScript) {
        let script = BackendScript(size: 1 << 20)
        return (try await UnitRig.start(ScriptedBackend(script), facts: facts, factsPatience: patience), script)
    }

    /// A parameter list with a descriptor for each state and group.
    private func list(_ wanted: (state: UInt8, group: UInt8)...) -> [UInt8] {
        wanted.reduce(into: [0, 0, 0, 0]) { $0 += [$1.state, 0, 0, $1.group] }
    }

    private func set(_ rig: Rig, _ list: [UInt8]) throws -> RingCompletion {
        try rig.run(InitiatorCDB.setTargetPortGroups(UInt32(list.count)), dataOut: list)
    }

    /// States by group, as REPORT TARGET PORT GROUPS tells them.
    private func states(_ rig: Rig) throws -> [UInt8] {
        let data = try rig.run(InitiatorCDB.reportTargetPortGroups, dataInLength: 64).dataIn
        return stride(from: 4, to: data.count, by: 12).map { data[$0] & 0x0F }
    }

    /// The changes that the unit has asked for.
    private func plans(_ rig: Rig) -> [AccessStatePlan] {
        rig.events.all.compactMap { if case .accessStatesWanted(let plan) = $0 { plan } else { nil } }
    }

    /// Answers as the control plane does, once a change is asked for.
    private func carryOut(_ rig: Rig, _ facts: BackstoreFacts?) async {
        let (unit, events): (any ControlledUnit, UnitEventLog) = (rig.unit, rig.events)
        #expect(await events.wait { if case .accessStatesWanted = $0 { true } else { false } })
        events.answerFacts(facts)
        await rig.loop.run(unit) { unit.accessStatesChanged(true, facts) }
    }

    @Test("the extended form is counted whole, and cut by the allocation length")
    func extended() async throws {
        let (rig, _) = try await start(Self.facts(.standby, .standby))
        var cdb = InitiatorCDB.reportTargetPortGroups
        cdb[1] |= 0x20
        let data = try rig.run(cdb, dataInLength: 64).dataIn
        #expect(data.prefix(8) == [0, 0, 0, 28, 0x10, 45, 0, 0])
        #expect(data.count == 32)
        cdb[8...9] = [0, 6]
        #expect(try rig.run(cdb, dataInLength: 64).dataIn == [0, 0, 0, 28, 0x10, 45])
        await rig.stop()
    }

    @Test("TPGS says what the group is configured for", arguments: TargetPortGroupSupport.allCases)
    func support(_ support: TargetPortGroupSupport) async throws {
        let (rig, _) = try await start(Self.facts(.activeOptimized, .standby, support: support))
        #expect(try rig.run(InitiatorCDB.inquiry(), dataInLength: 96).dataIn[5] & 0x30 == support.rawValue)
        let done = try set(rig, list((0, 1)))
        if support.isExplicit { #expect(done.status == 0) } else { #expect(done.codes == Codes.unknown) }
        await rig.stop()
    }

    @Test("without a port there is nothing to set")
    func noPort() async throws {
        let (rig, _) = try await start(BackstoreFacts(serial: "0123", targetPortGroupSupport: .explicit))
        #expect(try set(rig, list((0, 1))).codes == Codes.unknown)
        await rig.stop()
    }

    @Test("active/optimized: BUSY until the right to write is there, then the states are changed")
    func optimized() async throws {
        let (rig, script) = try await start(Self.facts(.standby, .activeOptimized))
        script.ownership.mayWrite = false
        for claims in 1...2 {
            #expect(try set(rig, list((0, 1))).status == 0x08)
            #expect(script.ownership.claims == claims)
        }
        #expect(plans(rig).isEmpty, "nothing changes before")
        script.ownership.mayWrite = true
        rig.events.answerChange(true, Self.facts(.activeOptimized, .standby))
        #expect(try set(rig, list((0, 1))).status == 0)
        let changes: [AccessStatePlan.Change] = [
            .init(group: 1, state: .activeOptimized), .init(group: 2, state: .standby),
        ]
        #expect(plans(rig) == [AccessStatePlan(changes, because: .initiator)])
        #expect(try states(rig) == [0, 2], "fresh at once, not after a second")
        await rig.stop()
    }

    @Test("configfs refuses: SET TARGET PORT GROUPS COMMAND FAILED, and what is there is told")
    func refused() async throws {
        let (rig, _) = try await start(Self.facts(.standby, .standby))
        rig.events.answerChange(false, Self.facts(.standby, .standby))
        #expect(try set(rig, list((0, 1))).codes == Self.failed)
        #expect(try states(rig) == [2, 2])
        await rig.stop()
    }

    @Test("one change at a time; after three seconds its initiator gets BUSY as well")
    func slow() async throws {
        let (rig, _) = try await start(Self.facts(.standby, .standby))
        let list = list((0, 1))
        _ = try rig.send(InitiatorCDB.setTargetPortGroups(UInt32(list.count)), dataOut: list)
        #expect(await rig.events.wait { if case .accessStatesWanted = $0 { true } else { false } })
        _ = try rig.send(InitiatorCDB.setTargetPortGroups(UInt32(list.count)), dataOut: list)
        #expect(rig.kernel.reapCompletions(count: 2).map(\.status) == [0x08, 0x08])
        #expect(try states(rig) == [2, 2], "the unit goes on")
        await carryOut(rig, Self.facts(.activeOptimized, .standby))
        #expect(try set(rig, list).status == 0, "it is as asked for now")
        await rig.stop()
    }

    @Test("malformed lists change nothing and take nothing")
    func malformed() async throws {
        let (rig, script) = try await start(Self.facts(.standby, .standby))
        script.ownership.mayWrite = false
        #expect(try set(rig, [0, 0, 0]).codes == Self.wrongLength)
        #expect(try set(rig, [0, 0, 0, 0, 0]).codes == Self.wrongLength)
        #expect(try set(rig, list((0, 1), (0, 3))).codes == Self.wrongList)
        #expect(try set(rig, list((1, 1))).codes == Self.wrongList)
        #expect(try set(rig, list((0, 2))).codes == Self.failed)
        let eight = InitiatorCDB.setTargetPortGroups(8)
        #expect(try rig.run(eight, dataOut: [0, 0, 0, 0]).codes == Self.wrongLength, "half of it came")
        #expect(try rig.run(InitiatorCDB.setTargetPortGroups(0)).status == 0)
        #expect(plans(rig).isEmpty && script.ownership.claims == 0)
        await rig.stop()
    }

    @Test("the right to write lost to another gateway: told at once, and written to configfs")
    func lost() async throws {
        let (rig, script) = try await start(Self.facts(.activeOptimized, .standby))
        #expect(try states(rig) == [0, 2])
        script.ownership.takeovers += 1
        #expect(try states(rig) == [2, 0])
        await carryOut(rig, Self.facts(.standby, .activeOptimized))
        #expect(try states(rig) == [2, 0])
        #expect(plans(rig).count == 1)
        #expect(plans(rig).first?.cause == .otherGateway)
        await rig.stop()
    }

    @Test("implicit groups, and a gateway alone, keep their states whatever becomes of the right to write")
    func kept() async throws {
        for facts in [
            Self.facts(.activeOptimized, .activeNonOptimized, support: .implicit),
            Self.facts(.activeOptimized, .standby, others: false),
        ] {
            let (rig, script) = try await start(facts)
            let before = try states(rig)
            script.ownership.takeovers += 1
            #expect(try states(rig) == before && plans(rig).isEmpty)
            await rig.stop()
        }
    }

    @Test("a connection that was lost and made anew is no takeover: the local group stays what initiators made it")
    func reconnected() async throws {
        let (rig, script) = try await start(Self.facts(.activeOptimized, .standby))
        script.ownership.generation += 1
        #expect(try states(rig) == [0, 2] && plans(rig).isEmpty)
        await rig.stop()
    }

    @Test("reports never take the right to write")
    func storm() async throws {
        let (rig, script) = try await start(Self.facts(.activeOptimized, .standby))
        script.ownership.mayWrite = false
        for _ in 0..<20 {
            #expect(try states(rig) == [0, 2])
            for page in [0x00, 0x80, 0x83, 0xB0, 0xB2] as [UInt8] {
                #expect(try rig.run(InitiatorCDB.inquiry(page: page), dataInLength: 255).status == 0)
            }
            #expect(try rig.run(InitiatorCDB.readCapacity16, dataInLength: 32).status == 0)
            #expect(try rig.run(InitiatorCDB.testUnitReady).status == 0)
        }
        #expect(script.ownership.claims == 0 && script.operations.isEmpty)
        await rig.stop()
    }

    @Test("states that configfs does not renew are not told: BUSY; identity is")
    func stale() async throws {
        let (rig, _) = try await start(Self.facts(.activeOptimized, .standby))
        #expect(try states(rig) == [0, 2])
        rig.events.answerFacts(nil)
        let told: [[UInt8]] = [
            InitiatorCDB.reportTargetPortGroups, InitiatorCDB.inquiry(), InitiatorCDB.inquiry(page: 0x83),
        ]
        let identity = [InitiatorCDB.inquiry(page: 0x80), InitiatorCDB.reportSupportedOperationCodes]
        let ids = try (told + identity).map { try rig.send($0, dataInLength: 255) }
        let ends = rig.ends(ids.count)
        for (place, id) in ids.enumerated() {
            #expect(ends[id]?.status == (place < told.count ? 0x08 : 0), "command \(place)")
        }
        await rig.stop()
    }

    @Test("what changed before a question is in its answer, however soon after the last one it comes")
    func changed() async throws {
        let (rig, _) = try await start(Self.facts(.activeOptimized, .standby))
        for _ in 0..<20 {
            #expect(try states(rig) == [0, 2])
            #expect(try rig.run(InitiatorCDB.inquiry(), dataInLength: 96).dataIn[5] & 0x30 == 0x30)
            rig.events.answerFacts(Self.facts(.standby, .activeOptimized, support: .implicit))
            #expect(try states(rig) == [2, 0])
            #expect(try rig.run(InitiatorCDB.inquiry(), dataInLength: 96).dataIn[5] & 0x30 == 0x10)
            rig.events.answerFacts(Self.facts(.activeOptimized, .standby))
        }
        await rig.stop()
    }

    @Test("one reading is shared by all who came before it began; who comes later waits for the next one")
    func shared() async throws {
        let (rig, _) = try await start(nil, patience: 600_000)
        let unit: any ControlledUnit = rig.unit
        let (old, new) = (Self.facts(.activeOptimized, .standby), Self.facts(.standby, .activeOptimized))
        func ask() throws -> UInt16 { try rig.send(InitiatorCDB.reportTargetPortGroups, dataInLength: 64) }
        func wantsTwo(_ done: RingCompletion?, _ expected: [UInt8]) {
            let data = done?.dataIn ?? []
            #expect(stride(from: 4, to: data.count, by: 12).map { data[$0] & 0x0F } == expected)
        }
        let first = try ask()
        #expect(await rig.events.wait { if case .factsNeeded = $0 { true } else { false } })
        let later = try (0..<40).map { _ in try ask() }
        try rig.passBy()
        await rig.loop.run(unit) { unit.accessStatesChanged(true, old) }
        await rig.loop.run(unit) { unit.deliver(old, for: 1) }
        wantsTwo(rig.ends(1)[first], [0, 2])
        #expect(rig.kernel.reapCompletions().isEmpty, "they came after the reading began")
        await rig.loop.run(unit) { unit.deliver(new, for: 2) }
        let ends = rig.ends(later.count)
        for id in later { wantsTwo(ends[id], [2, 0]) }
        #expect(rig.events.requests.map(\.number) == [1, 2])
        await rig.stop()
    }
}
