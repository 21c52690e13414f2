internal import Glibc
internal import Reactor
internal import Synchronization
internal import SystemPackage

/// What other threads have for the bus's thread: ends of checks, and the word to stop.
final class BusMailbox: @unchecked Sendable {
    // SAFETY: a mutex and an immutable descriptor; only the descriptor keeps the compiler from seeing it.
    private struct Content {
        var finished: [(check: UInt64, verdict: ConfigurationVerdict)] = []
        var mustStop = false
    }

    private let content = Mutex(Content())
    private let wake: WakeSignal

    /// To be polled for input.
    var descriptor: CInt { wake.descriptor }

    private init(_ wake: consuming WakeSignal) {
        self.wake = wake
    }

    /// - Returns: nil if there is no descriptor left.
    static func make() -> BusMailbox? {
        do throws(Errno) { return BusMailbox(try WakeSignal()) } catch { return nil }
    }

    func finish(_ check: UInt64, _ verdict: ConfigurationVerdict) {
        content.withLock { $0.finished.append((check, verdict)) }
        wake.raise()
    }

    func stop() {
        content.withLock { $0.mustStop = true }
        wake.raise()
    }

    var mustStop: Bool { content.withLock { $0.mustStop } }

    func takeFinished() -> [(check: UInt64, verdict: ConfigurationVerdict)] {
        wake.clear()
        return content.withLock { content in
            defer { content.finished = [] }
            return content.finished
        }
    }
}
