import BlockBackend
import Glibc
import Reactor
import Testing

/// All that a backend has to say itself. That this compiles is half of the test.
private struct SmallestBackend: BlockBackend, ~Copyable {
    var capabilities: BackendCapabilities { BackendCapabilities() }
    var size: UInt64 { 4096 }
    var reads: [ByteExtent] = []

    mutating func read(_ extent: ByteExtent, into segments: SegmentList, ticket: IOTicket) -> Submission {
        reads.append(extent)
        return .pending
    }

    mutating func write(
        _ extent: ByteExtent, from segments: SegmentList, durable: Bool, ticket: IOTicket
    ) -> Submission { .pending }

    mutating func flush(ticket: IOTicket) -> Submission { .pending }
    mutating func close() {}
}

@Suite("What a backend need not say")
struct DefaultsTests {
    @Test("It always may write, answers from elsewhere, and refuses what it has not claimed")
    func defaults() throws {
        let wake = try WakeSignal()
        let inbox = CompletionInbox(wakeDescriptor: wake.descriptor)
        defer { inbox.destroy() }
        let node = UnsafeMutablePointer<CompletionNode>.allocate(capacity: 1)
        node.initialize(to: CompletionNode(unit: 0, slot: 0, inbox: inbox))
        defer {
            node.deinitialize(count: 1)
            node.deallocate()
        }
        let ticket = IOTicket(node)
        let vectors = UnsafeMutablePointer<iovec>.allocate(capacity: 1)
        vectors.initialize(to: iovec())
        defer { vectors.deallocate() }
        let segments = SegmentList(base: vectors, count: 1)
        let extent = ByteExtent(offset: 512, length: 1024)

        var backend = SmallestBackend()
        let hasKeeper = backend.keeper != nil
        let said = [
            UInt64(bitPattern: Int64(backend.completionDescriptor)), backend.hasAnswers ? 1 : 0, hasKeeper ? 1 : 0,
            backend.writeGeneration, backend.takeovers,
        ]
        #expect(said == [.max, 0, 0, 0, 0])
        let claim = backend.claimWriting()
        let isHandedOver = backend.submitBatch()
        #expect(claim == .success && isHandedOver)

        let medium = backend.readMedium(extent, into: segments, ticket: ticket)
        let reads = backend.reads
        #expect(result(medium) == nil && reads == [extent], "without a cache the medium is what is read")
        let prefetch = backend.prefetch(extent, ticket: ticket)
        #expect(result(prefetch) == .success)

        let unclaimed = [
            backend.discard(extent, ticket: ticket),
            backend.writeZeroes(extent, ticket: ticket),
            backend.writeSame(extent, pattern: segments, patternLength: 512, ticket: ticket),
            backend.compareAndWrite(extent, data: segments, ticket: ticket),
            backend.survey(Survey(.space), ticket: ticket),
        ]
        for submission in unclaimed { #expect(result(submission) == IOResult(code: -EOPNOTSUPP)) }
        backend.close()
    }

    private func result(_ submission: Submission) -> IOResult? {
        if case .done(let result) = submission { result } else { nil }
    }
}
