import BlockBackend
import Glibc
import RBDBackend
import Testing

@Suite("Segments against extents")
struct CoverageTests {
    /// How `lengths` cover `bytes`, in words.
    private func describe(_ lengths: [Int], _ bytes: UInt64) -> String {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 65536, alignment: 16)
        defer { memory.deallocate() }
        var iovecs = lengths.map { iovec(iov_base: memory, iov_len: $0) }
        return iovecs.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return "no list" }
            let list = SegmentList(base: base, count: buffer.count)
            switch coverage(of: ByteExtent(offset: 0, length: bytes), by: list) {
            case .linear: return "linear"
            case .vectored: return "vectored"
            case .trimmed(let count, let last): return "\(count) cut at \(last)"
            case .tooShort: return "too short"
            }
        }
    }

    @Test(
        "a list is used as it is only where it is exactly as long as the extent",
        arguments: [
            ([4096], 4096, "linear"), ([8192], 4096, "linear"), ([4096, 4096], 4096, "linear"),
            ([512, 512], 1024, "vectored"), ([512, 0, 512], 1024, "vectored"), ([1, 1022, 1], 1024, "vectored"),
            ([512, 1024], 1024, "2 cut at 512"), ([512, 512, 512], 1024, "2 cut at 512"),
            ([512, 512, 0], 1024, "2 cut at 512"), ([512], 1024, "too short"), ([0, 0], 1, "too short"),
            ([512, 512], .max, "too short"),
        ] as [([Int], UInt64, String)])
    func table(lengths: [Int], bytes: UInt64, expected: String) {
        #expect(describe(lengths, bytes) == expected)
    }
}
