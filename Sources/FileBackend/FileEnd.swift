internal import BlockBackend
internal import Glibc
internal import Synchronization

/// Where an open image ends, as far as is known: what lies beyond was there when it was opened, and was cut off since.
///
/// A regular file takes a write beyond its end and grows, and the bytes between read zeros, so the end has to be known before.
/// Shared by the loop, which asks with each operation, and whoever finds it out.
final class FileEnd: Sendable {
    private let bytes: Atomic<UInt64>

    /// Whether the image was written lately.
    private enum Activity {
        static let none: UInt8 = 0
        /// Not since the last look.
        static let looked: UInt8 = 1
        static let written: UInt8 = 2
    }

    private let activity = Atomic<UInt8>(Activity.none)

    init(_ bytes: UInt64) {
        self.bytes = Atomic(bytes)
    }

    /// Whether the image has all of it.
    func has(offset: UInt64, length: UInt64) -> Bool {
        // Ordering: relaxed, as a cut is never in order with what is under way.
        let end = bytes.load(ordering: .relaxed)
        return offset <= end && length <= end - offset
    }

    /// The image was found to have so many bytes.
    func found(_ now: UInt64) {
        bytes.store(now, ordering: .relaxed)
    }

    /// A read came to the end there.
    func ended(at offset: UInt64) {
        if offset < bytes.load(ordering: .relaxed) { bytes.store(offset, ordering: .relaxed) }
    }

    /// Notes a write, on the loop. Returns whether it is the first after a rest, so that the looks have to begin again.
    func noteWrite() -> Bool {
        if activity.load(ordering: .relaxed) == Activity.written { return false }
        return activity.exchange(Activity.written, ordering: .acquiringAndReleasing) == Activity.none
    }

    /// Nobody could be told of the write: the next one is the first after a rest again.
    func forgetWrite() {
        activity.store(Activity.none, ordering: .releasing)
    }

    /// Whether it was written since the last look; the looks end with the second one that finds nothing.
    func takeActivity() -> (wasWritten: Bool, goesOn: Bool) {
        let before = activity.load(ordering: .relaxed)
        guard before != Activity.none else { return (false, false) }
        let after = before == Activity.written ? Activity.looked : Activity.none
        let isUnchanged = activity.compareExchange(
            expected: before, desired: after, ordering: .acquiringAndReleasing
        ).exchanged
        // Written at this moment: it is seen the next time.
        guard isUnchanged else { return (true, true) }
        return (before == Activity.written, after != Activity.none)
    }
}
