internal import BlockBackend
public import Reactor
internal import SCSI
internal import Synchronization

/// Logical units that may copy from and to one another by EXTENDED COPY.
///
/// Whoever may write one LUN of a group can read and overwrite all the others through it, whatever LUN masking says
/// (CVE-2020-28374). So a unit is in a group only where its configuration names one, and without a group it copies
/// within itself alone.
public final class CopyGroup: Sendable {
    private struct Member {
        let peer: CopyPeer
        /// NAA designator; nil until the unit has learned it.
        var designator: [UInt8]?
    }

    private let members = Mutex<[CopyIdentity: Member]>([:])

    /// An empty group.
    public init() {}

    /// Makes an attached unit reachable for the others; once more when its capacity has changed. A unit that has left is not
    /// put here again, whatever was under way meanwhile.
    ///
    /// - Parameter profile: the one that the unit was made with.
    public func join(_ profile: UnitProfile, unit: any ControlledUnit, loop: EngineLoop) {
        let peer = CopyPeer(capacity: profile.capacity) { request in
            loop.ask(unit) {
                unit.serve(request)
            } otherwise: {
                request.ticket.post(.goneAway)
            }
        }
        let identity = profile.copyIdentity
        members.withLock { members in
            guard !identity.hasLeft.load(ordering: .relaxed) else { return }
            members[identity] = Member(peer: peer, designator: members[identity]?.designator)
        }
    }

    /// The unit is about to leave its loop for good: no new request reaches it.
    public func leave(_ profile: UnitProfile) {
        members.withLock { members in
            profile.copyIdentity.hasLeft.store(true, ordering: .relaxed)
            members[profile.copyIdentity] = nil
        }
    }

    /// The unit has learned by which designator initiators name it; nil for none.
    func announce(_ identity: CopyIdentity, designator: [UInt8]?) {
        members.withLock { $0[identity]?.designator = designator }
    }

    /// The one unit that has this designator; nil where there is none, or two claim it.
    func peer(_ designator: [UInt8]) -> CopyPeer? {
        members.withLock { members in
            let found = members.values.filter { $0.designator == designator }
            return found.count == 1 ? found.first?.peer : nil
        }
    }
}

/// Tells a unit from all others of its group. Names do not: two backstores under different HBAs may have the same, and a
/// unit that is added again that of the one before it, which may not have ended yet.
final class CopyIdentity: Sendable, Hashable {
    /// The unit has left its group; read and written under the group's lock.
    let hasLeft = Atomic<Bool>(false)

    static func == (one: CopyIdentity, other: CopyIdentity) -> Bool { one === other }

    func hash(into hasher: inout Hasher) {
        hasher.combine(ObjectIdentifier(self))
    }
}

/// Another unit of the group, as the copying one sees it.
struct CopyPeer: Sendable {
    let capacity: Capacity
    /// Leaves a request with it; the ticket is posted in the end, always.
    let submit: @Sendable (PeerRequest) -> Void
}

/// A read or a write that one unit carries out for another.
public struct PeerRequest: @unchecked Sendable {
    // SAFETY: the memory belongs to the asking command, which is in flight until the ticket is posted.
    let isWrite: Bool
    /// A segment of the copy begins with it: whom LIO excludes is asked anew.
    let isFirst: Bool
    let range: BlockRange
    let memory: UnsafeMutableRawBufferPointer
    let ticket: IOTicket
}

extension IOResult {
    /// The other unit is not there any longer, or is being stopped (ESHUTDOWN).
    static var goneAway: IOResult { IOResult(code: -108) }
}
