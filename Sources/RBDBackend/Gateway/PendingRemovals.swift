internal import CRBD
package import Synchronization
internal import SystemPackage

/// Former clients of this process whose blocklist entries may be removed, and when.
///
/// A blocklist entry keeps operations of a fenced client from coming back to life: one that sits in the queue of an OSD
/// that hangs would still be carried out. Once an OSD has hung for as long as the cluster takes to notice a dead one, it is marked
/// down, and drops what came before when it returns. So an entry is needed for twice that time after its client was
/// closed, and not longer.
package struct PendingRemovals: Sendable {
    private struct Entry: Sendable {
        let cluster: String
        let addresses: [ClientAddress]
        let due: Duration
    }

    private var entries: [Entry] = []

    /// Bound: one per lost connection; the list itself forgets entries after an hour by default.
    private static let most = 4096

    /// An empty queue.
    package init() {}

    /// Notes that the client of `addresses` has been closed at `now`.
    ///
    /// - Parameters:
    ///   - cluster: the cluster and the user that may remove the entry (``RadosCluster/removals``).
    ///   - now: time by a clock that is the same for all calls.
    ///   - detectionSeconds: time in which the cluster notices a dead OSD.
    package mutating func add(
        _ addresses: [ClientAddress], of cluster: String, closedAt now: Duration, detectionSeconds: Int
    ) {
        // Bound: an entry lasts an hour; a wait that long means that it is never removed.
        let wait = min(max(detectionSeconds, 0), 3600) * 2
        enter(addresses, of: cluster, due: now + .seconds(wait))
    }

    /// Puts back what could not be removed from the list, to be tried again at `due`.
    package mutating func enter(_ addresses: [ClientAddress], of cluster: String, due: Duration) {
        guard !addresses.isEmpty else { return }
        if entries.count >= PendingRemovals.most { entries.removeFirst() }
        entries.append(Entry(cluster: cluster, addresses: addresses, due: due))
    }

    /// Addresses of `cluster` whose time has come; they are no longer in the queue.
    package mutating func takeDue(_ now: Duration, of cluster: String) -> [ClientAddress] {
        let due = entries.filter { $0.due <= now && $0.cluster == cluster }
        entries.removeAll { $0.due <= now && $0.cluster == cluster }
        return due.flatMap(\.addresses)
    }

    /// When the next one's time comes; nil where none of `cluster` waits.
    package func nextDue(of cluster: String) -> Duration? {
        entries.filter { $0.cluster == cluster }.map(\.due).min()
    }
}

/// The queue of this process: whichever image of a cluster and user looks first when the time has come removes the entry.
package let pendingRemovals = Mutex(PendingRemovals())

extension RadosCluster {
    /// The cluster's id; empty where librados does not say.
    var fsid: String { textBuffer(64) { rados_cluster_fsid(handle, $0, $1) } ?? "" }

    /// Names the entries that clients like this one see to. Another user may have other rights: one that may not remove entries
    /// must not take away what another could.
    var removals: String { "\(fsid) \(user)" }

    /// Removes what is due at `now` from the cluster's blocklist; what fails is due again a minute later, but for a
    /// user that may not do it. Blocks for a few monitor commands, or not at all where nothing is due.
    ///
    /// - Returns: the addresses that had been listed; EACCES or EPERM where they stay until they expire.
    func removeDueBlocklistEntries(_ now: Duration) -> Result<[ClientAddress], Errno> {
        let removals = removals
        let due = pendingRemovals.withLock { $0.takeDue(now, of: removals) }
        guard !due.isEmpty else { return .success([]) }
        let outcome = Blocklist.remove(due, by: self)
        switch outcome {
        case .success, .failure(.permissionDenied), .failure(.notPermitted): break
        case .failure:
            pendingRemovals.withLock { $0.enter(due, of: removals, due: now + .seconds(60)) }
        }
        return outcome
    }
}
