internal import BlockBackend
internal import CRBD
internal import Glibc
internal import Synchronization
package import SystemPackage

/// Where the gateways of an image speak to each other: a watch on the object that holds the image's id, `rbd_id.<image>`.
///
/// Not on the image's header: its watchers are counted, by `rbd rm` and by tools that expect one for each client.
///
/// Calls block, but not for ever. Closed with its owner, which must not be one of the handlers.
package final class HandOverMailbox: @unchecked Sendable {
    // SAFETY: nothing changes after `init`; librados' calls may come from any thread.
    /// A request that waits for an answer. Whoever asks waits until it comes or its time is up.
    package struct Question: Sendable {
        /// Who asks.
        package let request: HandOverRequest
        /// Number of the client that sent it, from the cluster: unlike the request's, this one is true.
        package let sender: UInt64
        fileprivate let notification: UInt64
        fileprivate let cookie: UInt64
    }

    /// What is called on librados' thread. Must not block, and must not let go of the mailbox.
    package struct Handlers: Sendable {
        /// Somebody wants the lock. - Returns: what is answered at once; nil where ``HandOverMailbox/answer(_:_:host:)`` follows.
        let asked: @Sendable (Question) -> HandOverReply.Verdict?
        /// The watch has ended, and no question comes any more: ENOTCONN where this client was blocklisted, the image
        /// removed or renamed, or the OSDs heard nothing of this client for 30 s.
        let broken: @Sendable (Errno) -> Void

        /// The two.
        package init(
            asked: @escaping @Sendable (Question) -> HandOverReply.Verdict?,
            broken: @escaping @Sendable (Errno) -> Void
        ) {
            self.asked = asked
            self.broken = broken
        }
    }

    private let place: WatchPlace
    private let cookie: UInt64

    /// Starts to watch on behalf of the image called `image` in the pool and namespace of `context`. The mailbox holds the
    /// connection.
    ///
    /// - Parameter milliseconds: longest wait for an OSD.
    /// - Throws: ENOENT where there is no such image; ESHUTDOWN, ETIMEDOUT.
    init(
        _ context: borrowing IOContext, image: String, handlers: Handlers, milliseconds: Int = 30_000
    ) throws(BackendError) {
        let place = try WatchPlace(context, object: "rbd_id." + image, handlers)
        let cookie = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
        cookie.initialize(to: 0)
        defer { cookie.deallocate() }
        let outcome = AwaitedCall.run(milliseconds: milliseconds) { completion, _ in
            // librados fills the cookie in before it returns. 0 is the cluster's own time-out for dead watchers, 30 s.
            rados_aio_watch2(
                place.handle, place.object, completion, cookie, watcherIsAsked, watchIsBroken, 0,
                Unmanaged.passUnretained(place).toOpaque())
        }
        guard let outcome else {
            place.abandon()
            throw failure(-ETIMEDOUT, "cannot watch \(place.object)", expected: "an OSD that answers")
        }
        if outcome.code < 0 {
            // librados has ended the watch and freed what the cookie stands for: no unwatch.
            rados_watch_flush(context.cluster.handle)
            throw failure(outcome.code, "cannot watch \(place.object)", expected: "an existing image")
        }
        self.place = place
        self.cookie = cookie.pointee
    }

    deinit {
        place.end(cookie)
    }

    /// Asks everybody else who watches. Blocks until all have answered, and at most for `milliseconds`, which OSDs
    /// count in whole seconds: it is rounded up.
    ///
    /// - Returns: ETIMEDOUT where no OSD answers; ESHUTDOWN where this client is blocklisted; ENOENT where the image
    ///   is gone; EBADMSG for an answer that librados garbled. Watchers that do not answer are no error.
    package func ask(_ request: HandOverRequest, milliseconds: Int) -> Result<NotifyAnswers, Errno> {
        // Bound: nobody waits longer for a hand-over than for an OSD.
        let seconds = (min(max(milliseconds, 1), 60_000) + 999) / 1000
        return notify(request.bytes, seconds: seconds, milliseconds: seconds * 1000 + 1000)
    }

    /// Whether client `number` has a mailbox for this image and is there. Whoever lives answers in milliseconds; blocks
    /// for `milliseconds` at most.
    ///
    /// - Returns: false also where some other watcher keeps silent, as who was silent is not known before a whole second is
    ///   over; errors as of `ask`.
    package func hears(_ number: UInt64, milliseconds: Int) -> Result<Bool, Errno> {
        switch notify(HandOverCall.bytes, seconds: 1, milliseconds: milliseconds) {
        case .success(let answers): .success(answers.answers.contains { $0.client == number })
        case .failure(.timedOut): .success(false)
        case .failure(let errno): .failure(errno)
        }
    }

    /// - Parameters:
    ///   - seconds: how long the OSD waits for answers.
    ///   - milliseconds: how long the OSD is waited for.
    private func notify(_ message: [UInt8], seconds: Int, milliseconds: Int) -> Result<NotifyAnswers, Errno> {
        let bytes = message.map { CChar(bitPattern: $0) }
        let outcome = AwaitedCall.run(milliseconds: milliseconds) { completion, call in
            rados_aio_notify(
                place.handle, place.object, completion, bytes, CInt(clamping: bytes.count), UInt64(seconds) * 1000,
                call.answer, call.answerLength)
        }
        guard let (code, answer) = outcome else { return .failure(.timedOut) }
        // ETIMEDOUT with an answer: some watchers did not reply, and the answer says which.
        guard code >= 0 || code == -ETIMEDOUT, let answer else {
            return .failure(code < 0 ? radosErrno(code) : .badMessage)
        }
        guard let answers = NotifyAnswers(answer, own: place.client) else { return .failure(.badMessage) }
        return .success(answers)
    }

    /// Answers a question. Does not wait for the asking client; an answer that comes too late goes nowhere.
    package func answer(_ question: Question, _ verdict: HandOverReply.Verdict, host: String = nodeName()) {
        place.acknowledge(question.notification, question.cookie, HandOverReply(verdict, host: host).bytes)
    }

    /// Whether the watch is still in force. - Returns: the time in milliseconds since an OSD said so; the errno that
    /// ended it otherwise. Asks nobody.
    package func age() -> Result<Int, Errno> {
        let code = rados_watch_check(place.handle, cookie)
        return code < 0 ? .failure(radosErrno(code)) : .success(Int(code))
    }
}

/// What the callbacks of a watch need. Lives until librados has promised to call no more.
private final class WatchPlace: @unchecked Sendable {
    // SAFETY: what changes is behind locks; librados' calls may come from any thread.
    let handle: rados_ioctx_t
    let object: String
    let client: UInt64
    /// Nil once given up, as is `cluster`.
    private let handlers: Mutex<HandOverMailbox.Handlers?>
    private let cluster: Mutex<RadosCluster?>

    init(
        _ context: borrowing IOContext, object: String, _ handlers: HandOverMailbox.Handlers
    ) throws(BackendError) {
        var handle: rados_ioctx_t?
        // A context of its own: the image's is closed at another time.
        let code = rados_ioctx_create2(context.cluster.handle, rados_ioctx_get_id(context.handle), &handle)
        guard code >= 0, let handle else {
            throw failure(code, "cannot open the pool again", expected: "an existing pool")
        }
        if let namespace = textBuffer(1024, { rados_ioctx_get_namespace(context.handle, $0, UInt32($1)) }) {
            rados_ioctx_set_namespace(handle, namespace)
        }
        self.handle = handle
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
        let handlers = handlers.withLock { $0 }
        guard let handlers, sender != client, let request = HandOverRequest(bytes) else {
            // Our own, or nothing that we know. Whoever sent it must not wait for us.
            acknowledge(notification, cookie, [])
            return
        }
        let verdict = handlers.asked(
            HandOverMailbox.Question(request: request, sender: sender, notification: notification, cookie: cookie))
        if let verdict { acknowledge(notification, cookie, HandOverReply(verdict, host: nodeName()).bytes) }
    }
}

private func watcherIsAsked(
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
