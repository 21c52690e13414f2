import BlockBackend
import Glibc
import MemoryBackend
import Reactor
import Testing

@Suite("Surveys of a memory unit")
struct MemorySurveyTests {
    private static let page = max(sysconf(CInt(_SC_PAGESIZE)), 4096)

    /// Runs `body` on a fresh unit; nothing in it is ever pending.
    private func withUnit(size: Int, _ body: (inout MemoryBackend, IOTicket) throws -> Void) throws {
        let wake = try WakeSignal()
        let inbox = CompletionInbox(wakeDescriptor: wake.descriptor)
        let node = UnsafeMutablePointer<CompletionNode>.allocate(capacity: 1)
        node.initialize(to: CompletionNode(unit: 0, slot: 0, inbox: inbox))
        defer {
            node.deinitialize(count: 1)
            node.deallocate()
            inbox.destroy()
        }
        var unit = try MemoryBackend.open(size: UInt64(size))
        try body(&unit, IOTicket(node))
        unit.close()
    }

    private func runs(
        _ unit: inout MemoryBackend, _ ticket: IOTicket, _ range: Range<Int>, limit: Int = .max
    ) -> [AllocationRun]? {
        let survey = Survey(
            .allocation(ByteExtent(offset: UInt64(range.lowerBound), length: UInt64(range.count)), limit: limit))
        guard case .done(let result) = unit.survey(survey, ticket: ticket), result == .success else { return nil }
        return survey.runs
    }

    private func run(_ range: Range<Int>, _ isMapped: Bool) -> AllocationRun {
        AllocationRun(
            extent: ByteExtent(offset: UInt64(range.lowerBound), length: UInt64(range.count)), isMapped: isMapped)
    }

    private func fill(_ unit: inout MemoryBackend, _ ticket: IOTicket, _ range: Range<Int>, _ byte: UInt8 = 1) {
        var content = [UInt8](repeating: byte, count: range.count)
        let answered = content.withUnsafeMutableBytes { bytes in
            var vector = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
            return withUnsafeMutablePointer(to: &vector) {
                isSuccess(
                    unit.write(
                        ByteExtent(offset: UInt64(range.lowerBound), length: UInt64(range.count)),
                        from: SegmentList(base: $0, count: 1), durable: false, ticket: ticket))
            }
        }
        #expect(answered)
    }

    private func isSuccess(_ submission: Submission) -> Bool {
        if case .done(let result) = submission { result == .success } else { false }
    }

    @Test("what was written is mapped page by page, and what was given back is not") func pages() throws {
        let page = Self.page
        let size = 200 * page + 512
        try withUnit(size: size) { unit, ticket in
            #expect(unit.capabilities.reportsAllocation)
            #expect(runs(&unit, ticket, 0..<size) == [run(0..<size, false)])
            fill(&unit, ticket, page + 512..<page + 1024)
            fill(&unit, ticket, 64 * page..<140 * page)
            fill(&unit, ticket, 200 * page..<size)
            let all = [
                run(0..<page, false), run(page..<2 * page, true), run(2 * page..<64 * page, false),
                run(64 * page..<140 * page, true), run(140 * page..<200 * page, false),
                run(200 * page..<size, true),
            ]
            #expect(runs(&unit, ticket, 0..<size) == all)
            for limit in 1...7 { #expect(runs(&unit, ticket, 0..<size, limit: limit) == Array(all.prefix(limit))) }
            #expect(
                runs(&unit, ticket, page + 100..<2 * page + 1)
                    == [run(page + 100..<2 * page, true), run(2 * page..<2 * page + 1, false)])
            #expect(runs(&unit, ticket, page..<page) == [])
            // The edges of a discard are zeroed, and stay.
            let discarded = unit.discard(
                ByteExtent(offset: UInt64(100 * page - 1), length: UInt64(10 * page)), ticket: ticket)
            #expect(isSuccess(discarded))
            #expect(
                runs(&unit, ticket, 90 * page..<120 * page) == [
                    run(90 * page..<100 * page, true), run(100 * page..<109 * page, false),
                    run(109 * page..<120 * page, true),
                ])
        }
    }

    @Test("random writes and discards agree with a list of pages", arguments: [1, UInt64.random(in: 2...1 << 32)])
    func random(seed: UInt64) throws {
        var state = seed
        func draw(_ limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % limit
        }
        let page = Self.page
        let count = 300
        try withUnit(size: count * page) { unit, ticket in
            var isMapped = [Bool](repeating: false, count: count)
            for step in 0..<400 {
                let start = draw(count * page)
                let length = 1 + draw(min(count * page - start, 80 * page))
                let extent = ByteExtent(offset: UInt64(start), length: UInt64(length))
                let touched = start / page...(start + length - 1) / page
                if step % 3 == 0 {
                    #expect(isSuccess(unit.discard(extent, ticket: ticket)))
                    for index in touched where index * page >= start && (index + 1) * page <= start + length {
                        isMapped[index] = false
                    }
                } else {
                    fill(&unit, ticket, start..<start + length)
                    for index in touched { isMapped[index] = true }
                }
                let found = try #require(runs(&unit, ticket, start..<count * page))
                var position = start
                for run in found {
                    #expect(run.extent.offset == UInt64(position), "seed \(seed) step \(step)")
                    let end = position + Int(run.extent.length)
                    for index in position / page...(end - 1) / page where isMapped[index] != run.isMapped {
                        Issue.record("seed \(seed) step \(step): page \(index)")
                        return
                    }
                    position = end
                }
                #expect(position == count * page, "seed \(seed) step \(step)")
            }
        }
    }

    @Test("zeros given as a pattern free space, others take it; one survey covers 4 GiB of pages") func patterns()
        throws
    {
        let page = Self.page
        let size = (1 << 20) * page + 3 * page
        try withUnit(size: size) { unit, ticket in
            let whole = ByteExtent(offset: 0, length: UInt64(8 * page))
            for (byte, isMapped) in [(UInt8(7), true), (0, false)] {
                var pattern = [UInt8](repeating: byte, count: 512)
                let answered = pattern.withUnsafeMutableBytes { bytes in
                    var vector = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
                    return withUnsafeMutablePointer(to: &vector) {
                        isSuccess(
                            unit.writeSame(
                                whole, pattern: SegmentList(base: $0, count: 1), patternLength: 512, ticket: ticket)
                        )
                    }
                }
                #expect(answered)
                #expect(runs(&unit, ticket, 0..<8 * page) == [run(0..<8 * page, isMapped)])
            }
            #expect(runs(&unit, ticket, 0..<size) == [run(0..<(1 << 20) * page, false)])
            #expect(runs(&unit, ticket, page + 1..<size) == [run(page + 1..<((1 << 20) + 1) * page, false)])
            #expect(runs(&unit, ticket, 3 * page..<size) == [run(3 * page..<size, false)])
        }
    }

    @Test("space is not known, and prefetching is done at once") func others() throws {
        try withUnit(size: 8192) { unit, ticket in
            let survey = Survey(.space)
            #expect(isSuccess(unit.survey(survey, ticket: ticket)))
            #expect(survey.availableBytes == nil && survey.usedBytes == nil)
            #expect(!unit.capabilities.reportsSpace)
            #expect(unit.capabilities.atomicWriteBytes == 0)
            #expect(isSuccess(unit.prefetch(ByteExtent(offset: 0, length: 8192), ticket: ticket)))
        }
    }
}
