public import BlockBackend
internal import CRBD
internal import Glibc
internal import SystemPackage

/// A logical unit's blocks on an RBD image, by librbd.
///
/// Data moves between the unit's segments and librbd without a buffer of ours. Finished operations come from
/// librbd's own threads, through the ticket; nothing is polled. The image's cache is off, so an answered write is on
/// stable storage (as `rados` acknowledges it) and FUA costs nothing.
///
/// The exclusive lock is taken by the first operation that writes and by nothing else; ``keeper`` sees to it, and to what
/// follows when it is lost (docs/adr/0014).
public struct RBDBackend: BlockBackend, ~Copyable, @unchecked Sendable {
    // SAFETY: opened on one thread, then used by the owning loop, then closed on a third: one at a time. librbd's
    // calls may come from any thread.
    /// What the image can do; settled by `open`.
    public let capabilities: BackendCapabilities
    /// Size in bytes that is exported: that of the image or snapshot when it was opened, or what the keeper was told since.
    public var size: UInt64 { side.pointee.size }

    /// Lines that the operator should see in the log: settings that were adjusted, what could not be found out,
    /// who owns the image's lock.
    public let openNotes: [String]

    /// Takes and gives the exclusive lock, opens the image again when it is lost.
    public var keeper: (any BackendKeeper)? { imageKeeper }

    /// Counts the times that the exclusive lock was given up or lost, and that the image was opened again.
    public var writeGeneration: UInt64 { side.pointee.generation.count }

    /// Counts the times that the exclusive lock was given to another gateway on its request, or found in its hands after
    /// this client had been lost.
    public var takeovers: UInt64 { side.pointee.takeovers }

    /// Success with the exclusive lock; `rightAwaited` while it is on its way, EAGAIN where it has to be claimed again later.
    public mutating func claimWriting() -> IOResult {
        if capabilities.readOnly { return IOResult(code: -EROFS) }
        switch side.pointee.access {
        case .writing: return .success
        case .nothing: return IOResult(code: -EAGAIN)
        case .reading:
            switch side.pointee.claim {
            case .none: return imageKeeper.claim()
            case .awaited: return .rightAwaited
            case .refused: return IOResult(code: -EAGAIN)
            }
        }
    }

    /// Writes get EAGAIN until the keeper knows more.
    public mutating func stopAwaitingRight() {
        if side.pointee.claim == .awaited { side.pointee.claim = .refused }
    }

    /// The exclusive lock is not given back at rest meanwhile.
    public mutating func beginNeedingRight() { side.pointee.needs += 1 }

    /// It may be.
    public mutating func endNeedingRight() {
        precondition(side.pointee.needs > 0, "a need for the lock ends that has not begun")
        side.pointee.needs -= 1
    }

    /// Failed writes the keeper knows of already, from librbd's threads; this is for what a read has to say.
    public mutating func operationFailed(_ code: Int32) {
        switch code {
        case -ETIMEDOUT:
            // Only if the mail will be read, which is what ends it: on this loop, and so not before this.
            side.pointee.isStalled = imageKeeper.isStarted && imageKeeper.doubt()
        case -ESHUTDOWN, -ENOTCONN, -ENOENT: _ = imageKeeper.doubt()
        default: break
        }
    }

    /// What the loop uses of the open image. Freed with the keeper.
    let side: UnsafeMutablePointer<LoopSide>
    private let imageKeeper: ImageKeeper
    /// Losses of a volatile cache that initiators know of.
    var toldLosses: UInt64 = 0
    /// False once closed.
    private(set) var isOpen = true

    /// Connects, opens the image and finds out what it can do. Blocks, bounded by the connect and OSD time-outs;
    /// to be called on a thread of its own, whose signal mask librados' threads inherit.
    ///
    /// - Parameters:
    ///   - expectedSize: block size × number of LBAs in bytes, all that is exported; the image must have at least that size.
    ///   - blockSize: bytes of the unit's logical block.
    /// - Throws: EINVAL where the image is too small or an option is unusable; ENOENT for a missing pool, namespace, image,
    ///   snapshot or conf; EACCES, EPERM from cephx; ENOSYS for features of the image that librbd lacks; ETIMEDOUT where
    ///   the cluster does not answer; ESHUTDOWN where it has blocklisted this client; else what librados says.
    public static func open(
        _ options: RBDOptions, expectedSize: UInt64, blockSize: UInt32
    ) throws(BackendError) -> RBDBackend {
        try options.validate()
        var notes: [String] = []
        let image = try connectAndOpen(options, &notes)

        notes += image.openNotes
        try image.checkFeatures(options.spec)
        let size = try image.size()
        guard expectedSize > 0, size >= expectedSize else {
            let blocks = blockSize > 0 ? "\(expectedSize / UInt64(blockSize)) blocks of \(blockSize)" : "no blocks"
            throw BackendError(
                .invalidArgument,
                """
                image \(options.spec) has \(size) bytes; expected at least \(expectedSize), the unit's \(blocks). Resize it to \
                that, or make the LUN anew with the size that it has
                """)
        }
        if size > expectedSize {
            if options.encryption == nil { try image.refuseEncrypted(options.spec, size, expectedSize) }
            notes.append(moreThanExported(bytes: size, exported: expectedSize))
        }
        try image.checkDataPool(options, readOnly: options.readOnly || options.snapshot != nil)
        var capabilities = try image.capabilities(options, blockSize: blockSize, &notes)
        let (flash, note) = image.context.cluster.poolIsOnFlash(image.dataPool() ?? options.pool)
        capabilities.solidState = flash
        if let note { notes.append(note) }
        if !capabilities.readOnly { noteLock(image, &notes) }
        let role = capabilities.readOnly ? MirrorRole.none : try image.mirrorRole()
        let told = ToldFacts(capabilities: capabilities, blockSize: blockSize, notes: notes)
        let keeper = try ImageKeeper(
            image, options, told, exporting: expectedSize, isStandby: !role.allowsWriting)
        return RBDBackend(keeper: keeper, capabilities: capabilities, notes: notes + keeper.session.takeNotes())
    }

    /// Opens the image on a connection of its own or of its group, anew where that is blocklisted.
    static func connectAndOpen(
        _ options: RBDOptions, _ notes: inout [String]
    ) throws(BackendError) -> RBDImage {
        let claim = try options.claim(group: options.connectionGroup)
        defer { withExtendedLifetime(claim) {} }
        let profile = ClientProfile(options)
        let connection = try RadosConnections.shared.connect(profile, group: options.connectionGroup, under: claim)
        do throws(BackendError) {
            notes = connection.cluster.context.notes
            return try openImage(options, connection)
        } catch {
            guard error.errno == blocklisted, connection.isShared else { throw error }
            RadosConnections.shared.retire(connection)
            let fresh = try RadosConnections.shared.connect(profile, group: options.connectionGroup, under: claim)
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

    private init(keeper: ImageKeeper, capabilities: BackendCapabilities, notes: [String]) {
        imageKeeper = keeper
        side = keeper.side
        self.capabilities = capabilities
        openNotes = notes
    }

    /// The number of the client that the image is open by, as `ceph osd dump` and lock owners have it; 0 once closed.
    package var clientInstance: UInt64 { isOpen ? imageKeeper.session.client : 0 }

    /// Seconds after which an operation that no OSD has answered fails with ETIMEDOUT: what is in force, which
    /// `osd_op_timeout` need not be (``OperationTimeout``); nil once closed.
    package var operationTimeoutSeconds: Int? {
        isOpen ? imageKeeper.session.cluster?.context.operationTimeoutSeconds : nil
    }

    /// Closes the image, and the connection with its last image. Blocks: librbd flushes, gives back the lock, and with the
    /// cluster away waits for the OSD time-out. Every ticket must be back; operations must not follow.
    public mutating func close() {
        guard isOpen else { return }
        isOpen = false
        imageKeeper.close()
    }
}

/// Who has the lock, and what keeps this gateway from taking it.
private func noteLock(_ image: borrowing RBDImage, _ notes: inout [String]) {
    guard image.hasExclusiveLock() != false else { return }
    if let owner = image.lockOwner() {
        notes.append(
            "the image is in use: \(owner) owns its exclusive lock; the first write here asks for it, or takes it away"
        )
    }
    if !image.context.cluster.mayBlocklist() {
        notes.append(
            """
            \(image.context.cluster.user) may not blocklist clients, so it cannot take the exclusive lock from one that has \
            died, an earlier daemon of this host included; expected mon capability "profile rbd"
            """)
    }
}

func loadedLibraryVersion() -> Int {
    var (major, minor, extra): (CInt, CInt, CInt) = (0, 0, 0)
    rbd_version(&major, &minor, &extra)
    return Int(major) << 8 | Int(minor)
}
