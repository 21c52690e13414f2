public import SCSI

/// New access states for some of a unit's target port groups.
public struct AccessStatePlan: Sendable, Equatable {
    /// Why a state changes.
    public enum Cause: Sendable, BitwiseCopyable {
        /// A SET TARGET PORT GROUPS command.
        case initiator
        /// Another gateway has taken the right to write, as its initiators will have asked it to.
        case otherGateway
        /// The target itself.
        case target

        /// STATUS CODE (SPC-4 6.37): altered by SET TARGET PORT GROUPS is 1, by implicit behaviour 2.
        public var status: UInt8 {
            switch self {
            case .initiator, .otherGateway: 1
            case .target: 2
            }
        }
    }

    /// One group's new state.
    public struct Change: Sendable, Equatable, BitwiseCopyable {
        /// TARGET PORT GROUP: the group's id.
        public let group: UInt16
        /// What its state is to be.
        public let state: AccessState

        public init(group: UInt16, state: AccessState) {
            (self.group, self.state) = (group, state)
        }
    }

    /// What is to change; groups that stay as they are do not appear.
    public let changes: [Change]
    /// Why.
    public let cause: Cause

    public init(_ changes: [Change], because cause: Cause) {
        (self.changes, self.cause) = (changes, cause)
    }

    /// How the groups are described once the plan is carried out.
    public func applied(to groups: [TargetPortGroupDescription]) -> [TargetPortGroupDescription] {
        groups.map { group in
            guard let change = changes.first(where: { $0.group == group.identifier }) else { return group }
            var changed = group
            (changed.state, changed.status) = (change.state.rawValue, cause.status)
            return changed
        }
    }
}
