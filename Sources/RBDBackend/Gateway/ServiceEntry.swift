internal import CRBD
internal import Glibc
package import SystemPackage

/// An image's state as ceph-iscsi, the dashboard and Prometheus read it from the cluster's managers.
package struct ServiceStatus: Sendable, Equatable {
    /// This gateway holds the image's exclusive lock.
    package var isLockOwner = false
    /// Times that it was lost to others. Counts up while the process lives, as do the next two.
    package var locksLost: UInt64 = 0
    /// Times that the connection to the cluster was lost.
    package var connectionsLost: UInt64 = 0
    /// Commands that no OSD answered in time.
    package var commandsTimedOut: UInt64 = 0

    /// Of an image that was just opened for the first time.
    package init() {}

    /// Keys and values as the original has them.
    package var entries: [(key: String, value: String)] {
        [
            ("lock_owner", isLockOwner ? "true" : "false"), ("lock_lost_cnt", "\(locksLost)"),
            ("conn_lost_cnt", "\(connectionsLost)"), ("cmd_timed_out_cnt", "\(commandsTimedOut)"),
        ]
    }
}

/// An image's entry in the cluster's service map, under the name that the original has there: what `ceph -s`, ceph-iscsi and
/// the dashboard know gateways by. Gone when the connection is closed.
package struct ServiceEntry: @unchecked Sendable {
    // SAFETY: librados' calls may come from any thread; whoever made this keeps the connection.
    private let cluster: rados_t

    /// Name of the service.
    package static let service = "tcmu-runner"

    /// Registers the image on `cluster`. A connection takes one registration, ever.
    ///
    /// - Parameter host: the node's name.
    /// - Returns: EEXIST where another image of the same connection has its entry.
    static func register(
        on cluster: RadosCluster, host: String = nodeName(), options: RBDOptions, imageID: String
    ) -> Result<ServiceEntry, Errno> {
        let code = serviceDictionary(metadata(host: host, options: options, imageID: imageID))
            .withUnsafeBufferPointer {
                rados_service_register(cluster.handle, service, identity(host: host, options), $0.baseAddress)
            }
        return outcome(code).map { ServiceEntry(cluster: cluster.handle) }
    }

    /// Tells the managers of `status`, with their next report: every 5 s. Does not block.
    package func update(_ status: ServiceStatus) -> Result<Void, Errno> {
        let code = serviceDictionary(status.entries).withUnsafeBufferPointer {
            rados_service_update_status(cluster, $0.baseAddress)
        }
        return outcome(code)
    }

    /// The entry's name. ceph-iscsi cuts it at the first colon, and dies where there is none.
    package static func identity(host: String, _ options: RBDOptions) -> String {
        var options = options
        options.snapshot = nil
        return "\(host):\(options.spec)"
    }

    /// What is told once, beside what librados adds: `hostname`, `ceph_version` and more.
    package static func metadata(
        host: String, options: RBDOptions, imageID: String
    ) -> [(key: String, value: String)] {
        [
            ("pool_name", options.pool), ("image_name", options.image), ("image_id", imageID),
            ("daemon_type", "portal"), ("daemon_prefix", host),
        ]
    }
}

/// librados' form of a dictionary: keys and values in turn, each ended by a NUL, and an empty key at the end. An entry
/// with an empty key or a NUL in it would cut the rest off, and is left out.
package func serviceDictionary(_ entries: [(key: String, value: String)]) -> [CChar] {
    var bytes: [CChar] = []
    for (key, value) in entries where !key.isEmpty && !key.utf8.contains(0) && !value.utf8.contains(0) {
        bytes += Array(key.utf8CString) + Array(value.utf8CString)
    }
    return bytes + [0]
}

/// This machine's name, as `uname -n` has it.
package func nodeName() -> String {
    var names = utsname()
    guard uname(&names) == 0 else { return "localhost" }
    return withUnsafeBytes(of: names.nodename) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}

extension RBDImage {
    /// The image's id, which outlasts renaming: `10162e2c292a`; nil where librbd does not say.
    var identifier: String? { textBuffer(256) { rbd_get_id(handle, $0, $1) } }
}
