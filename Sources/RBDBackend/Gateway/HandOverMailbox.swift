internal import BlockBackend
internal import CRBD
internal import Glibc
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
        fileprivate let notification: ObjectWatch.Notification
    }

    /// What is called on librados' thread. Must not block, and must not let go of the mailbox.
    package struct Handlers: Sendable {
        /// Somebody wants the lock. Returns what is answered at once; nil where ``HandOverMailbox/answer(_:_:host:)`` follows.
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

    private let watch: ObjectWatch

    /// Starts to watch on behalf of the image called `image` in the pool and namespace of `context`. The mailbox holds the
    /// connection.
    ///
    /// - Parameter milliseconds: longest wait for an OSD.
    /// - Throws: ENOENT where there is no such image; ESHUTDOWN, ETIMEDOUT.
    init(
        _ context: borrowing IOContext, image: String, handlers: Handlers, milliseconds: Int = 30_000
    ) throws(BackendError) {
        let client = context.cluster.instanceID
        watch = try ObjectWatch(
            context, object: "rbd_id." + image,
            handlers: ObjectWatch.Handlers(
                received: { notification, bytes in
                    // Our own, or nothing that we know. Whoever sent it must not wait for us.
                    guard notification.sender != client, let request = HandOverRequest(bytes) else { return [] }
                    let question = Question(
                        request: request, sender: notification.sender, notification: notification)
                    return handlers.asked(question).map { HandOverReply($0, host: nodeName()).bytes }
                },
                broken: handlers.broken),
            expected: "an existing image", milliseconds: milliseconds)
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
                watch.handle, watch.object, completion, bytes, CInt(clamping: bytes.count), UInt64(seconds) * 1000,
                call.answer, call.answerLength)
        }
        guard let (code, answer) = outcome else { return .failure(.timedOut) }
        // ETIMEDOUT with an answer: some watchers did not reply, and the answer says which.
        guard code >= 0 || code == -ETIMEDOUT, let answer else {
            return .failure(code < 0 ? radosErrno(code) : .badMessage)
        }
        guard let answers = NotifyAnswers(answer, own: watch.client) else { return .failure(.badMessage) }
        return .success(answers)
    }

    /// Answers a question. Does not wait for the asking client; an answer that comes too late goes nowhere.
    package func answer(_ question: Question, _ verdict: HandOverReply.Verdict, host: String = nodeName()) {
        question.notification.acknowledge(HandOverReply(verdict, host: host).bytes)
    }

    /// Whether the watch is still in force.
    ///
    /// - Returns: the time in milliseconds since an OSD said so; the errno that ended it otherwise. Asks nobody.
    package func age() -> Result<Int, Errno> {
        watch.age()
    }
}
