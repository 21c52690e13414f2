package import BlockBackend
internal import Synchronization

/// Something that takes long, may fail and need be tried by one thread at a time only: the others wait for it.
///
/// A failure is the failure of everybody who waited for it, and is not remembered: whoever comes later tries anew. With
/// fifty units and a cluster that does not answer, all of them know after one time-out and not after fifty.
package final class SharedAttempt: Sendable {
    private struct Last {
        /// What the attempt that ended last threw; nil if it succeeded.
        var error: BackendError?
        /// Its number.
        var number = 0
    }

    /// Attempts that have ended.
    private let ended = Atomic<Int>(0)
    /// Held for as long as an attempt takes: for threads of their own, never for a loop.
    private let last = Mutex(Last())

    /// Nothing tried yet.
    package init() {}

    /// Now, as counted in attempts that have ended.
    package var arrival: Int { ended.load(ordering: .acquiring) }

    /// Runs `body` while no other thread does.
    ///
    /// - Parameter arrival: when the caller came; nil is now.
    /// - Throws: what `body` throws; without running it, what another thread's threw that ended after the caller came.
    package func alone<Result: Sendable>(
        since arrival: Int? = nil, _ body: () throws(BackendError) -> Result
    ) throws(BackendError) -> Result {
        // Ordering: read before waiting. An attempt with a higher number ended after the caller came.
        let before = arrival ?? self.arrival
        return try last.withLock { last throws(BackendError) in
            if last.number > before, let error = last.error { throw error }
            last.number += 1
            defer { ended.store(last.number, ordering: .releasing) }
            do throws(BackendError) {
                let result = try body()
                last.error = nil
                return result
            } catch {
                last.error = error
                throw error
            }
        }
    }
}
