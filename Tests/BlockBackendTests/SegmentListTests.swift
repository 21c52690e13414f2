import BlockBackend
import Glibc
import Testing

@Suite("Segment lists")
struct SegmentListTests {
    /// Runs `body` on pieces of the given lengths that lie in one block of bytes 0, 1, 2, …, a gap of 3 apart.
    private func withSegments(_ lengths: [Int], _ body: (SegmentList, UnsafeMutableRawBufferPointer) throws -> Void)
        rethrows
    {
        let memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: lengths.reduce(0) { $0 + $1 + 3 }, alignment: 16)
        defer { memory.deallocate() }
        for index in memory.indices { memory[index] = UInt8(truncatingIfNeeded: index) }
        var vectors: [iovec] = []
        var at = 0
        for length in lengths {
            vectors.append(iovec(iov_base: memory.baseAddress.map { $0 + at }, iov_len: length))
            at += length + 3
        }
        try vectors.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            try body(SegmentList(base: base, count: lengths.count), memory)
        }
    }

    private func bytes(_ list: SegmentList, from offset: Int, count: Int) -> [UInt8] {
        var copy = [UInt8](repeating: 0xFF, count: count)
        let copied = copy.withUnsafeMutableBytes { list.read(into: $0, from: offset) }
        return Array(copy.prefix(copied))
    }

    @Test("the byte count is the sum", arguments: [([5], 5), ([1, 0, 2], 3), ([4096, 512], 4608)])
    func byteCount(lengths: [Int], sum: Int) {
        withSegments(lengths) { list, _ in #expect(list.byteCount == UInt64(sum)) }
    }

    @Test(
        "reading crosses pieces, skips empty ones and stops at the end",
        arguments: [
            (0, 4, [0, 1, 5, 6]), (1, 2, [1, 5]), (2, 3, [5, 6, 7]), (0, 100, [0, 1, 5, 6, 7, 14]), (5, 4, [14]),
            (6, 1, []), (100, 1, []), (0, 0, []),
        ])
    func reading(offset: Int, count: Int, expected: [UInt8]) {
        withSegments([2, 3, 0, 1]) { list, _ in #expect(bytes(list, from: offset, count: count) == expected) }
    }

    @Test("writing touches the pieces and nothing between them") func writing() {
        withSegments([2, 3, 0, 1]) { list, memory in
            let content: [UInt8] = [100, 101, 102, 103]
            let copied = content.withUnsafeBytes { list.write($0, at: 1) }
            #expect(copied == 4)
            #expect(Array(memory) == [0, 100, 2, 3, 4, 101, 102, 103, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17])
        }
    }

    @Test("writing more than fits says how much did") func overflow() {
        withSegments([2, 3]) { list, memory in
            let copied = [UInt8](repeating: 9, count: 50).withUnsafeBytes { list.write($0, at: 3) }
            #expect(copied == 2)
            #expect(Array(memory) == [0, 1, 2, 3, 4, 5, 9, 9, 8, 9, 10])
        }
    }

    @Test("zeroing a range leaves the rest") func zeroing() {
        withSegments([2, 3]) { list, memory in
            list.zero(from: 1, length: 2)
            #expect(Array(memory) == [0, 0, 2, 3, 4, 0, 6, 7, 8, 9, 10])
        }
    }

    @Test(
        "the first difference is counted from the start, and missing bytes differ",
        arguments: [
            ([0, 1, 5, 6, 7], nil), ([9, 1, 5, 6, 7], 0), ([0, 1, 5, 9, 7], 3), ([0, 1, 5, 6, 7, 8], 5),
            ([0, 9, 9], 1), ([], nil),
        ] as [([UInt8], Int?)])
    func difference(other: [UInt8], expected: Int?) {
        withSegments([2, 3]) { list, _ in
            #expect(other.withUnsafeBytes { list.firstDifference(from: $0) } == expected)
        }
    }

    @Test("zero means all of that many bytes") func zeroTest() {
        withSegments([2, 3]) { list, _ in
            #expect(list.isZero(length: 0))
            #expect(list.isZero(length: 1))
            #expect(!list.isZero(length: 2))
            list.zero(from: 0, length: 5)
            #expect(list.isZero(length: 5))
            #expect(!list.isZero(length: 6))
        }
    }

    @Test("a visit can stop early and is told what came before") func visiting() {
        withSegments([2, 3, 4]) { list, _ in
            var seen: [[Int]] = []
            list.forEachPiece(from: 1, length: 100) { piece, before in
                seen.append([piece.count, before])
                return seen.count < 2
            }
            #expect(seen == [[1, 0], [3, 1]])
        }
    }
}
