internal import BlockBackend
internal import CRBD
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// What an open image tells by itself, on a thread of librados or librbd. Must not block.
struct SessionHandlers: Sendable {
    /// A write ended with this positive errno.
    let writeFailed: @Sendable (Int32) -> Void
    /// Somebody wants the lock. Returns what is answered at once; nil for an answer that comes later.
    let asked: @Sendable (HandOverMailbox.Question) -> HandOverReply.Verdict?
    /// A watch broke, or the image's header changed.
    let doubted: @Sendable () -> Void
    /// The header of an image that librbd does not watch has changed; whoever changed it waits, a few seconds, until the argument
    /// is called.
    let changed: @Sendable (@escaping @Sendable () -> Void) -> Void
    /// Stands for the LUN.
    let owner: ObjectIdentifier
}

/// An image open by one client, with everything that ends with it: watch, mailbox, service entry, surveys.
final class ImageSession: @unchecked Sendable {
    // SAFETY: what changes is touched by one thread at a time: the opener, the keeper's, the closer.
    let handle: rbd_image_t
    /// The connection; nil once closed.
    private(set) var cluster: RadosCluster?
    /// Number of the client.
    let client: UInt64
    let addresses: [ClientAddress]
    /// Bytes of the image when it was opened.
    let size: UInt64
    let lock: ImageLock
    let writes: WriteGauges
    let surveys: SurveyThread
    /// False for images that anybody may write at any time.
    let hasLock: Bool
    /// True for images of which librbd reads only what it has the lock of.
    let readsNeedLock: Bool
    private let features: UInt64?
    let options: RBDOptions
    private(set) var mailbox: HandOverMailbox?
    private let service: ServiceEntry?
    /// The user has not been refused a watch.
    private var mayWatchHeader = true
    /// What could not be had, for the log.
    private(set) var notes: [String] = []
    private let handlers: SessionHandlers
    private let updates: Unmanaged<UpdateHandler>
    private var updateWatch: UInt64?
    private(set) var image: RBDImage?
    private(set) var headerObject: String?
    /// What it depends on; nil once closed.
    private var facts: ImageFacts?
    /// On the header, where librbd has none.
    private var headerWatch: ObjectWatch?
    /// Bytes that encryption takes of the image.
    private let encryptionHeaderBytes: UInt64
    /// Bytes as of the last look, without regard to encryption.
    private var lookedAtBytes: UInt64?
    /// Number of the image's pool.
    let poolID: Int64

    private let place: OpenImages.Key?

    /// Takes an open image over. Blocks for a few answers of OSDs.
    ///
    /// - Throws: EBUSY where the client, a group's, has the image open for another LUN.
    init(_ image: consuming RBDImage, _ options: RBDOptions, _ handlers: SessionHandlers) throws(BackendError) {
        let survey = try ImageSurvey(image)
        let identifier = image.identifier
        let isReadOnly = options.readOnly || options.snapshot != nil
        place =
            isReadOnly
            ? nil
            : OpenImages.Key(
                client: UInt(bitPattern: image.context.cluster.handle),
                pool: rados_ioctx_get_id(image.context.handle),
                namespace: options.namespace ?? "", header: identifier ?? options.image)
        size = try image.size()
        poolID = rados_ioctx_get_id(image.context.handle)
        handle = image.handle
        let cluster = image.context.cluster
        self.cluster = cluster
        client = cluster.instanceID
        addresses = cluster.addresses
        lock = ImageLock(image)
        hasLock = !isReadOnly && image.hasExclusiveLock() ?? true
        readsNeedLock = !isReadOnly && image.readsNeedLock()
        features = RBDImage.features(image.handle)
        surveys = SurveyThread { survey.answer($0) }
        writes = WriteGauges(
            WriteFailureHandler(report: handlers.writeFailed),
            timeoutSeconds: cluster.context.operationTimeoutSeconds)
        updates = .passRetained(UpdateHandler(changed: handlers.doubted))
        self.handlers = handlers
        self.options = options
        headerObject = identifier.map { "rbd_header." + $0 }
        facts = try ImageFacts(image.parts, cluster, wasRenewed: handlers.doubted)
        encryptionHeaderBytes = image.encryptionHeaderBytes

        if let place, !OpenImages.shared.enter(place, handlers.owner) {
            throw BackendError(
                .resourceBusy,
                """
                image \(options.spec) is open behind another LUN of connection_group \(options.connectionGroup ?? ""), and one \
                client has one lock of an image; expected one LUN per image, or another connection_group, or none, for this one
                """)
        }
        switch ServiceEntry.register(on: cluster, options: options, imageID: identifier ?? "") {
        case .success(let entry): service = entry
        case .failure(let errno):
            service = nil
            notes.append(
                errno == .fileExists
                    ? "no entry in the service map: another image of its connection_group has it, and there is one per connection"
                    : "no entry in the service map: \(reason(errno))")
        }
        self.image = consume image
        LiveClients.shared.add(client)
        if isReadOnly {
            watchHeader()
        } else {
            watchUpdates()
            openMailbox()
        }
    }

    deinit {
        close()
    }

    /// Leaves the image open for as long as the process lives: closing it would give back a lock that must be broken.
    func abandon() {
        _ = Unmanaged.passRetained(self)
    }

    /// Closes the image: what was started on it is waited for, the lock is given back, watches end. Blocks, with the
    /// cluster away for the OSD time-out. The loop must not use it any longer.
    func close() {
        guard image != nil else { return }
        surveys.join()
        mailbox = nil
        headerWatch = nil
        facts = nil
        if let updateWatch { rbd_update_unwatch(handle, updateWatch) }
        updateWatch = nil
        // Callbacks of cached writes use the image once more: they must be over before it is closed.
        _ = waitUntil(milliseconds: 60_000) { writes.isQuiet }
        image = nil
        cluster = nil
        LiveClients.shared.remove(client)
        updates.release()
        if let place { OpenImages.shared.leave(place) }
        // A callback that librbd still owes would write there; none was ever seen.
        guard waitUntil(milliseconds: 1000, { writes.isQuiet }) else { return }
        writes.free()
    }

    /// Writes of this client may be carried out yet: under way, or timed out. To be asked when the loop lets no more
    /// through. Asked of the callbacks' own count and not of their mail, which may not have been read.
    var hasUncertainWrites: Bool { writes.ended < writes.started || writes.isUncertain }

    /// Waits until `started` writes have ended. Returns false if that took too long.
    func waitForWrites(started: UInt64, milliseconds: Int64) -> Bool {
        waitUntil(milliseconds: milliseconds) { writes.ended >= started }
    }

    private func waitUntil(milliseconds: Int64, _ isSo: () -> Bool) -> Bool {
        let deadline = KeeperClock.now + milliseconds
        while !isSo() {
            if KeeperClock.now >= deadline { return false }
            usleep(500)
        }
        return true
    }

    /// Tells the cluster's managers.
    func publish(_ status: ServiceStatus) {
        _ = service?.update(status)
    }

    /// A look at the image that only OSDs can answer. Returns 0, or a positive errno: ENOENT where it or some of what it
    /// depends on is gone, ETIMEDOUT after ``ImageFacts/milliseconds``.
    func probe() -> Int32 {
        guard let facts else { return 0 }
        switch facts.look() {
        case .failure(let errno): return errno.rawValue
        case .success(let bytes):
            lookedAtBytes = bytes
            return 0
        }
    }

    /// Bytes that the image has now, within its encryption. Of one that was opened read-only librbd knows the first size only.
    var bytesNow: UInt64? {
        guard isReadOnly else { return try? RBDImage.size(handle) }
        return lookedAtBytes.map { $0 > encryptionHeaderBytes ? $0 - encryptionHeaderBytes : 0 }
    }

    /// True where nothing is written and librbd watches nothing.
    var isReadOnly: Bool { options.readOnly || options.snapshot != nil }

    /// Makes the mailbox if there is none, and anew if its watch has ended. Returns 0, or a positive errno that says that the
    /// cluster cannot be used; that there can be no mailbox, as under a name that the image no longer has, is a note
    /// (``takeNotes()``), and the next call tries again.
    func renewMailbox() -> Int32 {
        if let mailbox, case .success = mailbox.age() { return 0 }
        // Its watch is over, or there is none; ended before the next one begins.
        mailbox = nil
        switch openMailbox() {
        case ETIMEDOUT: return ETIMEDOUT
        case ESHUTDOWN: return ESHUTDOWN
        case ENOTCONN: return ENOTCONN
        default: return 0
        }
    }

    /// What could not be had since this was asked last, for the log.
    func takeNotes() -> [String] {
        defer { notes = [] }
        return notes
    }

    /// Whether the image still has the features that decide how it is used, as far as that can be read.
    var hasItsFeatures: Bool {
        guard let features, let now = RBDImage.features(handle) else { return true }
        let decisive = UInt64(RBD_FEATURE_EXCLUSIVE_LOCK | RBD_FEATURE_JOURNALING)
        return now & decisive == features & decisive
    }

    /// Whether this image may be written as far as mirroring is concerned; who only reads is not concerned.
    func isStandby() -> Bool {
        guard !options.readOnly, options.snapshot == nil, let role = try? RBDImage.mirrorRole(handle) else {
            return false
        }
        return !role.allowsWriting
    }

    /// Makes the watch on the header anew if it has ended, or never was.
    func renewHeaderWatch() {
        guard isReadOnly, mayWatchHeader else { return }
        if let headerWatch, case .success = headerWatch.age() { return }
        headerWatch = nil
        watchHeader()
    }

    /// Watches the header, as librbd does for who writes: tools that remove an image see that it is in use, and who changes it
    /// is waited for.
    private func watchHeader() {
        guard let headerObject else { return }
        let handlers = handlers
        let own = client
        do throws(BackendError) {
            headerWatch = try image?.watch(
                headerObject,
                ObjectWatch.Handlers(
                    received: { notification, _ in
                        guard notification.sender != own else { return [] }
                        handlers.changed { notification.acknowledge() }
                        return nil
                    },
                    broken: { _ in handlers.doubted() }))
        } catch {
            mayWatchHeader = error.errno != .notPermitted && error.errno != .permissionDenied
            notes.append(
                """
                the image cannot be watched, so `rbd rm` is not refused while it is served, and changes are noticed within \
                \(options.lookMilliseconds / 1000) s: \(error.message)
                """)
        }
    }

    @discardableResult
    private func openMailbox() -> Int32 {
        guard hasLock else { return 0 }
        let doubted = handlers.doubted
        do throws(BackendError) {
            mailbox = try image?.mailbox(
                HandOverMailbox.Handlers(asked: handlers.asked, broken: { _ in doubted() }), options.image)
            return 0
        } catch {
            notes.append("other gateways cannot ask for the image's lock, and will break it: \(error.message)")
            return error.errno.rawValue
        }
    }

    private func watchUpdates() {
        var watch: UInt64 = 0
        let code = rbd_update_watch(handle, &watch, imageWasUpdated, updates.toOpaque())
        if code >= 0 { updateWatch = watch } else { notes.append("changes of the image's size are not noticed") }
    }
}

extension RBDImage {
    /// A watch on `object` beside the image.
    func watch(_ object: String, _ handlers: ObjectWatch.Handlers) throws(BackendError) -> ObjectWatch {
        try ObjectWatch(context, object: object, handlers: handlers, expected: "an existing image")
    }

    /// A mailbox for the image called `name`.
    func mailbox(_ handlers: HandOverMailbox.Handlers, _ name: String) throws(BackendError) -> HandOverMailbox {
        try HandOverMailbox(context, image: name, handlers: handlers)
    }
}

private final class UpdateHandler: Sendable {
    let changed: @Sendable () -> Void

    init(changed: @escaping @Sendable () -> Void) {
        self.changed = changed
    }
}

/// Called on librbd's thread, after the image's header has changed.
private func imageWasUpdated(_ argument: UnsafeMutableRawPointer?) {
    guard let argument else { return }
    // SAFETY: released after rbd_update_unwatch and rbd_close.
    Unmanaged<UpdateHandler>.fromOpaque(argument).takeUnretainedValue().changed()
}

/// The cluster clients of this process. A lock's owner at one of this machine's addresses that is not among them is a
/// process that has ended, or another one that has the same address.
final class LiveClients: Sendable {
    static let shared = LiveClients()
    /// How many images each has open.
    private let clients = Mutex<[UInt64: Int]>([:])

    func add(_ client: UInt64) {
        clients.withLock { $0[client, default: 0] += 1 }
    }

    func remove(_ client: UInt64) {
        clients.withLock { clients in
            let left = (clients[client] ?? 1) - 1
            clients[client] = left > 0 ? left : nil
        }
    }

    func contains(_ client: UInt64) -> Bool { clients.withLock { $0[client] != nil } }

    /// How many there are.
    var count: Int { clients.withLock { $0.count } }
}
