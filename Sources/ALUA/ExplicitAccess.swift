public import SCSI

/// The rules for a unit whose access states initiators set (SPC-4 5.15.2.8 and 6.45).
///
/// One group is local: its ports are this host's. The others are those of other gateways, and what is known of their
/// states is what follows from ours: of the groups of a unit one at the most is active/optimized, since one gateway
/// at a time holds the image's lock.
public struct ExplicitAccess: Sendable, Equatable {
    /// All groups, as REPORT TARGET PORT GROUPS tells them.
    public let groups: [TargetPortGroupDescription]
    /// The id of the group whose ports are here.
    public let local: UInt16

    /// Rules for these groups.
    public init(groups: [TargetPortGroupDescription], local: UInt16) {
        (self.groups, self.local) = (groups, local)
    }

    /// Whether the local group is active/optimized.
    public var isOptimized: Bool { localGroup?.state == AccessState.activeOptimized.rawValue }

    private var localGroup: TargetPortGroupDescription? { groups.first { $0.identifier == local } }

    // MARK: - SET TARGET PORT GROUPS

    /// What a SET TARGET PORT GROUPS command changes; nothing where all is as it asks for.
    ///
    /// - Throws: INVALID FIELD IN PARAMETER LIST for a group that is not there or is named twice, and for a state that
    ///   the group does not support, or that cannot be asked for (transitioning, offline). SET TARGET PORT GROUPS COMMAND FAILED
    ///   for another gateway's group, unless what is asked for is what becomes of it anyway: initiators may name all
    ///   groups.
    public func plan(for requests: TargetPortGroupRequests) throws(Sense) -> AccessStatePlan {
        var wanted: [UInt16: AccessState] = [:]
        for request in requests.requests {
            guard let state = AccessState(rawValue: request.state), let flag = state.supportFlag else {
                throw .invalidFieldInParameterList(byte: request.offset, bit: 3)
            }
            guard let group = groups.first(where: { $0.identifier == request.group }),
                wanted.updateValue(state, forKey: request.group) == nil
            else { throw .invalidFieldInParameterList(byte: request.offset &+ 2) }
            guard SupportedStates(rawValue: group.supportedStates).contains(flag) else {
                throw .invalidFieldInParameterList(byte: request.offset, bit: 3)
            }
        }
        let plan = AccessStatePlan(
            changes(toLocal: wanted[local], makingOthers: .standby), because: .initiator)
        let result = plan.applied(to: groups)
        for group in result where group.identifier != local {
            guard let state = wanted[group.identifier] else { continue }
            guard group.state == state.rawValue else { throw .setTargetPortGroupsCommandFailed }
        }
        return plan
    }

    /// Whether a list asks for the local group to be active/optimized, for which the right to write is needed.
    public func asksForOptimized(_ requests: TargetPortGroupRequests) -> Bool {
        requests.requests.contains { $0.group == local && $0.state == AccessState.activeOptimized.rawValue }
    }

    // MARK: - Changes of the target's own

    /// What to change when the groups are met as ceph-iscsi makes them, all of them standby and none of them so by an
    /// initiator (by configfs the kernel calls implicit): the preferred one, if it is here, becomes active/optimized. An initiator that does not know of SET
    /// TARGET PORT GROUPS could not use the unit otherwise. nil where nothing is to be done.
    public var atStart: AccessStatePlan? {
        guard let mine = localGroup, mine.preferred, supports(mine, .activeOptimized),
            groups.allSatisfy({ $0.state == AccessState.standby.rawValue && $0.status != 1 })
        else { return nil }
        return AccessStatePlan(
            [AccessStatePlan.Change(group: local, state: .activeOptimized)], because: .target)
    }

    /// What to change when another gateway has taken the right to write while the local group was active/optimized:
    /// it becomes standby, and the other group, if there is but one, active/optimized. nil where nothing is to be
    /// done; a unit without another gateway stays as it is.
    public var afterLoss: AccessStatePlan? {
        let others = groups.filter { $0.identifier != local && !$0.relativePortIdentifiers.isEmpty }
        guard let mine = localGroup, isOptimized, supports(mine, .standby), !others.isEmpty else { return nil }
        var changes = [AccessStatePlan.Change(group: local, state: .standby)]
        if others.count == 1, supports(others[0], .activeOptimized) {
            changes.append(AccessStatePlan.Change(group: others[0].identifier, state: .activeOptimized))
        }
        return AccessStatePlan(changes, because: .otherGateway)
    }

    // MARK: - Pieces

    private func supports(_ group: TargetPortGroupDescription, _ state: SupportedStates) -> Bool {
        SupportedStates(rawValue: group.supportedStates).contains(state)
    }

    /// The local group's change, and if it becomes active/optimized those of all others that are not `rest` yet.
    private func changes(toLocal state: AccessState?, makingOthers rest: AccessState) -> [AccessStatePlan.Change] {
        guard let state, let mine = localGroup else { return [] }
        var changes: [AccessStatePlan.Change] = []
        if mine.state != state.rawValue { changes.append(AccessStatePlan.Change(group: local, state: state)) }
        guard state == .activeOptimized else { return changes }
        for group in groups where group.identifier != local && group.state != rest.rawValue {
            guard supports(group, .standby) else { continue }
            changes.append(AccessStatePlan.Change(group: group.identifier, state: rest))
        }
        return changes
    }
}

extension AccessState {
    /// The bit that says whether a group can be in this state; nil for states that SET TARGET PORT GROUPS cannot ask of
    /// a group: offline is a port's, and transitioning comes by itself.
    public var supportFlag: SupportedStates? {
        switch self {
        case .activeOptimized: .activeOptimized
        case .activeNonOptimized: .activeNonOptimized
        case .standby: .standby
        case .unavailable: .unavailable
        case .logicalBlockDependent: .logicalBlockDependent
        case .offline, .transitioning: nil
        }
    }
}
