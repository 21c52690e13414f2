import BlockBackend
import TCMUTestKit
import Testing

@testable import FileBackend

@Suite("Buffered writes through a writer")
struct WriterTests {
    private static let slots = 32
    private static let slotBytes = 256 << 10

    /// Queues one write per slot, of lengths around those that are answered at once and in groups.
    private func queue(
        _ rig: inout Rig<FileBackend>, _ random: inout SeededRandom, _ model: inout [UInt8]
    ) -> [Segments] {
        (0..<Self.slots).map { slot in
            let lengths = [[512], [4096], [65536], [4096, 512, 131072], [65024, 512]]
            let pieces = lengths[Int(random.next() % UInt64(lengths.count))]
            let count = pieces.reduce(0, +)
            let content = random.tiles(count)
            let offset = slot * Self.slotBytes
            model.replaceSubrange(offset..<offset + count, with: content)
            let buffer = Segments(pieces, content: content)
            let submission = rig.backend.write(
                extent(offset, count), from: buffer.list, durable: false, ticket: rig.ticket(slot))
            if case .done(let result) = submission { Issue.record("answered at once: \(result)") }
            return buffer
        }
    }

    private func answers(_ rig: inout Rig<FileBackend>, _ title: String) {
        var seen = Set<UInt32>()
        while seen.count < Self.slots {
            let count = rig.pass { slot, result in
                #expect(result == .success, "\(title)")
                #expect(seen.insert(slot).inserted, "\(title): slot \(slot) is answered twice")
            }
            if count == 0 { break }
        }
        #expect(seen.count == Self.slots, "\(title)")
    }

    @Test("two images at once: every write is answered once and is what is read", arguments: Scratch.places)
    func twoImages(place: String) throws {
        let scratch = try #require(Scratch(in: place))
        var random = SeededRandom.announced("writers in \(place)")
        let size = Self.slots * Self.slotBytes
        func open(_ name: String) throws -> Rig<FileBackend> {
            try Rig(
                try FileBackend.open(
                    path: scratch.file(name, size: size), direct: false, expectedSize: UInt64(size), blockSize: 512),
                slots: Self.slots)
        }
        var first = try open("first")
        var second = try open("second")
        var models = [[UInt8]](repeating: [UInt8](repeating: 0, count: size), count: 2)
        for round in 0..<12 {
            let buffers = queue(&first, &random, &models[0]) + queue(&second, &random, &models[1])
            first.backend.submitBatch()
            second.backend.submitBatch()
            answers(&first, "first, round \(round)")
            answers(&second, "second, round \(round)")
            #expect(buffers.allSatisfy { $0.isIntact })
        }
        let (_, firstBytes) = first.read(0, size)
        let (_, secondBytes) = second.read(0, size)
        #expect(firstBytes == models[0])
        #expect(secondBytes == models[1])
        first.backend.close()
        second.backend.close()
    }
}
