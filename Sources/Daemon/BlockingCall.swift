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
            _ = await Task.detached { try? await Task.sleep(for: length) }.value
            pause = min(pause * 2, .milliseconds(20))
        }
        return true
    }
}
