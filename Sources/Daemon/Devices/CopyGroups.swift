internal import LogicalUnit
internal import Reactor
internal import Synchronization

/// The copy groups that devices were configured with, by name. A group lives as long as the daemon.
final class CopyGroups: Sendable {
    private let groups = Mutex<[String: CopyGroup]>([:])

    /// The group of that name, made when first asked for.
    func group(named name: String) -> CopyGroup {
        groups.withLock { groups in
            if let group = groups[name] { return group }
            let group = CopyGroup()
            groups[name] = group
            return group
        }
    }
}

/// One unit's place in its copy group.
struct CopyMembership: Sendable {
    let group: CopyGroup
    /// As the unit was made with, but for its capacity after a resize.
    var profile: UnitProfile

    /// The unit is attached, or has another size now: the others may reach it.
    func join(_ unit: any ControlledUnit, _ loop: EngineLoop) {
        group.join(profile, unit: unit, loop: loop)
    }

    /// The unit is about to leave its loop.
    func leave() {
        group.leave(profile)
    }
}
