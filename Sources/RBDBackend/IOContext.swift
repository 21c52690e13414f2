internal import BlockBackend
internal import CRBD

/// A pool and a namespace of a connected cluster. Holds its connection, so that the two end in the right order.
struct IOContext: ~Copyable {
    let handle: rados_ioctx_t
    private let connection: Connection
    var cluster: RadosCluster { connection.cluster }

    /// Opens `pool` for I/O within `namespace`. Throws ENOENT where the pool does not exist, EPERM without the capability to
    /// see it.
    init(_ connection: Connection, pool: String, namespace: String?) throws(BackendError) {
        var handle: rados_ioctx_t?
        let code = rados_ioctx_create(connection.cluster.handle, pool, &handle)
        guard code >= 0, let handle else {
            throw failure(
                code, "cannot open pool \(pool) as \(connection.cluster.user)", expected: "an existing pool")
        }
        if let namespace { rados_ioctx_set_namespace(handle, namespace) }
        IOContext.failWhenFull(handle)
        self.handle = handle
        self.connection = connection
    }

    /// A handle of its own for the same pool and namespace, to be destroyed by who asks for it.
    func anotherHandle() throws(BackendError) -> rados_ioctx_t {
        let name = textBuffer(1024) { rados_ioctx_get_namespace(handle, $0, UInt32($1)) }
        return try IOContext.handle(cluster, pool: rados_ioctx_get_id(handle), namespace: name)
    }

    /// A handle for the pool with number `pool`, to be destroyed by who asks for it. Throws ENOENT where there is none.
    static func handle(
        _ cluster: RadosCluster, pool: Int64, namespace: String?
    ) throws(BackendError) -> rados_ioctx_t {
        var handle: rados_ioctx_t?
        let code = rados_ioctx_create2(cluster.handle, pool, &handle)
        guard code >= 0, let handle else {
            throw failure(code, "cannot open pool number \(pool)", expected: "an existing pool")
        }
        if let namespace, !namespace.isEmpty { rados_ioctx_set_namespace(handle, namespace) }
        failWhenFull(handle)
        return handle
    }

    /// Has operations that find no room in a full pool fail with ENOSPC, or EDQUOT at a quota.
    ///
    /// Otherwise librados waits for room with every operation that may write, those that need none included: opening an
    /// image, its lock, deallocation, closing it. librbd takes this over from the context that an image is opened with
    /// (Ceph 16.2.5 and newer), for its watch and for the pool of the image's data, too.
    private static func failWhenFull(_ handle: rados_ioctx_t) {
        rados_set_pool_full_try(handle)
    }

    deinit {
        rados_ioctx_destroy(handle)
    }

    /// False only if librbd says for certain that the pool has no such namespace.
    func mayHaveNamespace(_ name: String) -> Bool {
        var exists = true
        return rbd_namespace_exists(handle, name, &exists) < 0 || exists
    }
}
