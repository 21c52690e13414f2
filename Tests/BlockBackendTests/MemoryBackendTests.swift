import BlockBackend
import Glibc
import MemoryBackend
import Reactor
import SystemPackage
import Testing

/// What the random run does not reach: patterns, compare and write, edges of the size.
@Suite("Memory unit")
struct MemoryBackendTests {
    /// Runs `body` on a unit of `size` bytes whose content is 0, 1, 2, … modulo 251.
    private func withUnit(
        size: Int = 32768, _ body: (inout MemoryBackend, IOTicket) throws -> Void
    ) throws {
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
        let ticket = IOTicket(node)
        let result = with(ramp(size)) {
            unit.write(whole(size), from: $0, durable: true, ticket: ticket)
        }
        #expect(result == .success)
        try body(&unit, ticket)
        #expect(inbox.takeAll() == nil, "a synchronous unit posts no ticket")
        unit.close()
        unit.close()
    }

    private func ramp(_ size: Int) -> [UInt8] { (0..<size).map { UInt8($0 % 251) } }
    private func whole(_ size: Int) -> ByteExtent { ByteExtent(offset: 0, length: UInt64(size)) }
    private func range(_ range: Range<Int>) -> ByteExtent {
        ByteExtent(offset: UInt64(range.lowerBound), length: UInt64(range.count))
    }

    /// The answer of an operation whose data is `bytes`, in two pieces.
    private func with(_ bytes: [UInt8], _ operation: (SegmentList) -> Submission) -> IOResult? {
        var bytes = bytes
        return bytes.withUnsafeMutableBytes { buffer in
            let half = buffer.count / 3
            var vectors = [
                iovec(iov_base: buffer.baseAddress, iov_len: half),
                iovec(iov_base: buffer.baseAddress.map { $0 + half }, iov_len: buffer.count - half),
            ]
            return vectors.withUnsafeMutableBufferPointer { vectors -> IOResult? in
                guard let base = vectors.baseAddress else { return nil }
                return answer(operation(SegmentList(base: base, count: 2)))
            }
        }
    }

    private func answer(_ submission: Submission) -> IOResult? {
        if case .done(let result) = submission { result } else { nil }
    }

    private func content(_ unit: inout MemoryBackend, _ ticket: IOTicket) -> [UInt8] {
        let size = Int(unit.size)
        return withUnsafeTemporaryAllocation(byteCount: size, alignment: 16) { buffer in
            var vector = iovec(iov_base: buffer.baseAddress, iov_len: size)
            _ = withUnsafeMutablePointer(to: &vector) {
                unit.read(whole(size), into: SegmentList(base: $0, count: 1), ticket: ticket)
            }
            return Array(buffer)
        }
    }

    @Test("a fresh unit reads zeros") func fresh() throws {
        var unit = try MemoryBackend.open(size: 4096)
        try withUnit { _, ticket in #expect(content(&unit, ticket) == [UInt8](repeating: 0, count: 4096)) }
        unit.close()
    }

    @Test(
        "sizes that cannot be had",
        arguments: [(UInt64(0), Errno.invalidArgument), (1 << 62, .noMemory), (.max, .noMemory)])
    func sizes(size: UInt64, error: Errno) {
        let thrown = #expect(throws: BackendError.self) { _ = try MemoryBackend.open(size: size) }
        #expect(thrown?.errno == error)
    }

    @Test(
        "a pattern fills its range and nothing else",
        arguments: [(512, 0..<512), (512, 512..<5120), (520, 1040..<14040), (1, 7..<20001), (4096, 0..<32768)])
    func pattern(length: Int, target: Range<Int>) throws {
        try withUnit { unit, ticket in
            let pattern = (0..<length).map { UInt8(($0 * 7 + 1) % 256) }
            let result = with(pattern) {
                unit.writeSame(range(target), pattern: $0, patternLength: length, ticket: ticket)
            }
            #expect(result == .success)
            var expected = ramp(32768)
            for (index, at) in target.enumerated() { expected[at] = pattern[index % length] }
            #expect(content(&unit, ticket) == expected)
        }
    }

    @Test("patterns that are no pattern are refused", arguments: [0, -1, 1025]) func noPattern(length: Int) throws {
        try withUnit { unit, ticket in
            let result = with([1, 2, 3, 4]) {
                unit.writeSame(range(0..<1024), pattern: $0, patternLength: length, ticket: ticket)
            }
            #expect(result == IOResult(code: -EINVAL))
            #expect(content(&unit, ticket) == ramp(32768))
        }
    }

    @Test(
        "zeroing, page-aligned or not, zeroes exactly its range",
        arguments: [0..<4096, 1..<4095, 512..<1024, 4000..<4200, 100..<30000, 4096..<12288, 0..<32768, 5..<5])
    func zeroing(target: Range<Int>) throws {
        var expected = ramp(32768)
        expected.replaceSubrange(target, with: repeatElement(0, count: target.count))
        try withUnit { unit, ticket in
            #expect(answer(unit.discard(range(target), ticket: ticket)) == .success)
            #expect(content(&unit, ticket) == expected)
        }
        try withUnit { unit, ticket in
            #expect(answer(unit.writeZeroes(range(target), ticket: ticket)) == .success)
            #expect(content(&unit, ticket) == expected)
        }
        try withUnit { unit, ticket in
            let result = with([0, 0, 0, 0, 0]) {
                unit.writeSame(range(target), pattern: $0, patternLength: target.isEmpty ? 5 : 1, ticket: ticket)
            }
            #expect(result == .success)
            #expect(content(&unit, ticket) == expected)
        }
    }

    @Test("compare and write: equal data is replaced") func compareEqual() throws {
        try withUnit { unit, ticket in
            let old = Array(ramp(32768)[1024..<2048])
            let new = [UInt8](repeating: 0xFE, count: 1024)
            let result = with(old + new) {
                unit.compareAndWrite(range(1024..<2048), data: $0, ticket: ticket)
            }
            #expect(result == .success)
            var expected = ramp(32768)
            expected.replaceSubrange(1024..<2048, with: new)
            #expect(content(&unit, ticket) == expected)
        }
    }

    @Test("compare and write: a difference names its place and writes nothing", arguments: [0, 1, 511, 1023])
    func compareDifferent(place: Int) throws {
        try withUnit { unit, ticket in
            var old = Array(ramp(32768)[1024..<2048])
            old[place] ^= 0x80
            let result = with(old + old) {
                unit.compareAndWrite(range(1024..<2048), data: $0, ticket: ticket)
            }
            #expect(result == .miscompare(at: UInt64(place)))
            #expect(content(&unit, ticket) == ramp(32768))
        }
    }

    @Test("data shorter than the operation is refused and a half compare-and-write writes nothing") func shortData()
        throws
    {
        try withUnit { unit, ticket in
            let old = Array(ramp(32768)[0..<512])
            let half = with(old + [1, 2, 3]) { unit.compareAndWrite(range(0..<512), data: $0, ticket: ticket) }
            #expect(half == IOResult(code: -EINVAL))
            #expect(content(&unit, ticket) == ramp(32768))
            let short = with(old) { unit.write(range(0..<1024), from: $0, durable: false, ticket: ticket) }
            #expect(short == IOResult(code: -EINVAL))
        }
    }
}
