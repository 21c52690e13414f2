import BlockBackend
import SCSI
import Testing

@testable import LogicalUnit

@Suite("Which piece of the medium an erasure does next, and how far it says it is")
struct MediumErasureTests {
    @Test(
        "The pieces cover the medium once, in order, none longer than the limit",
        arguments: [(1 << 20, 1 << 20), (1 << 20, 4096), (10_000_384, 1 << 20), (512, 1 << 20)]
            as [(UInt64, UInt64)])
    func pieces(_ size: UInt64, _ limit: UInt64) {
        var erasure = MediumErasure(.format, .zeroes, size: size)
        var end: UInt64 = 0
        while let piece = erasure.next(upTo: limit) {
            #expect(piece.offset == end)
            #expect(piece.length > 0 && piece.length <= limit)
            end += piece.length
        }
        #expect(end == size)
        #expect(erasure.progress == .max)
    }

    @Test("A fast format and an empty medium have no pieces")
    func nothing() {
        var fast = MediumErasure(.format, .nothing, size: 1 << 30)
        #expect(fast.next(upTo: 512) == nil)
        #expect(fast.progress == .max)
        var empty = MediumErasure(.sanitize, .deallocation, size: 0)
        #expect(empty.next(upTo: 512) == nil)
    }

    @Test("Progress runs over all passes and never goes back")
    func progress() throws {
        let list: [UInt8] = [3, 0, 0, 1, 0x55]
        let command = Sanitize(action: .overwrite, parameterListLength: 5)
        let parameters = try list.withUnsafeBytes { bytes throws(Sense) in
            try OverwriteParameters(bytes, for: command, blockSize: 512)
        }
        var erasure = MediumErasure(.sanitize, .overwrite(parameters), size: 3 << 20)
        var seen: [UInt16] = [erasure.progress]
        while erasure.next(upTo: 1 << 20) != nil { seen.append(erasure.progress) }
        #expect(seen.count == 10)
        #expect(seen == seen.sorted() && Set(seen).count == seen.count)
        #expect(seen.first == 0 && seen[3] == 21845 && seen.last == .max)
    }
}
