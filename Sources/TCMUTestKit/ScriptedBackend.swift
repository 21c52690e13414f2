public import BlockBackend

/// A backend that does what its ``BackendScript`` says: answers late, out of order, from foreign threads, or with
/// errors. Everything that the unit asks is written down there.
public struct ScriptedBackend: BlockBackend, ~Copyable {
    private let script: BackendScript

    /// A backend that follows `script`.
    public init(_ script: BackendScript) {
        self.script = script
    }

    /// As the script claims.
    public var capabilities: BackendCapabilities { script.capabilities }

    /// As the script says, in bytes.
    public var size: UInt64 { script.size }

    /// As the script has it.
    public var keeper: (any BackendKeeper)? { script.keeper }

    /// As the script has it.
    public var writeGeneration: UInt64 { script.ownership.generation }

    /// What the script says.
    public var takeovers: UInt64 { script.ownership.takeovers }

    /// As the script has it.
    public func claimWriting() -> IOResult { script.claim() }

    /// From now on what was awaited is not.
    public func stopAwaitingRight() { script.ownership.isAwaited = false }

    /// Counted.
    public func beginNeedingRight() { script.ownership.needs += 1 }

    /// Counted.
    public func endNeedingRight() { script.ownership.needs -= 1 }

    /// Recorded.
    public func operationFailed(_ code: Int32) { script.note(failure: code) }

    /// Recorded; answered as scripted.
    public mutating func read(_ extent: ByteExtent, into segments: SegmentList, ticket: IOTicket) -> Submission {
        submit(.read, extent, segments, ticket)
    }

    /// Recorded; answered as scripted.
    public mutating func readMedium(
        _ extent: ByteExtent, into segments: SegmentList, ticket: IOTicket
    ) -> Submission {
        precondition(capabilities.volatileCache, "readMedium without a cache")
        return submit(.read, extent, segments, ticket, isOfMedium: true)
    }

    /// Recorded; answered as scripted.
    public mutating func write(
        _ extent: ByteExtent, from segments: SegmentList, durable: Bool, ticket: IOTicket
    ) -> Submission {
        submit(.write, extent, segments, ticket, isDurable: durable)
    }

    /// Recorded; answered as scripted.
    public mutating func flush(ticket: IOTicket) -> Submission {
        submit(.flush, ByteExtent(offset: 0, length: 0), nil, ticket)
    }

    /// Recorded; answered as scripted.
    public mutating func discard(_ extent: ByteExtent, ticket: IOTicket) -> Submission {
        precondition(capabilities.discard != nil, "discard without the capability")
        return submit(.discard, extent, nil, ticket)
    }

    /// Recorded; answered as scripted.
    public mutating func writeZeroes(_ extent: ByteExtent, ticket: IOTicket) -> Submission {
        precondition(capabilities.nativeWriteZeroes, "writeZeroes without the capability")
        return submit(.writeZeroes, extent, nil, ticket)
    }

    /// Recorded; answered as scripted.
    public mutating func writeSame(
        _ extent: ByteExtent, pattern segments: SegmentList, patternLength: Int, ticket: IOTicket
    ) -> Submission {
        precondition(capabilities.nativeWriteSame, "writeSame without the capability")
        precondition(patternLength > 0 && extent.length % UInt64(patternLength) == 0, "pattern of \(patternLength)")
        return submit(.writeSame, extent, segments, ticket, patternLength: patternLength)
    }

    /// Recorded; answered as scripted.
    public mutating func compareAndWrite(
        _ extent: ByteExtent, data segments: SegmentList, ticket: IOTicket
    ) -> Submission {
        precondition(extent.length <= capabilities.nativeCompareAndWriteBytes, "longer than the capability")
        return submit(.compareAndWrite, extent, segments, ticket)
    }

    /// Recorded; answered as scripted.
    public mutating func prefetch(_ extent: ByteExtent, ticket: IOTicket) -> Submission {
        submit(.prefetch, extent, nil, ticket)
    }

    /// Recorded; answered as scripted.
    public mutating func survey(_ survey: Survey, ticket: IOTicket) -> Submission {
        let extent: ByteExtent
        switch survey.question {
        case .allocation(let asked, _): extent = asked
        case .space: extent = ByteExtent(offset: 0, length: 0)
        }
        return submit(.survey, extent, nil, ticket, survey: survey)
    }

    /// Counted.
    @discardableResult
    public mutating func submitBatch() -> Bool {
        script.countBatch()
        return true
    }

    /// Recorded; stops the process if a ticket is out.
    public mutating func close() {
        script.close()
    }

    private func submit(
        _ kind: BackendScript.Kind, _ extent: ByteExtent, _ segments: SegmentList?, _ ticket: IOTicket,
        isDurable: Bool = false, isOfMedium: Bool = false, patternLength: Int = 0, survey: Survey? = nil
    ) -> Submission {
        let operation = BackendScript.Operation(
            kind: kind, extent: extent, isDurable: isDurable, isOfMedium: isOfMedium)
        return script.submit(
            BackendScript.Held(
                operation: operation, segments: segments, patternLength: patternLength, survey: survey,
                ticket: ticket))
    }
}
