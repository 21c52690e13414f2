internal import Reactor
internal import Synchronization

/// Runs calls that may block for ever on threads of their own, so that neither Swift's few pool threads nor other
/// devices ever wait for them.
enum BlockingCall {
    /// Runs `body` on a new thread and waits for its result.
    ///
    /// - Parameter name: of the thread, at most 15 bytes.
    /// - Returns: nil if the system has no thread left.
    static func run<Result: Sendable>(
        _ name: String, _ body: @escaping @Sendable () -> Result
    ) async -> Result? {
        await withCheckedContinuation { continuation in
            let thread = OwnedThread(name: name) { continuation.resume(returning: body()) }
            if let thread { thread.detach() } else { continuation.resume(returning: nil) }
        }
    }

    /// As ``run(_:_:)``, but waits no longer than `limit`; the thread goes on without us then.
    ///
    /// - Returns: nil if there is no thread, or no result in time.
    static func run<Result: Sendable>(
        _ name: String, atMost limit: Duration, _ body: @escaping @Sendable () -> Result
    ) async -> Result? {
        let result = ResultBox<Result>()
        guard let thread = OwnedThread(name: name, body: { result.put(body()) }) else {
            return nil
        }
        thread.detach()
        _ = await wait(atMost: limit) { result.get() != nil }
        return result.get()
    }

    /// Waits until `condition` holds, looking every few milliseconds.
    ///
    /// - Returns: false if it still does not hold after `limit`.
    static func wait(atMost limit: Duration, until condition: @Sendable () async -> Bool) async -> Bool {
        let clock = ContinuousClock()
        let end = clock.now + limit
        var pause = Duration.milliseconds(1)
        while !(await condition()) {
            if clock.now >= end { return false }
            // A cancelled task must still wait: what it waits for is not cancelled.
            let length = pause
            _ = await Task.detached(executorPreference: ControlThread.shared) {
                try? await ControlThread.sleep(for: length)
            }.value
            pause = min(pause * 2, .milliseconds(20))
        }
        return true
    }
}

/// Where a thread leaves its result for a waiter that may have gone.
private final class ResultBox<Result: Sendable>: Sendable {
    private let value = Mutex<Result?>(nil)

    func put(_ result: Result) {
        value.withLock { $0 = result }
    }

    func get() -> Result? {
        value.withLock { $0 }
    }
}
