internal import Synchronization

/// Keeps a daemon that is started again and again from filling the cluster's blocklist: each start fences the client that the one
/// before had for each image at work, entries live for an hour, and every OSD and client carries the list.
///
/// Of this machine's clients some rounds are fenced at once; with more in the list, one in ten seconds, counted from the
/// first that had to wait: a process that ends sooner adds none. Clients of other machines are fenced at once, always.
package final class FencePace: Sendable {
    /// That of this process.
    static let shared = FencePace()

    /// Milliseconds between two entries when there are many.
    private static let pause: Int64 = 10_000
    /// Entries that are no matter.
    private static let free = 100
    /// Further ones for each image that this process has open.
    private static let rounds = 4

    private let next = Mutex<Int64?>(nil)

    /// Of a process that has fenced nobody.
    package init() {}

    /// Whether a client of this machine is not to be fenced yet.
    ///
    /// - Parameters:
    ///   - entries: how many the blocklist has of this machine; nil where that is not known.
    ///   - images: how many this process has open.
    ///   - now: milliseconds of a clock that does not go back.
    package func mustWait(entries: () -> Int?, images: Int, now: Int64) -> Bool {
        guard let entries = entries(), entries >= FencePace.free + FencePace.rounds * images else { return false }
        return next.withLock { next in
            guard let due = next else {
                next = now + FencePace.pause
                return true
            }
            if now < due { return true }
            next = now + FencePace.pause
            return false
        }
    }
}
