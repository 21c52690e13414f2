internal import BlockBackend
internal import CRBD

/// A pool and a namespace of a connected cluster. Holds its connection, so that the two end in the right order.
struct IOContext: ~Copyable {
    let handle: rados_ioctx_t
    private let connection: Connection
    var cluster: RadosCluster { connection.cluster }

    /// Opens `pool` for I/O within `namespace`. - Throws: ENOENT where the pool does not exist, EPERM without
    /// the capability to see it.
    init(_ connection: Connection, pool: String, namespace: String?) throws(BackendError) {
        var handle: rados_ioctx_t?
        let code = rados_ioctx_create(connection.cluster.handle, pool, &handle)
        guard code >= 0, let handle else {
            throw failure(
                code, "cannot open pool \(pool) as \(connection.cluster.user)", expected: "an existing pool")
        }
        if let namespace { rados_ioctx_set_namespace(handle, namespace) }
        self.handle = handle
        self.connection = connection
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
