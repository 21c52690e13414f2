internal import Glibc

// What most backends would say alike. Without a word on them a backend answers each operation at once or from another
// thread, always may write, and has nothing that looks after it.
//
// `@inlinable`, since each turn of a unit asks some of them: where the backend's type is known they cost nothing.
extension BlockBackend where Self: ~Copyable {
    /// -1: tickets come from other threads, or none does.
    @inlinable
    public var completionDescriptor: CInt { -1 }

    /// False: tickets come from other threads, or none does.
    @inlinable
    public var hasAnswers: Bool { false }

    /// Nil: nothing changes by itself.
    @inlinable
    public var keeper: (any BackendKeeper)? { nil }

    /// 0: the right to write is never lost.
    @inlinable
    public var writeGeneration: UInt64 { 0 }

    /// 0: the right to write is never lost.
    @inlinable
    public var takeovers: UInt64 { 0 }

    /// Success: the backend always may write.
    @inlinable
    public mutating func claimWriting() -> IOResult { .success }

    /// Nothing: the backend always may write.
    @inlinable
    public mutating func stopAwaitingRight() {}

    /// Nothing: the backend always may write.
    @inlinable
    public mutating func beginNeedingRight() {}

    /// Nothing: the backend always may write.
    @inlinable
    public mutating func endNeedingRight() {}

    /// Nothing: a failure says nothing of the backend as a whole.
    @inlinable
    public mutating func operationFailed(_ code: Int32) {}

    /// As `read`: there is no cache, or it cannot be passed by.
    @inlinable
    public mutating func readMedium(
        _ extent: ByteExtent, into segments: SegmentList, ticket: IOTicket
    ) -> Submission {
        read(extent, into: segments, ticket: ticket)
    }

    /// Success: a hint, of which nothing comes.
    @inlinable
    public mutating func prefetch(_ extent: ByteExtent, ticket: IOTicket) -> Submission { .done(.success) }

    /// Nothing to hand over: each operation has been begun when it was submitted.
    @discardableResult
    @inlinable
    public mutating func submitBatch() -> Bool { true }

    /// Nothing to collect: tickets come from other threads, or none does.
    @inlinable
    public mutating func reap() {}

    // MARK: - What `capabilities` does not claim is never called

    /// EOPNOTSUPP: not called without `capabilities.discard`.
    public mutating func discard(_ extent: ByteExtent, ticket: IOTicket) -> Submission { unsupported }

    /// EOPNOTSUPP: not called without `capabilities.nativeWriteSame`.
    public mutating func writeSame(
        _ extent: ByteExtent, pattern segments: SegmentList, patternLength: Int, ticket: IOTicket
    ) -> Submission { unsupported }

    /// EOPNOTSUPP: not called without `capabilities.nativeWriteZeroes`.
    public mutating func writeZeroes(_ extent: ByteExtent, ticket: IOTicket) -> Submission { unsupported }

    /// EOPNOTSUPP: not called without `capabilities.nativeCompareAndWriteBytes`.
    public mutating func compareAndWrite(
        _ extent: ByteExtent, data segments: SegmentList, ticket: IOTicket
    ) -> Submission { unsupported }

    /// EOPNOTSUPP: not called without `capabilities.reportsAllocation` or `capabilities.reportsSpace`.
    public mutating func survey(_ survey: Survey, ticket: IOTicket) -> Submission { unsupported }

    private var unsupported: Submission { .done(IOResult(code: -EOPNOTSUPP)) }
}
