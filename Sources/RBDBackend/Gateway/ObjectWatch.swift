internal import BlockBackend
internal import CRBD
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// A watch on one object of a pool: who watches is told what others notify, and is counted by tools that want to know
/// whether an image is in use.
///
/// Calls block, but not for ever. Ended with its owner, which must not be one of the handlers.
final class ObjectWatch: @unchecked Sendable {
    // SAFETY: nothing changes after `init`; librados' calls may come from any thread.
    /// A notification that waits for its acknowledgement.
    struct Notification: Sendable {
        fileprivate let place: WatchPlace
        fileprivate let number: UInt64
        fileprivate let cookie: UInt64
        /// Number of the client that sent it, from the cluster.
        let sender: UInt64

        /// Acknowledges it. Does not wait for its sender; one that comes too late goes nowhere, also after the watch.
        func acknowledge(_ reply: [UInt8] = []) {
            place.acknowledge(number, cookie, reply)
        }
    }

    /// What is called on librados' thread. Must not block, and must not let go of the watch.
    struct Handlers: Sendable {
        /// Somebody has notified. Returns what it is acknowledged with at once; nil where ``Notification/acknowledge(_:)``
        /// follows.
        let received: @Sendable (Notification, UnsafeRawBufferPointer) -> [UInt8]?
        /// The watch has ended: ENOTCONN where this client was blocklisted, the object removed, or the OSDs heard nothing of
        /// this client for 30 s.
        let broken: @Sendable (Errno) -> Void
    }

    private let place: WatchPlace
    private let cookie: UInt64
    /// For calls on the same object.
    var handle: rados_ioctx_t { place.handle }
    var object: String { place.object }
    /// Number of the client that watches.
    var client: UInt64 { place.client }

    /// Starts to watch `object` in the pool and namespace of `context`. Holds the connection.
    ///
    /// - Parameters:
    ///   - expected: for the message of an object that is not there.
    ///   - milliseconds: longest wait for an OSD.
    /// - Throws: ENOENT where there is no such object; ESHUTDOWN, ETIMEDOUT; EPERM without the right to write it.
    init(
        _ context: borrowing IOContext, object: String, handlers: Handlers, expected: String,
        milliseconds: Int = 30_000
    ) throws(BackendError) {
        let place = try WatchPlace(context, object: object, handlers)
        let cookie = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
        cookie.initialize(to: 0)
        defer { cookie.deallocate() }
        let outcome = AwaitedCall.run(milliseconds: milliseconds) { completion, _ in
            // librados fills the cookie in before it returns. 0 is the cluster's own time-out for dead watchers, 30 s.
            rados_aio_watch2(
                place.handle, place.object, completion, cookie, watcherIsTold, watchIsBroken, 0,
                Unmanaged.passUnretained(place).toOpaque())
        }
        guard let outcome else {
            place.abandon()
            throw failure(-ETIMEDOUT, "cannot watch \(place.object)", expected: "an OSD that answers")
        }
        if outcome.code < 0 {
            // librados has ended the watch and freed what the cookie stands for: no unwatch.
            rados_watch_flush(context.cluster.handle)
            throw failure(outcome.code, "cannot watch \(place.object)", expected: expected)
        }
        self.place = place
        self.cookie = cookie.pointee
    }

    deinit {
        place.end(cookie)
    }

    /// Whether the watch is still in force. Returns the time in milliseconds since an OSD said so; the errno that ended it
    /// otherwise. Asks nobody.
    func age() -> Result<Int, Errno> {
        let code = rados_watch_check(place.handle, cookie)
        return code < 0 ? .failure(radosErrno(code)) : .success(Int(code))
    }
}

/// What the callbacks of a watch need. Lives until librados has promised to call no more.
fileprivate final class WatchPlace: @unchecked Sendable {
    // SAFETY: what changes is behind locks; librados' calls may come from any thread.
    let handle: rados_ioctx_t
    let object: String
    let client: UInt64
    /// Nil once given up, as is `cluster`.
    private let handlers: Mutex<ObjectWatch.Handlers?>
    private let cluster: Mutex<RadosCluster?>

    init(
        _ context: borrowing IOContext, object: String, _ handlers: ObjectWatch.Handlers
    ) throws(BackendError) {
        // A context of its own: the image's is closed at another time.
        handle = try context.anotherHandle()
        self.object = object
        self.handlers = Mutex(handlers)
        cluster = Mutex(context.cluster)
        client = context.cluster.instanceID
    }

    deinit {
        rados_ioctx_destroy(handle)
    }

    /// Ends the watch, if there is one. Afterwards no callback runs, and none will.
    func end(_ cookie: UInt64) {
        // A failure changes nothing here: librados forgets the watch in any case, the OSD when it has timed out.
        _ = rados_unwatch2(handle, cookie)
        if let cluster = cluster.withLock({ $0 }) { rados_watch_flush(cluster.handle) }
    }

    /// Gives up a watch that no OSD has taken yet. librados may end it on its own at any time, and ending it twice is
    /// fatal; so it is left alone. Once taken, it answers with nothing until the connection is closed.
    func abandon() {
        handlers.withLock { $0 = nil }
        // Not the connection's keeper any more; what remains, some hundred bytes, is never freed.
        cluster.withLock { $0 = nil }
        _ = Unmanaged.passRetained(self)
    }

    func fail(_ errno: Errno) {
        handlers.withLock { $0 }?.broken(errno)
    }

    func acknowledge(_ notification: UInt64, _ cookie: UInt64, _ reply: [UInt8]) {
        let bytes = reply.map { CChar(bitPattern: $0) }
        _ = rados_notify_ack(handle, object, notification, cookie, bytes, CInt(clamping: bytes.count))
    }

    func receive(_ notification: UInt64, _ cookie: UInt64, sender: UInt64, _ bytes: UnsafeRawBufferPointer) {
        let told = ObjectWatch.Notification(
            place: self, number: notification, cookie: cookie, sender: sender)
        guard let handlers = handlers.withLock({ $0 }) else { return acknowledge(notification, cookie, []) }
        if let reply = handlers.received(told, bytes) { acknowledge(notification, cookie, reply) }
    }
}

private func watcherIsTold(
    _ argument: UnsafeMutableRawPointer?, _ notification: UInt64, _ cookie: UInt64, _ sender: UInt64,
    _ data: UnsafeMutableRawPointer?, _ length: Int
) {
    guard let argument else { return }
    // SAFETY: the place outlives the watch: `end` waits for this to return.
    let place = Unmanaged<WatchPlace>.fromOpaque(argument).takeUnretainedValue()
    let bytes = UnsafeRawBufferPointer(start: data, count: data == nil ? 0 : length)
    place.receive(notification, cookie, sender: sender, bytes)
}

private func watchIsBroken(_ argument: UnsafeMutableRawPointer?, _ cookie: UInt64, _ code: CInt) {
    guard let argument else { return }
    // SAFETY: as above.
    let place = Unmanaged<WatchPlace>.fromOpaque(argument).takeUnretainedValue()
    place.fail(radosErrno(code))
}
