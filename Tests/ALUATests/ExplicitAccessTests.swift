import ALUA
import SCSI
import Testing

@Suite("Access states that initiators set")
struct ExplicitAccessTests {
    typealias Change = AccessStatePlan.Change
    typealias Request = TargetPortGroupRequests.Request

    /// A group with one port that can be active/optimized, standby and transitioning, as ceph-iscsi's can.
    static func group(
        _ id: UInt16, _ state: AccessState, preferred: Bool = false,
        supports: SupportedStates = [
            .activeOptimized, .standby, .transitioning,
        ], status: UInt8 = 0, ports: [UInt16] = [1]
    ) -> TargetPortGroupDescription {
        TargetPortGroupDescription(
            preferred: preferred, state: state.rawValue, supportedStates: supports.rawValue, identifier: id,
            status: status, relativePortIdentifiers: ports)
    }

    /// What a parameter list with these descriptors holds; group 1 is here, 2 elsewhere.
    static func list(_ wanted: [(UInt8, UInt16)]) throws -> TargetPortGroupRequests {
        var bytes: [UInt8] = [0, 0, 0, 0]
        for (state, group) in wanted { bytes += [state, 0, UInt8(group >> 8), UInt8(group & 0xFF)] }
        let command = SetTargetPortGroups(parameterListLength: UInt32(bytes.count))
        return try bytes.withUnsafeBytes { try TargetPortGroupRequests($0, for: command) }
    }

    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let groups: [TargetPortGroupDescription]
        let wanted: [(UInt8, UInt16)]
        let result: Result<[Change], Sense>

        init(
            _ title: String, _ groups: [TargetPortGroupDescription], _ wanted: [(UInt8, UInt16)],
            _ result: Result<[Change], Sense>
        ) {
            (testDescription, self.groups, self.wanted, self.result) = (title, groups, wanted, result)
        }
    }

    static let bothStandby = [group(1, .standby), group(2, .standby)]
    static let otherActive = [group(1, .standby), group(2, .activeOptimized)]
    static let oursActive = [group(1, .activeOptimized), group(2, .standby)]

    static func wrong(_ byte: UInt16, bit: UInt8? = nil) -> Result<[Change], Sense> {
        .failure(.invalidFieldInParameterList(byte: byte, bit: bit))
    }

    static let rows: [Row] = [
        Row("nothing", bothStandby, [], .success([])),
        Row("ours active", bothStandby, [(0, 1)], .success([Change(group: 1, state: .activeOptimized)])),
        Row(
            "ours active, the other one was", otherActive, [(0, 1)],
            .success([
                Change(group: 1, state: .activeOptimized), Change(group: 2, state: .standby),
            ])),
        Row("ours is active already", oursActive, [(0, 1)], .success([])),
        Row("ours standby: the others stay", oursActive, [(2, 1)], .success([Change(group: 1, state: .standby)])),
        Row(
            "all named, as it will be", otherActive, [(0, 1), (2, 2)],
            .success([
                Change(group: 1, state: .activeOptimized), Change(group: 2, state: .standby),
            ])),
        Row("the other one as it is", otherActive, [(0, 2)], .success([])),
        Row("the other one otherwise", bothStandby, [(0, 2)], .failure(.setTargetPortGroupsCommandFailed)),
        Row(
            "both active: there can be one", bothStandby, [(0, 1), (0, 2)],
            .failure(.setTargetPortGroupsCommandFailed)),
        Row("no such group", bothStandby, [(0, 1), (0, 3)], wrong(10)),
        Row("a group twice", bothStandby, [(0, 1), (2, 1)], wrong(10)),
        Row("not supported: active/non-optimized", bothStandby, [(1, 1)], wrong(4, bit: 3)),
        Row("not supported: unavailable", bothStandby, [(2, 1), (3, 2)], wrong(8, bit: 3)),
        Row("transitioning comes by itself", bothStandby, [(0xF, 1)], wrong(4, bit: 3)),
        Row("offline is a port's", bothStandby, [(0xE, 1)], wrong(4, bit: 3)),
        Row("no state", bothStandby, [(7, 1)], wrong(4, bit: 3)),
        Row(
            "another group that cannot be standby stays",
            [group(1, .standby), group(2, .activeNonOptimized, supports: [.activeNonOptimized])], [(0, 1)],
            .success([Change(group: 1, state: .activeOptimized)])),
    ]

    @Test("SET TARGET PORT GROUPS, by parameter list", arguments: rows)
    func requests(_ row: Row) throws {
        let access = ExplicitAccess(groups: row.groups, local: 1)
        let requests = try Self.list(row.wanted)
        switch row.result {
        case .success(let changes):
            let plan = try access.plan(for: requests)
            #expect(plan == AccessStatePlan(changes, because: .initiator))
            #expect(access.asksForOptimized(requests) == row.wanted.contains { $0 == (0, 1) })
        case .failure(let sense): #expect(throws: sense) { try access.plan(for: requests) }
        }
    }

    @Test("a plan carried out: states and their cause, the rest as it was")
    func applied() throws {
        let plan = try ExplicitAccess(groups: Self.otherActive, local: 1).plan(for: Self.list([(0, 1)]))
        #expect(
            plan.applied(to: Self.otherActive) == [
                Self.group(1, .activeOptimized, status: 1), Self.group(2, .standby, status: 1),
            ])
    }

    @Test("groups as ceph-iscsi makes them: the preferred one becomes active, if it is here")
    func start() {
        let made = [Self.group(1, .standby, preferred: true, status: 2), Self.group(2, .standby, status: 2)]
        let plan = AccessStatePlan([Change(group: 1, state: .activeOptimized)], because: .target)
        #expect(ExplicitAccess(groups: made, local: 1).atStart == plan)
        #expect(ExplicitAccess(groups: made, local: 2).atStart == nil)
    }

    @Test(
        "what has ever been altered, or is not all standby, is left alone",
        arguments: [
            [group(1, .standby, preferred: true, status: 1), group(2, .standby)],
            [group(1, .standby, preferred: true), group(2, .standby, status: 1)],
            [group(1, .standby, preferred: true), group(2, .activeOptimized)],
            [group(1, .activeOptimized, preferred: true), group(2, .standby)],
            [group(1, .standby, preferred: true, supports: .standby)],
            [],
        ])
    func noStart(groups: [TargetPortGroupDescription]) {
        #expect(ExplicitAccess(groups: groups, local: 1).atStart == nil)
    }

    @Test("another gateway writes: ours becomes standby, and theirs active if there is but one")
    func loss() {
        func plan(_ others: [TargetPortGroupDescription]) -> [Change]? {
            ExplicitAccess(groups: [Self.group(1, .activeOptimized)] + others, local: 1).afterLoss?.changes
        }
        let ours = Change(group: 1, state: .standby)
        #expect(plan([Self.group(2, .standby)]) == [ours, Change(group: 2, state: .activeOptimized)])
        #expect(plan([Self.group(2, .standby), Self.group(3, .standby)]) == [ours])
        #expect(plan([Self.group(2, .standby, supports: .standby)]) == [ours])
        #expect(plan([]) == nil, "the only gateway")
        #expect(plan([Self.group(2, .standby, ports: [])]) == nil, "a group without ports is nobody's")
        #expect(ExplicitAccess(groups: Self.otherActive, local: 1).afterLoss == nil, "not ours to lose")
    }
}
