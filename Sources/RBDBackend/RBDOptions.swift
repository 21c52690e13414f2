public import BlockBackend
internal import SystemPackage

/// Which image to serve and how to reach its cluster. Plain values; whoever reads the configuration fills them in.
public struct RBDOptions: Sendable, Equatable {
    /// Pool of the image.
    public var pool: String
    /// Namespace within the pool; nil is the pool's default namespace.
    public var namespace: String?
    /// Name of the image.
    public var image: String
    /// Snapshot to serve instead of the image's head; such a unit is read-only.
    public var snapshot: String?
    /// Serve the image read-only. No lock is ever taken then.
    public var readOnly = false
    /// How the image is encrypted and where its passphrase is; nil serves its bytes as they are.
    public var encryption: ImageEncryption?
    /// Milliseconds for which a gateway keeps the exclusive lock before it gives it up to another one that asks; nil is
    /// this backend's own choice.
    public var lockHoldMilliseconds: Int?

    /// Milliseconds without a write after which the exclusive lock is given back unasked; 0 keeps it, nil is this backend's own
    /// choice.
    public var lockIdleReleaseMilliseconds: Int?

    /// Seconds after which an operation that no OSD answers fails with ETIMEDOUT. Used if it is longer than the
    /// time in which the cluster notices a dead OSD; else see ``OperationTimeout``.
    public var osdOperationTimeoutSeconds: Int?
    /// Path of ceph.conf. Nil takes librados' default places, and none of them need exist.
    public var confPath: String?
    /// Cephx user without its `client.`; nil is `admin`.
    public var cephxID: String?
    /// Seconds to wait for a monitor when connecting and for each monitor command, unless ceph.conf has its own
    /// `client_mount_timeout` or `rados_mon_op_timeout`: an unreachable cluster must fail, not hang.
    public var connectTimeoutSeconds = 20
    /// Units with the same name here share one connection, and must have the same conf, id, time-outs and settings. Nil is
    /// a connection of its own. Only for units that fail over together: the cluster blocklists whole connections.
    public var connectionGroup: String?
    /// Further librados and librbd settings, applied over ceph.conf: `librados_thread_count`,
    /// `rbd_non_blocking_aio` and so on. `rbd_cache` stays off whatever stands here.
    public var settings: [RBDSetting] = []

    /// The backend's keeper will be started: a write without the exclusive lock never waits for it, it is answered EAGAIN. Without
    /// that, and until the start, it takes the lock where it stands.
    public var locksInBackground = false
    /// Milliseconds between two looks at whether the image is still what it was: for changes of which nobody is told.
    public var lookMilliseconds = 30_000
    /// Target port group whose number is noted in the image's metadata with each taking of the lock, as the original does for
    /// units with explicit ALUA; nil notes nothing.
    public var lockTag: UInt16?

    /// Asked for threads and descriptors before anything connects. The daemon has one for all its units.
    public var budget = ResourceBudget.none

    /// The head of `image` in `pool`, with the defaults for everything else.
    public init(pool: String, image: String) {
        self.pool = pool
        self.image = image
    }

    /// `pool[/namespace]/image[@snapshot]`, as the `rbd` command writes it.
    public var spec: String {
        var spec = pool
        if let namespace { spec += "/" + namespace }
        spec += "/" + image
        if let snapshot { spec += "@" + snapshot }
        return spec
    }

    /// Refuses what would mean something else to librbd than it does here.
    ///
    /// - Throws: EINVAL for an empty name and for a NUL byte, at which a C string would be cut short.
    package func validate() throws(BackendError) {
        let named: [(what: String, value: String?)] = [
            ("pool", pool), ("namespace", namespace), ("image", image), ("snapshot", snapshot),
            ("conf", confPath), ("id", cephxID), ("connection group", connectionGroup),
            ("passphrase file", encryption?.passphraseFile),
        ]
        for (what, value) in named {
            guard let value else { continue }
            if value.isEmpty || value.utf8.contains(0) {
                throw BackendError(
                    .invalidArgument,
                    "rbd \(spec.replacingNUL): bad \(what); expected text without NUL bytes, not empty")
            }
        }
        if connectTimeoutSeconds < 1 {
            throw BackendError(
                .invalidArgument, "rbd \(spec): connect timeout \(connectTimeoutSeconds) s, expected 1 or more")
        }
    }
}

/// One line of ceph.conf: the name of an option and its value as text.
public struct RBDSetting: Sendable, Hashable {
    /// Ceph's name of the option.
    public var name: String
    /// Its value, written as ceph.conf has it.
    public var value: String

    /// `name = value`.
    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

extension String {
    /// The text for a log line, NUL bytes made visible.
    fileprivate var replacingNUL: String {
        String(map { $0 == "\0" ? "?" : $0 })
    }
}
