internal import Synchronization

/// Comes back to processes in the kernel that wait for an answer which will not come, where they could not be released at once:
/// another daemon was at work, and a reset of netlink would have failed what its devices are asked.
///
/// Tried again, less and less often, until the other daemon has ended and none of our own devices is being asked.
final class WaiterRelease: Sendable {
    private let release: @Sendable () async -> Bool
    private let shortest: Duration
    private let longest: Duration
    private let isOwed = Mutex(false)
    private let hasEnded = Atomic<Bool>(false)

    /// - Parameters:
    ///   - shortest: time before the first attempt.
    ///   - longest: between two of them.
    ///   - release: releases all, or returns false, and must then be called again.
    init(
        shortest: Duration = .seconds(2), longest: Duration = .seconds(60),
        release: @escaping @Sendable () async -> Bool
    ) {
        (self.shortest, self.longest, self.release) = (shortest, longest, release)
    }

    /// There may be such processes. Nothing runs while there is no need.
    func want() {
        let isFirst = isOwed.withLock { isOwed in
            defer { isOwed = true }
            return !isOwed
        }
        guard isFirst else { return }
        Task(executorPreference: ControlThread.shared) { await self.work() }
    }

    /// No attempt begins any more.
    func end() {
        hasEnded.store(true, ordering: .releasing)
    }

    private func work() async {
        var pause = shortest
        while true {
            try? await ControlThread.sleep(for: pause)
            if hasEnded.load(ordering: .acquiring) { return }
            // Ordering: before the attempt, so that who is left behind it begins a work of his own.
            isOwed.withLock { $0 = false }
            if await release() { return }
            let isMine = isOwed.withLock { isOwed in
                defer { isOwed = true }
                return !isOwed
            }
            guard isMine else { return }
            pause = min(pause * 2, longest)
        }
    }
}
