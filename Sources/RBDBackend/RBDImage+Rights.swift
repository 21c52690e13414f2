internal import BlockBackend
internal import CRBD
internal import Glibc
internal import SystemPackage

extension RBDImage {
    /// Why `rbd_open` failed with `code`, a negative errno: which of namespace, image, feature and capability it is.
    static func refusal(
        _ code: CInt, _ context: borrowing IOContext, _ options: RBDOptions, readOnly: Bool
    ) -> BackendError {
        let tried = "cannot open image \(options.spec) as \(context.cluster.user)"
        switch code {
        case -ENOENT:
            if let namespace = options.namespace, !context.mayHaveNamespace(namespace) {
                return failure(
                    code, "cannot open image \(options.spec)",
                    expected: "namespace \(namespace) to exist in pool \(options.pool)")
            }
        case -EPERM, -EACCES:
            // Monitors have let the client in: what it lacks is in its osd capabilities.
            let place = "pool=\(options.pool)" + (options.namespace.map { " namespace=\($0)" } ?? "")
            return lacking(
                code, tried, pool: options.pool, profile: readOnly ? "rbd-read-only" : "rbd", place: place)
        case -ENOSYS:
            return unsupported(tried, context.features(ofImage: options.image))
        default: break
        }
        return failure(code, tried, expected: "an existing image")
    }

    /// Refuses a user that may open the image but not reach its blocks, which are in another pool. Blocks for one
    /// answer of an OSD; where none comes in time nothing is refused.
    ///
    /// - Throws: EPERM.
    func checkDataPool(_ options: RBDOptions, readOnly: Bool) throws(BackendError) {
        guard let name = dataPool(), let code = probe(pool: name, readOnly: readOnly),
            code == -EPERM || code == -EACCES
        else { return }
        throw Self.lacking(
            code, "cannot \(readOnly ? "read" : "write") image \(options.spec) as \(context.cluster.user)",
            pool: name,
            profile: readOnly ? "rbd-read-only" : "rbd", place: "pool=\(name)")
    }

    /// Longest wait for the answer of a data pool's OSD. It is only asked for the user's rights, so that a pool that is away
    /// holds up no open for long.
    private static let probeMilliseconds = 5_000

    /// Does to an object that is not there what the unit's commands will do to those that are: OSDs look at the user's
    /// rights first. Returns librados' answer; nil where none has come.
    private func probe(pool: String, readOnly: Bool) -> CInt? {
        var information = rbd_image_info_t()
        let number = rados_pool_lookup(context.cluster.handle, pool)
        let namespace = textBuffer(1024) { rados_ioctx_get_namespace(context.handle, $0, UInt32($1)) }
        guard rbd_stat(handle, &information, MemoryLayout<rbd_image_info_t>.size) >= 0, number >= 0,
            let place = try? PoolHandle(context.cluster, pool: number, namespace: namespace ?? "")
        else { return nil }
        let prefix = withUnsafeBytes(of: information.block_name_prefix) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        // Capabilities may name a prefix of objects; librbd's own names go on with a number.
        let object = prefix + ".rights"
        return place.use { pointer in
            AwaitedCall.run(milliseconds: Self.probeMilliseconds) { completion, _ in
                if readOnly {
                    let operation = rados_create_read_op()
                    defer { rados_release_read_op(operation) }
                    rados_read_op_assert_exists(operation)
                    return rados_aio_read_op_operate(operation, pointer, completion, object, 0)
                }
                let operation = rados_create_write_op()
                defer { rados_release_write_op(operation) }
                rados_write_op_assert_exists(operation)
                rados_write_op_remove(operation)
                return rados_aio_write_op_operate(operation, pointer, completion, object, nil, 0)
            }?.code
        }
    }

    private static func lacking(
        _ code: CInt, _ tried: String, pool: String, profile: String, place: String
    ) -> BackendError {
        BackendError(
            Errno(rawValue: -code),
            """
            \(tried): its osd capabilities do not suffice for pool \(pool); expected those of "profile \(profile) \
            \(place)" (`ceph auth caps`)
            """)
    }
}

extension RadosCluster {
    /// Whether this client may blocklist others, which breaking a lock takes. Asks for an entry that no monitor makes, since
    /// it has no time that it would be for; monitors look at the user's rights first. True if that cannot be found out.
    func mayBlocklist() -> Bool {
        let outcome = monitorCommand(
            #"{"prefix": "osd blocklist", "blocklistop": "add", "addr": "0.0.0.0:0/0", "expire": "none"}"#)
        guard case .failure(let errno) = outcome else { return true }
        return errno != .permissionDenied && errno != .notPermitted
    }
}
