internal import CSystemd
internal import Reactor
internal import Synchronization

/// The calls of CheckConfig that wait for their answer. Belongs to the bus's thread.
final class PendingChecks {
    private struct Pending {
        let call: OpaquePointer
        let deadline: ContinuousClock.Instant
    }

    /// Bound: threads that checks may hold, also those whose call was answered for: a file system or a cluster that hangs
    /// must not cost a thread per call.
    static let atOnce = 8

    private let subtypes: [ServedSubtype]
    private let limit: Duration
    private let shared: BusMailbox
    private var pending: [UInt64: Pending] = [:]
    private var lastCheck: UInt64 = 0
    private let running = RunningCount()

    init(_ subtypes: [ServedSubtype], limit: Duration, _ shared: BusMailbox) {
        self.subtypes = subtypes
        self.limit = limit
        self.shared = shared
    }

    /// When the next of them is to be answered for; nil if none waits.
    var nextDeadline: ContinuousClock.Instant? { pending.values.map(\.deadline).min() }

    /// Starts the check of `text`; `call` is answered now or later.
    func begin(_ subtype: Int, _ call: OpaquePointer, _ text: String) {
        guard subtypes.indices.contains(subtype) else { return csystemd_forget(call) }
        let length = text.utf8.count
        guard length <= DBusService.longestText else {
            return answer(
                call,
                .invalid(
                    "it has \(length) bytes, expected at most \(DBusService.longestText): the kernel keeps no more")
            )
        }
        guard running.enter(atMost: Self.atOnce) else {
            return answer(call, .invalid("\(Self.atOnce) checks are under way and do not end; try again later"))
        }
        lastCheck += 1
        let (number, check, shared, running) = (lastCheck, subtypes[subtype].check, shared, running)
        let thread = OwnedThread(name: "tcmud-check") {
            let verdict = check(text)
            running.leave()
            shared.finish(number, verdict)
        }
        guard let thread else {
            running.leave()
            return answer(call, .invalid("no thread is left to check it on"))
        }
        thread.detach()
        pending[number] = Pending(call: call, deadline: .now + limit)
    }

    /// Answers what has ended, and what has taken too long.
    func settle() {
        for (number, verdict) in shared.takeFinished() {
            guard let done = pending.removeValue(forKey: number) else { continue }
            answer(done.call, verdict)
        }
        let now = ContinuousClock.now
        for (number, late) in pending where late.deadline <= now {
            pending[number] = nil
            answer(
                late.call,
                .invalid(
                    "it could not be checked within \(limit): is the cluster or file system behind it reachable?"))
        }
    }

    /// The connection by which they came is gone.
    func forgetAll() {
        for waiting in pending.values { csystemd_forget(waiting.call) }
        pending = [:]
    }

    private func answer(_ call: OpaquePointer, _ verdict: ConfigurationVerdict) {
        // The caller may have gone, and with a bus that has gone the loop sees it: nothing to do about a failure here.
        _ = csystemd_answer(call, verdict.isValid, Self.fit(verdict.text))
    }

    /// D-Bus strings hold no NUL, at which a C string would end.
    private static func fit(_ text: String) -> String {
        text.utf8.contains(0) ? String(text.map { $0 == "\0" ? "?" : $0 }) : text
    }
}

/// How many threads checks hold.
private final class RunningCount: Sendable {
    private let count = Mutex(0)

    func enter(atMost most: Int) -> Bool {
        count.withLock { count in
            guard count < most else { return false }
            count += 1
            return true
        }
    }

    func leave() {
        count.withLock { $0 -= 1 }
    }
}
