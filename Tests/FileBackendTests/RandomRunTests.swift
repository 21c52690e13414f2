import BlockBackend
import FileBackend
import Glibc
import MemoryBackend
import TCMUTestKit
import Testing

@Suite("Random operations against a plain array")
struct RandomRunTests {
    static let size = 1 << 20
    static let block = 512

    @Test("memory unit") func memory() throws {
        var rig = try Rig(try MemoryBackend.open(size: UInt64(Self.size)), slots: 32)
        try run(&rig, .announced("memory unit"))
    }

    @Test("file unit", arguments: Scratch.places) func file(place: String) throws {
        let scratch = try #require(Scratch(in: place))
        let path = scratch.file("image", size: Self.size)
        let backend = try FileBackend.open(
            path: path, direct: false, expectedSize: UInt64(Self.size), blockSize: UInt32(Self.block))
        var rig = try Rig(backend, slots: 32)
        try run(&rig, .announced("file unit on \(place)"))
    }

    /// Batches of operations on disjoint ranges, since overlapping ones have no order among themselves.
    private func run<Backend: BlockBackend & ~Copyable>(_ rig: inout Rig<Backend>, _ seed: SeededRandom) throws {
        var random = seed
        var model = [UInt8](repeating: 0, count: Self.size)
        let capabilities = rig.backend.capabilities
        for round in 0..<40 {
            var open = 0
            var checks: [Int: (buffer: Segments, expected: [UInt8])] = [:]
            var kept: [Segments] = []
            var failed: [IOResult] = []
            var next = Int.random(in: 0..<64, using: &random) * Self.block
            for slot in 0..<32 {
                let offset = next
                let count = Int.random(in: 1...64, using: &random) * Self.block
                next = offset + count + Int.random(in: 0..<8, using: &random) * Self.block
                if offset + count > Self.size { break }
                let range = offset..<offset + count
                let submission: Submission
                switch Int.random(in: 0..<10, using: &random) {
                case 0..<4:
                    let buffer = Segments(pieces(of: count, &random), fill: 0xEE, alignment: 16)
                    checks[slot] = (buffer, Array(model[range]))
                    submission = rig.backend.read(
                        extent(offset, count), into: buffer.list, ticket: rig.ticket(slot))
                case 4..<8:
                    let content = random.tiles(count)
                    let buffer = Segments(pieces(of: count, &random), content: content, alignment: 16)
                    kept.append(buffer)
                    model.replaceSubrange(range, with: content)
                    submission = rig.backend.write(
                        extent(offset, count), from: buffer.list, durable: Bool.random(using: &random),
                        ticket: rig.ticket(slot))
                case 8 where capabilities.discard != nil:
                    model.replaceSubrange(range, with: repeatElement(0, count: count))
                    submission = rig.backend.discard(extent(offset, count), ticket: rig.ticket(slot))
                default:
                    model.replaceSubrange(range, with: repeatElement(0, count: count))
                    submission = rig.backend.writeZeroes(extent(offset, count), ticket: rig.ticket(slot))
                }
                switch submission {
                case .pending: open += 1
                case .done(let result): if !result.isSuccess { failed.append(result) }
                }
            }
            while open > 0 {
                let count = rig.pass { _, result in if !result.isSuccess { failed.append(result) } }
                try #require(count > 0, "operations lost in round \(round)")
                open -= count
            }
            #expect(failed.isEmpty, "round \(round), \(seed)")
            for (_, check) in checks {
                let bytes = check.buffer.bytes
                #expect(Array(bytes.prefix(check.expected.count)) == check.expected, "round \(round), \(seed)")
                // Segments may be longer than the operation; what is behind it stays as it was.
                let rest = bytes.count - check.expected.count
                #expect(bytes.suffix(rest) == ArraySlice(repeating: 0xEE, count: rest), "round \(round), \(seed)")
                #expect(check.buffer.isIntact)
            }
            for buffer in kept { #expect(buffer.isIntact) }
        }
        let flushed = rig.answer(rig.backend.flush(ticket: rig.ticket()))
        #expect(flushed == .success)
        let (result, all) = rig.read(0, Self.size)
        #expect(result == .success)
        #expect(all == model)
        rig.backend.close()
    }

    /// Odd pieces that hold at least `count` bytes, some empty; the last may be longer than needed.
    private func pieces(of count: Int, _ random: inout SeededRandom) -> [Int] {
        var lengths: [Int] = []
        var left = count
        while left > 0 {
            let piece = Int.random(in: 0...min(left + 100, 9000), using: &random)
            lengths.append(piece)
            left -= piece
        }
        return lengths
    }
}
