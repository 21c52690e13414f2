internal import CRBD
internal import Glibc
internal import SystemPackage

/// An asynchronous librados call that is waited for, but not for ever.
///
/// Watches and notifications are the operations that `rados_osd_op_timeout` does not bound: with no OSD to take them
/// they wait until there is one. A call that is given up goes on; what it needs lives until librados is done with it.
final class AwaitedCall: @unchecked Sendable {
    // SAFETY: `hasEnded` is behind `mutex`. librados writes the answer before it calls back, and it is read after that.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let ended: UnsafeMutablePointer<pthread_cond_t>
    private var hasEnded = false
    /// Where a notification's answers go: text that librados allocates, and its length.
    let answer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    let answerLength: UnsafeMutablePointer<Int>
    /// Where a class method's answer goes; zeros at first.
    let room: UnsafeMutablePointer<CChar>
    static let roomBytes = 64

    private init() {
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        ended = .allocate(capacity: 1)
        ended.initialize(to: pthread_cond_t())
        // A clock that nobody sets: the wall's would end the wait at once, or never.
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(ended, &attributes)
        pthread_condattr_destroy(&attributes)
        answer = .allocate(capacity: 1)
        answer.initialize(to: nil)
        answerLength = .allocate(capacity: 1)
        answerLength.initialize(to: 0)
        room = .allocate(capacity: AwaitedCall.roomBytes)
        room.initialize(repeating: 0, count: AwaitedCall.roomBytes)
    }

    deinit {
        if let text = answer.pointee { rados_buffer_free(text) }
        answer.deallocate()
        answerLength.deallocate()
        room.deallocate()
        pthread_cond_destroy(ended)
        ended.deallocate()
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Submits a call and waits for its end.
    ///
    /// - Parameters:
    ///   - milliseconds: longest wait.
    ///   - submit: makes the call; a negative result is an errno and means that it was not made.
    /// - Returns: the call's result and answer; nil where it was given up.
    static func run(
        milliseconds: Int, submit: (rados_completion_t, AwaitedCall) -> CInt
    ) -> (code: CInt, answer: [UInt8]?)? {
        start(submit: submit).end(milliseconds: milliseconds)
    }

    /// A call that was made, and can be waited for beside others.
    final class Started {
        private let call: AwaitedCall
        /// Nil for one that was not made.
        private let completion: rados_completion_t?
        private let refusal: CInt

        fileprivate init(_ call: AwaitedCall, _ completion: rados_completion_t?, refusal: CInt = 0) {
            (self.call, self.completion, self.refusal) = (call, completion, refusal)
        }

        deinit {
            if let completion { rados_aio_release(completion) }
        }

        /// Waits for the end. Returns the call's result and answer; nil where it is given up.
        func end(milliseconds: Int) -> (code: CInt, answer: [UInt8]?)? {
            guard let completion else { return (refusal, nil) }
            guard call.wait(milliseconds: milliseconds) else { return nil }
            let bytes = call.answer.pointee.map {
                Array(UnsafeRawBufferPointer(start: $0, count: call.answerLength.pointee))
            }
            return (rados_aio_get_return_value(completion), bytes)
        }

        /// As above, of a class method. Returns the answer's first ``roomBytes`` bytes, or librados' errno; nil where it is
        /// given up.
        func method(milliseconds: Int) -> Result<[UInt8], Errno>? {
            guard let outcome = end(milliseconds: milliseconds) else { return nil }
            if outcome.code < 0 { return .failure(radosErrno(outcome.code)) }
            let count = min(Int(outcome.code), AwaitedCall.roomBytes)
            return .success((0..<count).map { UInt8(bitPattern: call.room[$0]) })
        }
    }

    /// Submits a call, which is to be waited for.
    ///
    /// - Parameter submit: as above.
    static func start(submit: (rados_completion_t, AwaitedCall) -> CInt) -> Started {
        let call = AwaitedCall()
        var completion: rados_completion_t?
        // Given back by the callback. A call that librados drops at shutdown never has one: that much leaks.
        let held = Unmanaged.passRetained(call)
        let made = rados_aio_create_completion2(held.toOpaque(), callHasEnded, &completion)
        guard made >= 0, let completion else {
            held.release()
            return Started(call, nil, refusal: made < 0 ? made : -ENOMEM)
        }
        let submitted = submit(completion, call)
        guard submitted >= 0 else {
            held.release()
            rados_aio_release(completion)
            return Started(call, nil, refusal: submitted)
        }
        return Started(call, completion)
    }

    /// Calls a method of an OSD class, which is to be waited for. `context` must outlive a call that is given up (``PoolHandle``).
    static func method(
        _ name: String, of objectClass: String, on object: String, in context: rados_ioctx_t, _ question: [UInt8]
    ) -> Started {
        let bytes = question.map { CChar(bitPattern: $0) }
        return start { completion, made in
            // librados copies the question, and writes the answer before it calls back.
            rados_aio_exec(
                context, object, completion, objectClass, name, bytes, bytes.count, made.room, roomBytes)
        }
    }

    /// False where the call has not ended in time.
    private func wait(milliseconds: Int) -> Bool {
        var until = timespec()
        clock_gettime(CLOCK_MONOTONIC, &until)
        until.tv_sec += milliseconds / 1000
        until.tv_nsec += milliseconds % 1000 * 1_000_000
        if until.tv_nsec >= 1_000_000_000 {
            until.tv_sec += 1
            until.tv_nsec -= 1_000_000_000
        }
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while !hasEnded {
            if pthread_cond_timedwait(ended, mutex, &until) == ETIMEDOUT { break }
        }
        return hasEnded
    }

    fileprivate func end() {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        hasEnded = true
        pthread_cond_signal(ended)
    }
}

private func callHasEnded(_ completion: rados_completion_t?, _ argument: UnsafeMutableRawPointer?) {
    guard let argument else { return }
    Unmanaged<AwaitedCall>.fromOpaque(argument).takeRetainedValue().end()
}
