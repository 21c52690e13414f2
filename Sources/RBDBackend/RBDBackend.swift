public import BlockBackend
internal import CRBD
internal import SystemPackage

/// A logical unit's blocks on an RBD image, by librbd.
///
/// Data moves between the unit's segments and librbd without a buffer of ours. Finished operations come from
/// librbd's own threads, through the ticket; nothing is polled. The image's cache is off, so an answered write is on
/// stable storage (as `rados` acknowledges it) and FUA costs nothing.
///
/// Locks are left to librbd: the first write takes the exclusive lock, and another client's write asks for it back.
public struct RBDBackend: BlockBackend, ~Copyable, @unchecked Sendable {
    // SAFETY: opened on one thread, then used by the owning loop, then closed on a third: one at a time. librbd's
    // calls may come from any thread.
    /// What the image can do; settled by `open`.
    public let capabilities: BackendCapabilities
    /// Size in bytes of the image or snapshot when it was opened.
    public let size: UInt64

    /// Lines that the operator should see in the log: settings that were adjusted, what could not be found out,
    /// who owns the image's lock.
    public let openNotes: [String]

    /// None: tickets come from librbd's threads.
    public var completionDescriptor: CInt { -1 }

    /// Never: tickets come from librbd's threads.
    public var hasAnswers: Bool { false }

    /// Nothing: nobody else can take the medium away.
    public var keeper: (any BackendKeeper)? { nil }

    /// Never lost.
    public var writeGeneration: UInt64 { 0 }

    /// Always.
    public func claimWriting() -> IOResult { .success }

    /// Nothing is kept of it.
    public func operationFailed(_ code: Int32) {}

    private var image: RBDImage?
    /// The open image, for the I/O calls; the owner is `image`.
    let handle: rbd_image_t
    /// Where surveys are answered; uses image and connection, and so ends before they are closed.
    let surveys: SurveyThread

    /// Connects, opens the image and finds out what it can do. Blocks, bounded by the connect and OSD time-outs;
    /// to be called on a thread of its own, whose signal mask librados' threads inherit.
    ///
    /// - Parameters:
    ///   - expectedSize: block size × number of LBAs in bytes; the image must have exactly that size.
    ///   - blockSize: bytes of the unit's logical block.
    /// - Throws: EINVAL where sizes differ or an option is unusable; ENOENT for a missing pool, namespace, image,
    ///   snapshot or conf; EACCES, EPERM from cephx; ETIMEDOUT where the cluster does not answer; ESHUTDOWN where
    ///   it has blocklisted this client; else what librados says.
    public static func open(
        _ options: RBDOptions, expectedSize: UInt64, blockSize: UInt32
    ) throws(BackendError) -> RBDBackend {
        try options.validate()
        var notes: [String] = []
        let image = try connectAndOpen(options, &notes)

        notes += image.openNotes
        let size = try image.size()
        guard size == expectedSize else {
            let blocks = blockSize > 0 ? "\(expectedSize / UInt64(blockSize)) blocks of \(blockSize)" : "no blocks"
            throw BackendError(
                .invalidArgument,
                "image \(options.spec) has \(size) bytes; expected \(expectedSize), the unit's \(blocks)")
        }
        let capabilities = try settleCapabilities(image, options, blockSize: blockSize, notes: &notes)
        let survey = try ImageSurvey(image)
        return RBDBackend(image: image, survey: survey, size: size, capabilities: capabilities, notes: notes)
    }

    private static func connectAndOpen(
        _ options: RBDOptions, _ notes: inout [String]
    ) throws(BackendError) -> RBDImage {
        let profile = ClientProfile(options)
        let connection = try RadosConnections.shared.connect(profile, group: options.connectionGroup)
        do throws(BackendError) {
            notes = connection.cluster.context.notes
            return try openImage(options, connection)
        } catch {
            guard error.errno == blocklisted, connection.isShared else { throw error }
            RadosConnections.shared.retire(connection)
            let fresh = try RadosConnections.shared.connect(profile, group: options.connectionGroup)
            notes = fresh.cluster.context.notes
            notes.append(
                """
                connection_group \(options.connectionGroup ?? ""): client.\(connection.cluster.instanceID) is blocklisted; \
                connected anew, units opened before stay on the old connection
                """)
            return try openImage(options, fresh)
        }
    }

    private static func openImage(_ options: RBDOptions, _ connection: Connection) throws(BackendError) -> RBDImage
    {
        try RBDImage(IOContext(connection, pool: options.pool, namespace: options.namespace), options)
    }

    private init(
        image: consuming RBDImage, survey: ImageSurvey, size: UInt64, capabilities: BackendCapabilities,
        notes: [String]
    ) {
        handle = image.handle
        surveys = SurveyThread { survey.answer($0) }
        self.image = consume image
        self.size = size
        self.capabilities = capabilities
        openNotes = notes
    }

    /// The number of the client that the image is open by, as `ceph osd dump` and lock owners have it; 0 once closed.
    package var clientInstance: UInt64 {
        switch image {
        case .some(let image): image.context.cluster.instanceID
        case .none: 0
        }
    }

    /// Seconds after which an operation that no OSD has answered fails with ETIMEDOUT: what is in force, which
    /// `osd_op_timeout` need not be (``OperationTimeout``); nil once closed.
    package var operationTimeoutSeconds: Int? {
        switch image {
        case .some(let image): image.context.cluster.context.operationTimeoutSeconds
        case .none: nil
        }
    }

    /// Closes the image, and the connection with its last image. Blocks: librbd flushes, gives back the lock, and with the
    /// cluster away waits for the OSD time-out. Every ticket must be back; operations must not follow.
    public mutating func close() {
        surveys.finish()
        image = nil
    }

    var isOpen: Bool {
        switch image {
        case .some: true
        case .none: false
        }
    }
}

/// Settles what the unit may advertise, and notes what the operator should know.
private func settleCapabilities(
    _ image: borrowing RBDImage, _ options: RBDOptions, blockSize: UInt32, notes: inout [String]
) throws(BackendError) -> BackendCapabilities {
    let layout = try image.layout()
    let settings = image.effectiveSettings([
        "rbd_cache", "rbd_discard_granularity_bytes", "rbd_persistent_cache_mode", "rbd_disable_zero_copy_writes",
    ])
    let geometry = ImageGeometry(
        objectBytes: layout.objectBytes, stripeUnitBytes: layout.stripeUnitBytes,
        discardGranularityBytes: settings["rbd_discard_granularity_bytes"].flatMap(leadingNumber) ?? 65536,
        blockBytes: UInt64(blockSize), libraryVersion: loadedLibraryVersion())

    var capabilities = BackendCapabilities()
    capabilities.readOnly = options.readOnly || options.snapshot != nil
    if !capabilities.readOnly {
        capabilities.discard = geometry.discard
        capabilities.nativeWriteSame = true
        capabilities.nativeWriteZeroes = true
        capabilities.nativeCompareAndWriteBytes = geometry.compareAndWriteBytes
    }
    // Image and pool metadata outrank what a client sets, so the cache can be on in spite of us.
    capabilities.volatileCache = settings["rbd_cache"] == "true"
    capabilities.forceUnitAccess = !capabilities.volatileCache
    if capabilities.volatileCache {
        notes.append("rbd_cache is forced on by pool or image metadata; the unit reports a volatile write cache")
    }
    if !capabilities.readOnly && settings["rbd_disable_zero_copy_writes"] == "false" {
        notes.append(
            "rbd_disable_zero_copy_writes is off: writes that a stalled OSD has not taken outlast osd_op_timeout")
    }
    // A cache writes back in pieces of its own, and a journal's replay may end between two of one write.
    let hasPersistentCache = settings["rbd_persistent_cache_mode"].map { $0 != "disabled" } ?? false
    if !capabilities.readOnly && !capabilities.volatileCache && !hasPersistentCache && image.hasJournal() == false {
        capabilities.atomicWriteBytes = geometry.atomicWriteBytes
    }
    capabilities.reportsAllocation = true
    capabilities.reportsSpace = true
    if options.encryption != nil { capabilities.restrict(toEncrypted: image.encryptionHeaderBytes, geometry) }
    capabilities.optimalTransferBytes = layout.stripeUnitBytes
    // Bound: librbd 16.2 has none (31,000 tried); a ring entry never holds this many.
    capabilities.maximumSegments = 16_384

    let (flash, note) = image.context.cluster.poolIsOnFlash(image.dataPool() ?? options.pool)
    capabilities.solidState = flash
    if let note { notes.append(note) }
    if !capabilities.readOnly { noteLock(image, &notes) }
    return capabilities
}

private func noteLock(_ image: borrowing RBDImage, _ notes: inout [String]) {
    if image.hasExclusiveLock() == false {
        notes.append("the image lacks the exclusive-lock feature: nothing keeps a second gateway from writing it")
    } else if let owner = image.lockOwner() {
        notes.append("the image is in use: \(owner) owns its exclusive lock, and writes wait until it is given up")
    }
}

func loadedLibraryVersion() -> Int {
    var (major, minor, extra): (CInt, CInt, CInt) = (0, 0, 0)
    rbd_version(&major, &minor, &extra)
    return Int(major) << 8 | Int(minor)
}
