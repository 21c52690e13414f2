internal import BlockBackend
internal import CRBD
internal import Synchronization

/// A handle of one's own for a pool and a namespace, for calls that may be given up.
///
/// librados keeps a plain pointer to the handle of a call that reads until the call has ended: one that was given up must
/// not lose it. So a handle with such a call is never destroyed; some hundred bytes stay.
final class PoolHandle: Sendable {
    // SAFETY: librados' calls may come from any thread.
    nonisolated(unsafe) private let pool: rados_ioctx_t
    private let cluster: RadosCluster
    private let hasGivenUp = Atomic<Bool>(false)

    /// Of the pool with number `pool`. Throws ENOENT where there is none.
    init(_ cluster: RadosCluster, pool: Int64, namespace: String) throws(BackendError) {
        self.pool = try IOContext.handle(cluster, pool: pool, namespace: namespace)
        self.cluster = cluster
    }

    deinit {
        if !hasGivenUp.load(ordering: .relaxed) { rados_ioctx_destroy(pool) }
    }

    /// Runs `body`, which makes an ``AwaitedCall`` with the handle. Returns its result; nil where the call was given up.
    func use<Result>(_ body: (rados_ioctx_t) -> Result?) -> Result? {
        let result = body(pool)
        if result == nil { hasGivenUp.store(true, ordering: .relaxed) }
        return result
    }

    /// For calls that are waited for to their end.
    var handle: rados_ioctx_t { pool }
}
