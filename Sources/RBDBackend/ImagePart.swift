internal import BlockBackend
internal import CRBD
internal import Glibc
internal import SystemPackage

/// One of the images that the blocks of an open image come from: itself, and those that it is a clone of.
struct ImagePart: Equatable, Sendable {
    /// Number of the pool that has the header.
    let pool: Int64
    let namespace: String
    /// What its header is called by.
    let identifier: String
    /// Number of the snapshot that is read; ``head`` without one.
    let snapshot: UInt64
    /// Number of the pool that has its data.
    let dataPool: Int64

    /// What Ceph calls the state without a snapshot (CEPH_NOSNAP).
    static let head = UInt64.max - 1
    /// Bound: clones of clones that are followed. librbd keeps each of them open.
    private static let deepest = 16

    var header: String { "rbd_header." + identifier }

    /// The parts of an open image, itself first. Blocks for some answers of OSDs for each image that it is a clone of.
    ///
    /// - Throws: ENOENT where an image that it is a clone of, or the pool of its header, is not there. One that may not be read
    ///   ends the list; librbd has its say about that.
    static func all(
        of handle: rbd_image_t, _ context: borrowing IOContext, snapshot: String?
    ) throws(BackendError) -> [ImagePart] {
        var number = head
        if let snapshot {
            let code = rbd_snap_get_id(handle, snapshot, &number)
            if code < 0 { throw failure(code, "cannot look up snapshot \(snapshot)", expected: "an existing one") }
        }
        let namespace = textBuffer(1024) { rados_ioctx_get_namespace(context.handle, $0, UInt32($1)) } ?? ""
        let pool = rados_ioctx_get_id(context.handle)
        return try all(of: handle, context.cluster, pool: pool, namespace: namespace, number)
    }

    /// As above, of an image that is opened for it.
    static func all(anewOf part: ImagePart, _ cluster: RadosCluster) throws(BackendError) -> [ImagePart] {
        let image = try LookedAtImage(cluster, part.pool, part.namespace, part.identifier, part.snapshot)
        return try all(
            of: image.handle, cluster, pool: part.pool, namespace: part.namespace, part.snapshot)
    }

    private static func all(
        of handle: rbd_image_t, _ cluster: RadosCluster, pool: Int64, namespace: String, _ snapshot: UInt64
    ) throws(BackendError) -> [ImagePart] {
        var parts = [try ImagePart(handle, pool: pool, namespace: namespace, snapshot: snapshot)]
        var child = handle
        // Keeps the one open that `child` stands for.
        var opened: LookedAtImage?
        while parts.count <= deepest {
            var image = rbd_linked_image_spec_t()
            var snapshot = rbd_snap_spec_t()
            guard rbd_get_parent(child, &image, &snapshot) >= 0 else { break }
            defer {
                rbd_linked_image_spec_cleanup(&image)
                rbd_snap_spec_cleanup(&snapshot)
            }
            let namespace = image.pool_namespace.map { String(cString: $0) } ?? ""
            guard let identifier = image.image_id.map({ String(cString: $0) }) else { break }
            do throws(BackendError) {
                let parent = try LookedAtImage(cluster, image.pool_id, namespace, identifier, snapshot.id)
                parts.append(
                    try ImagePart(
                        parent.handle, pool: image.pool_id, namespace: namespace, snapshot: snapshot.id))
                child = parent.handle
                opened = parent
            } catch {
                guard error.errno == .noSuchFileOrDirectory else { break }
                throw error
            }
        }
        withExtendedLifetime(opened) {}
        return parts
    }

    private init(
        _ handle: rbd_image_t, pool: Int64, namespace: String, snapshot: UInt64
    ) throws(BackendError) {
        guard let identifier = textBuffer(256, { rbd_get_id(handle, $0, $1) }) else {
            throw BackendError(.ioError, "cannot read an image's id; expected an open image of format 2")
        }
        self.pool = pool
        self.namespace = namespace
        self.identifier = identifier
        self.snapshot = snapshot
        let data = rbd_get_data_pool_id(handle)
        dataPool = data >= 0 ? data : pool
    }

    /// Refuses an image of which a pool is missing that has blocks of it: librbd opens it all the same, and ends the process
    /// with the first of its operations there (`ObjectRequest`'s constructor asserts that its pool is valid, Ceph 16 to 19).
    ///
    /// - Throws: ENOENT.
    static func checkPools(_ parts: [ImagePart], _ cluster: RadosCluster, _ spec: String) throws(BackendError) {
        for (index, part) in parts.enumerated() where !cluster.hasPool(part.dataPool) {
            let whose = index == 0 ? "image \(spec)" : "image id \(part.identifier), which \(spec) is a clone of,"
            throw BackendError(
                .noSuchFileOrDirectory,
                "\(whose) has its data in pool number \(part.dataPool), which does not exist; expected that pool")
        }
    }
}

/// An image opened by its id, to be asked and closed again.
private final class LookedAtImage {
    let handle: rbd_image_t
    private let pool: PoolHandle

    init(
        _ cluster: RadosCluster, _ pool: Int64, _ namespace: String, _ identifier: String, _ snapshot: UInt64
    ) throws(BackendError) {
        self.pool = try PoolHandle(cluster, pool: pool, namespace: namespace)
        var handle: rbd_image_t?
        let code = rbd_open_by_id_read_only(self.pool.handle, identifier, &handle, nil)
        guard code >= 0, let handle else {
            throw failure(code, "cannot open image id \(identifier)", expected: "an existing image")
        }
        if snapshot != ImagePart.head {
            let code = rbd_snap_set_by_id(handle, snapshot)
            guard code >= 0 else {
                rbd_close(handle)
                throw failure(
                    code, "cannot open snapshot \(snapshot) of image id \(identifier)", expected: "an existing one")
            }
        }
        self.handle = handle
    }

    deinit {
        rbd_close(handle)
    }
}

extension RadosCluster {
    /// Whether the cluster's map, as this client has it, knows a pool of that number.
    func hasPool(_ number: Int64) -> Bool {
        // The name's length is an errno where there is none; ERANGE for a longer one is a pool all the same.
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1024) { room in
            rados_pool_reverse_lookup(handle, number, room.baseAddress, room.count) != -ENOENT
        }
    }
}
