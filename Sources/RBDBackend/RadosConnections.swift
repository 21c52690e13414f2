internal import BlockBackend
internal import SystemPackage

/// The connections of this process: who shares one, and which contexts they share.
final class RadosConnections: Sendable {
    /// Those of the daemon.
    static let shared = RadosConnections()

    private struct ContextKey: Hashable {
        let profile: ClientProfile
        let conf: ConfStamp
    }

    private let contexts = SharedInstances<ContextKey, RadosContext>()
    private let groups = SharedInstances<String, ConnectionGroup>()

    /// A connection of its own for a unit without a group, the group's for one with it.
    ///
    /// - Parameter claim: that of the image which is to be opened (``RBDOptions/claim(group:)``): librados ends the process when
    ///   it gets no thread, so nobody comes here without.
    /// - Throws: what connecting throws; EINVAL where the group's connection was made with other settings.
    func connect(
        _ profile: ClientProfile, group name: String?, under claim: ResourceClaim
    ) throws(BackendError) -> Connection {
        defer { withExtendedLifetime(claim) {} }
        guard let name else { return Connection(cluster: try open(profile), group: nil) }
        let group = try groups.instance(name) { () throws(BackendError) in
            ConnectionGroup(name, profile, try open(profile))
        }
        if let difference = profile.difference(from: group.profile) {
            throw BackendError(
                .invalidArgument,
                "connection_group \(name) is open with other settings: \(difference); expected the same for all units"
            )
        }
        return Connection(cluster: group.cluster, group: group)
    }

    /// Makes the next unit of its group connect anew. For a connection that the cluster has blocklisted: it never
    /// recovers, and would keep every unit that comes back from opening.
    func retire(_ connection: Connection) {
        if let group = connection.group { groups.retire(group, of: group.name) }
    }

    /// Whether the connection of a group is there.
    func hasGroup(_ name: String) -> Bool { groups.has(name) }

    /// Whether a context for `profile` is there.
    func hasContext(_ profile: ClientProfile) -> Bool {
        contexts.has(ContextKey(profile: profile, conf: ConfStamp(profile.confPath)))
    }

    private func open(_ profile: ClientProfile) throws(BackendError) -> RadosCluster {
        let key = ContextKey(profile: profile, conf: ConfStamp(profile.confPath))
        let context = try contexts.instance(key) { () throws(BackendError) in
            try RadosContext.make(profile)
        }
        return try context.connect()
    }
}

/// A connection, and the group that it belongs to.
struct Connection: Sendable {
    let cluster: RadosCluster
    fileprivate let group: ConnectionGroup?

    /// True if other units use it, or may.
    var isShared: Bool { group != nil }
}

/// Units that share a connection. Each holds it, and with it the connection.
private final class ConnectionGroup: Sendable {
    let name: String
    /// That of the unit that came first.
    let profile: ClientProfile
    let cluster: RadosCluster

    init(_ name: String, _ profile: ClientProfile, _ cluster: RadosCluster) {
        self.name = name
        self.profile = profile
        self.cluster = cluster
    }
}
