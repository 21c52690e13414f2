/// A question about space that may need blocking calls, and its answer.
///
/// Written by one thread at a time: the asker before `BlockBackend.survey(_:ticket:)`, the backend until it posts
/// the ticket or answers `.done`, the asker after.
public final class Survey: @unchecked Sendable {
    // SAFETY: the ticket's way through the inbox orders the backend's writes before the asker's reads.

    /// What can be asked.
    public enum Question: Sendable, Equatable {
        /// Which parts of the extent are allocated; at most `limit` runs are wanted, and at least one is given.
        case allocation(ByteExtent, limit: Int)
        /// How much space there is.
        case space
    }

    /// What is asked.
    public let question: Question

    /// Runs from the extent's first byte on, without gaps, neighbours of different state; may end before the
    /// extent does, but is never empty for a non-empty extent after success.
    public var runs: [AllocationRun] = []

    /// Bytes that can still be allocated to this unit, by what the storage behind it has left; nil where unknown.
    public var availableBytes: UInt64?

    /// Bytes that are allocated to this unit; nil where unknown.
    public var usedBytes: UInt64?

    /// A question without an answer yet.
    public init(_ question: Question) {
        self.question = question
    }

    /// Adds a run behind the last one, or makes that longer if the state is the same. For backends.
    ///
    /// - Parameters:
    ///   - start: its first byte: the one behind the last run, if there is one.
    ///   - end: the byte behind it.
    /// - Returns: false if the run would be one more than `limit`, and was left out.
    public func append(from start: UInt64, to end: UInt64, isMapped: Bool, limit: Int) -> Bool {
        guard end > start else { return true }
        if let last = runs.last {
            precondition(last.extent.offset + last.extent.length == start, "a gap before byte \(start)")
            if last.isMapped == isMapped {
                let whole = ByteExtent(offset: last.extent.offset, length: end - last.extent.offset)
                runs[runs.count - 1].extent = whole
                return true
            }
        }
        guard runs.count < max(limit, 1) else { return false }
        runs.append(AllocationRun(extent: ByteExtent(offset: start, length: end - start), isMapped: isMapped))
        return true
    }
}

/// A range of bytes in one state of allocation.
public struct AllocationRun: Sendable, Equatable {
    /// Where.
    public var extent: ByteExtent
    /// True where space is allocated; false where there is none and reads give zeros.
    public var isMapped: Bool

    /// A run of one state.
    public init(extent: ByteExtent, isMapped: Bool) {
        self.extent = extent
        self.isMapped = isMapped
    }
}
