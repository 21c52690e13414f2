internal import BlockBackend
internal import CRBD
internal import Glibc

/// An open image or snapshot. Closed when it goes out of scope: librbd finishes what is under way, gives back the
/// exclusive lock and drops the watch. Owns its pool context and so its connection.
struct RBDImage: ~Copyable {
    let handle: rbd_image_t
    let context: IOContext
    /// Bytes of the image that encryption takes for its header; 0 for an image served as it is.
    let encryptionHeaderBytes: UInt64
    /// What opening it left to say to the operator.
    let openNotes: [String]
    /// Itself, and the images that it is a clone of.
    let parts: [ImagePart]

    /// Opens the image that `options` names; read-only without watch and lock if asked to or for a snapshot.
    ///
    /// - Throws: ENOENT naming which of namespace, image, snapshot and pool is missing; EPERM where the user lacks a capability;
    ///   ESHUTDOWN where this client is blocklisted; ETIMEDOUT where no OSD answers; ENOSYS for features that the installed
    ///   librbd lacks; what `unlock` throws for an encrypted image.
    init(_ context: consuming IOContext, _ options: RBDOptions) throws(BackendError) {
        let readOnly = options.readOnly || options.snapshot != nil
        var handle: rbd_image_t?
        let code =
            readOnly
            ? rbd_open_read_only(context.handle, options.image, &handle, nil)
            : rbd_open(context.handle, options.image, &handle, nil)
        guard code >= 0, let handle else {
            throw RBDImage.refusal(code, context, options, readOnly: readOnly)
        }
        if let snapshot = options.snapshot {
            // A step of its own, so that a missing snapshot is not taken for a missing image.
            let code = rbd_snap_set(handle, snapshot)
            guard code >= 0 else {
                rbd_close(handle)
                throw failure(
                    code, "cannot open snapshot \(options.spec)", expected: "an existing snapshot of the image")
            }
        }
        let found: [ImagePart]
        let unlocked: (notes: [String], headerBytes: UInt64)
        do throws(BackendError) {
            found = try ImagePart.all(of: handle, context, snapshot: options.snapshot)
            // Order: before anything of librbd's that reads.
            try ImagePart.checkPools(found, context.cluster, options.spec)
            unlocked = try RBDImage.unlockIfEncrypted(handle, options)
        } catch {
            rbd_close(handle)
            throw error
        }
        parts = found
        openNotes = unlocked.notes
        encryptionHeaderBytes = unlocked.headerBytes
        self.handle = handle
        self.context = context
    }

    deinit {
        rbd_close(handle)
    }

    /// Size in bytes of the image or snapshot; of what is within, where it is encrypted.
    func size() throws(BackendError) -> UInt64 {
        try RBDImage.size(handle)
    }

    static func size(_ handle: rbd_image_t) throws(BackendError) -> UInt64 {
        var size: UInt64 = 0
        let code = rbd_get_size(handle, &size)
        if code < 0 { throw failure(code, "cannot read the image's size", expected: "an open image") }
        return size
    }

    /// Bytes of an object and of a stripe unit; the two are equal without fancy striping.
    func layout() throws(BackendError) -> (objectBytes: UInt64, stripeUnitBytes: UInt64) {
        var info = rbd_image_info_t()
        var unit: UInt64 = 0
        var code = rbd_stat(handle, &info, MemoryLayout<rbd_image_info_t>.size)
        if code >= 0 { code = rbd_get_stripe_unit(handle, &unit) }
        if code < 0 { throw failure(code, "cannot read the image's layout", expected: "an open image") }
        return (info.obj_size, unit)
    }

    /// True if clients coordinate writing by the image's exclusive lock; nil if that cannot be read.
    func hasExclusiveLock() -> Bool? { hasFeature(UInt64(RBD_FEATURE_EXCLUSIVE_LOCK)) }

    /// True if writes go through a journal first; nil if that cannot be read.
    func hasJournal() -> Bool? { hasFeature(UInt64(RBD_FEATURE_JOURNALING)) }

    private func hasFeature(_ bit: UInt64) -> Bool? {
        RBDImage.features(handle).map { $0 & bit != 0 }
    }

    /// All features of an open image; nil if they cannot be read.
    static func features(_ handle: rbd_image_t) -> UInt64? {
        var features: UInt64 = 0
        return rbd_get_features(handle, &features) >= 0 ? features : nil
    }

    /// Who holds the exclusive lock, its address as librbd has it; nil if nobody does or it cannot be read.
    func lockOwner() -> String? {
        var mode = RBD_LOCK_MODE_EXCLUSIVE
        var owner: UnsafeMutablePointer<CChar>?
        var count = 1
        guard rbd_lock_get_owners(handle, &mode, &owner, &count) >= 0, count > 0, let owner else { return nil }
        // librbd's own clean-up call takes the array, here the one element.
        var owners: UnsafeMutablePointer<CChar>? = owner
        defer { rbd_lock_get_owners_cleanup(&owners, count) }
        return String(cString: owner)
    }

    /// Pool that holds the image's data, if that is not the pool of its header.
    func dataPool() -> String? {
        let pool = rbd_get_data_pool_id(handle)
        guard pool >= 0, pool != rados_ioctx_get_id(context.handle) else { return nil }
        return textBuffer(1024) { rados_pool_reverse_lookup(context.cluster.handle, pool, $0, $1) }
    }

    /// Options in force for this image, which pool and image metadata (`conf_rbd_…`) may set over ceph.conf and over
    /// what this client has set itself; none where this user may not read them, which librbd then goes without, too.
    ///
    /// - Throws: ETIMEDOUT, ESHUTDOWN: what is not known must not be taken for the best.
    func effectiveSettings(_ wanted: [String]) throws(BackendError) -> [String: String] {
        // Bound: librbd 16.2 lists 77; it says ERANGE and how many where more room is needed.
        var count: CInt = 256
        var found: [String: String] = [:]
        for _ in 0..<2 {
            let room = Int(count)
            let code = withUnsafeTemporaryAllocation(of: rbd_config_option_t.self, capacity: room) { list in
                list.initialize(repeating: rbd_config_option_t())
                let code = rbd_config_image_list(handle, list.baseAddress, &count)
                guard code >= 0 else { return code }
                for option in list.prefix(Int(count)) {
                    guard let name = option.name, let value = option.value else { continue }
                    let text = String(cString: name)
                    if wanted.contains(text) { found[text] = String(cString: value) }
                }
                rbd_config_image_list_cleanup(list.baseAddress, count)
                return code
            }
            switch code {
            case 0..., -EPERM, -EACCES: return found
            case -ERANGE where count > room: continue
            default: throw failure(code, "cannot read the image's settings", expected: "an answer from its pool")
            }
        }
        return found
    }
}
