internal import Glibc
internal import Reactor
internal import Synchronization
internal import SystemPackage

/// The thread that the control plane's tasks and actors run on, and their timer.
///
/// Swift's own pool is libdispatch's on Linux. Its monitor wakes up once a second for as long as the process lives, from
/// the first job on, and a daemon of which nobody wants anything shall sleep. One thread is enough: what may block runs on
/// threads of its own (`BlockingCall`).
///
/// A task gets here by `executorPreference`; its child tasks and the actors it calls follow. `Task {}`, `Task.detached`
/// and `Task.sleep` do not, so nothing in this module that runs while the daemon serves may use them.
final class ControlThread: TaskExecutor, @unchecked Sendable {
    // SAFETY: an immutable descriptor and a mutex; only the descriptor keeps the compiler from seeing it.

    /// Nil if the system had no thread or descriptor for it at the start; then Swift's pool does the work.
    static let shared: ControlThread? = start()

    private let state = Mutex<State>(State())
    private let wake: WakeSignal

    private struct State {
        var jobs: [UnownedJob] = []
        var sleepers: [UInt64: Sleeper] = [:]
        var lastSleeper: UInt64 = 0
        /// The thread waits, or is about to.
        var isParked = false
    }

    private struct Sleeper {
        /// Nil: only a descriptor wakes it, or its cancellation.
        let end: ContinuousClock.Instant?
        var watched: [pollfd] = []
        let continuation: CheckedContinuation<Void, Never>
    }

    private init() throws(Errno) {
        wake = try WakeSignal()
    }

    /// Set where a thread of the caller's becomes the control thread; see ``promise()``.
    private static let isPromised = Atomic<Bool>(false)

    /// Promises that the calling thread will serve, by ``serveForever()``. Before anything has used ``shared``.
    static func promise() {
        isPromised.store(true, ordering: .relaxed)
    }

    /// Makes the calling thread, which has promised it, the control thread: the process has one thread less.
    static func serveForever() -> Never {
        shared?.serve()
        // No descriptor was to be had at the start: Swift's pool does the work.
        while true { pause() }
    }

    private static func start() -> ControlThread? {
        guard let control = try? ControlThread() else { return nil }
        if isPromised.load(ordering: .relaxed) { return control }
        guard let thread = OwnedThread(name: "tcmud-control", body: { control.serve() }) else { return nil }
        thread.detach()
        return control
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        change { state in state.jobs.append(job) }
    }

    /// As `Task.sleep(for:)`. Throws if the task is cancelled.
    static func sleep(for length: Duration) async throws {
        guard let shared else { return try await Task.sleep(for: length) }
        await shared.sleep(until: .now + length)
        try Task.checkCancellation()
    }

    /// Waits until one of `descriptors` is ready for poll(2)'s events, but no longer than `limit`, or until the task is
    /// cancelled. May return early. Returns false if there is no control thread to wait on.
    static func wait(
        for descriptors: [(descriptor: CInt, events: Int16)], atMost limit: Duration?
    ) async -> Bool {
        guard let shared else { return false }
        let watched = descriptors.map { pollfd(fd: $0.descriptor, events: $0.events, revents: 0) }
        await shared.sleep(until: limit.map { .now + $0 }, watching: watched)
        return true
    }

    private func sleep(until end: ContinuousClock.Instant?, watching watched: [pollfd] = []) async {
        let number = state.withLock { state in
            state.lastSleeper += 1
            return state.lastSleeper
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                change { state in
                    state.sleepers[number] = Sleeper(end: end, watched: watched, continuation: continuation)
                }
                // Ordering: a cancellation before the line above found nobody to wake, but is seen here.
                if Task.isCancelled { awaken(number) }
            }
        } onCancel: {
            awaken(number)
        }
    }

    private func awaken(_ number: UInt64) {
        state.withLock { $0.sleepers.removeValue(forKey: number) }?.continuation.resume()
    }

    private func change(_ body: (inout State) -> Void) {
        let mustWake = state.withLock { state in
            body(&state)
            defer { state.isParked = false }
            return state.isParked
        }
        if mustWake { wake.raise() }
    }

    // MARK: - The thread

    /// Bound: turns with jobs after which descriptors are looked at, though there are jobs again: netlink is one of them.
    private static let turnsBetweenLooks = 64

    private func serve() {
        let ownWake = pollfd(fd: wake.descriptor, events: Int16(POLLIN), revents: 0)
        var busyTurns = 0
        while true {
            let mustLook = busyTurns >= Self.turnsBetweenLooks
            let turn = state.withLock { state in nextTurn(&state, mustLook: mustLook) }
            for continuation in turn.rested { continuation.resume() }
            for job in turn.jobs { job.runSynchronously(on: asUnownedTaskExecutor()) }
            busyTurns = turn.park == nil ? busyTurns + 1 : 0
            guard let milliseconds = turn.park else { continue }
            // A signal, a time-out and news all lead to the next look.
            var polled = [ownWake] + turn.watched.map(\.descriptor)
            guard poll(&polled, nfds_t(polled.count), milliseconds) > 0 else { continue }
            if polled[0].revents != 0 { wake.clear() }
            for (entry, watched) in zip(polled.dropFirst(), turn.watched) where entry.revents != 0 {
                awaken(watched.sleeper)
            }
        }
    }

    private struct Turn {
        var jobs: [UnownedJob] = []
        var rested: [CheckedContinuation<Void, Never>] = []
        /// What is polled then, and for whom.
        var watched: [(sleeper: UInt64, descriptor: pollfd)] = []
        /// If descriptors are looked at: milliseconds to wait, -1 without end.
        var park: Int32?
    }

    private func nextTurn(_ state: inout State, mustLook: Bool) -> Turn {
        var turn = Turn()
        swap(&turn.jobs, &state.jobs)
        let now = ContinuousClock.now
        if !state.sleepers.isEmpty {
            for (number, sleeper) in state.sleepers where sleeper.end.map({ $0 <= now }) ?? false {
                turn.rested.append(sleeper.continuation)
                state.sleepers[number] = nil
            }
        }
        state.isParked = turn.jobs.isEmpty && turn.rested.isEmpty
        if state.isParked || mustLook {
            let next = state.sleepers.values.compactMap(\.end).min()
            turn.watched = state.sleepers.flatMap { number, sleeper in sleeper.watched.map { (number, $0) } }
            turn.park = state.isParked ? next.map { end in Self.wait(end - now) } ?? -1 : 0
        }
        return turn
    }

    /// Milliseconds to wait for `length` to pass: rounded up, or the last part of a millisecond would be spun away.
    static func wait(_ length: Duration) -> Int32 {
        // Bound: of a longer time a day is waited, and then it is looked again. Never less than none: to poll a negative
        // number means without end.
        let left = min(max(length, .zero), .seconds(86_400)).components
        let millisecond: Int64 = 1_000_000_000_000_000
        return Int32(clamping: left.seconds * 1000 + (left.attoseconds + millisecond - 1) / millisecond)
    }
}
