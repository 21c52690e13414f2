internal import Glibc

/// Answers "is this the owner's thread?" for state that one thread owns without a lock.
///
/// Checked with `precondition` on the slow entry points (attach, detach, service), not per command.
public struct OwnerCheck: Sendable {
    private let owner: pthread_t

    /// Makes the calling thread the owner.
    public init() {
        owner = OwnedThread.current
    }

    /// True on the thread that made this value.
    public var holds: Bool {
        pthread_equal(owner, OwnedThread.current) != 0
    }
}
