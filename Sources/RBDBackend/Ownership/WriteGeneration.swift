/// Counts the times that the right to write was lost, which is later than the times that writes were held back: a gate that is
/// closed for writes under way, and opened again because they took too long, has lost nothing.
struct WriteGeneration {
    /// What was read under another value may have been overwritten by another gateway since.
    private(set) var count: UInt64 = 0
    /// Writes are held back, and the right is there yet.
    private var isInDoubt = false

    /// No more writes are let through, by a client that may keep the lock.
    mutating func pause() { isInDoubt = true }

    /// Writes are let through: under the same right, unless ``release()`` came in between.
    mutating func resume() { isInDoubt = false }

    /// The lock is about to be given back, if it is there: others may write from here on.
    mutating func release() {
        if isInDoubt { count &+= 1 }
        isInDoubt = false
    }

    /// The image is lost, or was opened again.
    mutating func lose() {
        count &+= 1
        isInDoubt = false
    }
}
