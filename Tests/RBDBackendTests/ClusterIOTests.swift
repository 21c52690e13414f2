import BlockBackend
import RBDBackend
import Testing

/// Every byte here is also read back by another road: `rbd export`.
@Suite(
    "I/O on a real cluster",
    .enabled(if: scratchCluster != nil, "set TCMU_TEST_CEPH_CONF to the ceph.conf of a scratch cluster"),
    .serialized)
struct ClusterIOTests {
    private static let mib = 1 << 20

    /// Options of librbd that change how an operation runs and must not change what it does.
    private static let options = [
        [], ["rbd_disable_zero_copy_writes"], ["rbd_disable_zero_copy_writes", "rbd_non_blocking_aio"],
    ]

    private static func switchOff(_ names: [String]) -> (inout RBDOptions) -> Void {
        { $0.settings = names.map { RBDSetting($0, "false") } }
    }

    @Test(
        "bytes survive any split into segments",
        arguments: [
            [4096], [512], [512, 512], [1, 1022, 1], [4095, 1], [7, 0, 505], [65536, 4096, 512],
            [Int](repeating: 3, count: 512), [Int](repeating: 512, count: 2048),
        ])
    func splits(lengths: [Int]) throws {
        let image = try ScratchImage()
        var backend = try image.open()
        let answers = try Answers()
        let total = lengths.reduce(0, +)
        var random = SeededGenerator(seed: UInt64(total))
        let data = random.bytes(total)
        // Across the first object's end, so that librbd must split as well.
        let extent = ByteExtent(offset: UInt64(4 * Self.mib - 512), length: UInt64(total))

        let out = Segments(lengths, bytes: data)
        #expect(
            try answers.result(
                backend.write(extent, from: out.list, durable: false, ticket: answers.ticket())) == .success)
        let back = Segments(lengths.reversed())
        #expect(try answers.result(backend.read(extent, into: back.list, ticket: answers.ticket())) == .success)
        #expect(back.bytes == data)
        #expect(back.gapsAreIntact)
        backend.close()

        let start = Int(extent.offset)
        #expect(Array(try image.export()[start..<start + total]) == data)
    }

    @Test(
        "a buffer longer than the extent is used up to its length",
        arguments: [[4096], [700, 700], [512, 512, 512]])
    func longBuffers(lengths: [Int]) throws {
        let image = try ScratchImage()
        var backend = try image.open()
        let answers = try Answers()
        let total = lengths.reduce(0, +)
        var random = SeededGenerator(seed: 3)
        let data = random.bytes(total)
        let extent = ByteExtent(offset: 512, length: 1024)
        let out = Segments(lengths, bytes: data)
        #expect(
            try answers.result(
                backend.write(extent, from: out.list, durable: true, ticket: answers.ticket())) == .success)
        let back = Segments(lengths)
        let untouched = back.bytes
        #expect(try answers.result(backend.read(extent, into: back.list, ticket: answers.ticket())) == .success)
        #expect(back.bytes == Array(data[..<1024]) + untouched[1024...])
        backend.close()
        #expect(
            Array(try image.export()[..<2048]) == [UInt8](repeating: 0, count: 512) + data[..<1024]
                + [UInt8](repeating: 0, count: 512))
    }

    @Test("a buffer shorter than the extent is refused, and the ticket stays unused")
    func shortBuffer() throws {
        let image = try ScratchImage()
        var backend = try image.open()
        let answers = try Answers()
        let short = Segments([256, 256])
        let extent = ByteExtent(offset: 0, length: 1024)
        #expect(done(backend.read(extent, into: short.list, ticket: answers.ticket())) == -22)
        #expect(done(backend.write(extent, from: short.list, durable: false, ticket: answers.ticket())) == -22)
        let block = ByteExtent(offset: 0, length: 512)
        #expect(done(backend.compareAndWrite(block, data: short.list, ticket: answers.ticket())) == -22)
        #expect(
            done(backend.writeSame(extent, pattern: short.list, patternLength: 1024, ticket: answers.ticket()))
                == -22)
        backend.close()
    }

    @Test(
        "64 operations in flight each come back once, and closing right after the last is safe",
        arguments: options)
    func depth(without options: [String]) throws {
        let image = try ScratchImage()
        var random = SeededGenerator(seed: 64)
        let data = random.bytes(64 * 4096)
        for _ in 0..<5 {
            var backend = try image.open(Self.switchOff(options))
            let answers = try Answers(count: 64)
            let buffers = (0..<64).map { Segments(Array(data[$0 * 4096..<($0 + 1) * 4096])) }
            for slot in 0..<64 {
                let extent = ByteExtent(offset: UInt64(slot * 200 * 1024), length: 4096)
                guard
                    case .pending = backend.write(
                        extent, from: buffers[slot].list, durable: false, ticket: answers.ticket(slot))
                else {
                    Issue.record("write \(slot) was not accepted")
                    continue
                }
            }
            backend.submitBatch()
            let found = try answers.collect(64)
            backend.close()
            #expect(found.map(\.slot).sorted() == Array(0..<64))
            #expect(found.allSatisfy { $0.result == .success })
        }
        let bytes = try image.export()
        for slot in 0..<64 {
            let start = slot * 200 * 1024
            #expect(bytes[start..<start + 4096] == data[slot * 4096..<(slot + 1) * 4096], "slot \(slot)")
        }
    }

    @Test(
        "a discarded range reads zeros to the byte, and nothing else does",
        arguments: [
            (512, 4096), (4096, 4096), (0, 65536), (65536, 65536), (60000, 140_000), (0, 4 << 20),
            ((1 << 20) + 512, 8 << 20), ((4 << 20) - 512, 1024),
        ])
    func discard(offset: Int, length: Int) throws {
        let image = try ScratchImage()
        var backend = try image.open()
        let answers = try Answers()
        let size = Int(image.bytes)
        let full = Segments([UInt8](repeating: 0xA5, count: size))
        let whole = ByteExtent(offset: 0, length: image.bytes)
        #expect(
            try answers.result(
                backend.write(whole, from: full.list, durable: false, ticket: answers.ticket())) == .success)
        let extent = ByteExtent(offset: UInt64(offset), length: UInt64(length))
        #expect(try answers.result(backend.discard(extent, ticket: answers.ticket())) == .success)
        #expect(try answers.result(backend.flush(ticket: answers.ticket())) == .success)
        backend.close()

        var expected = [UInt8](repeating: 0xA5, count: size)
        expected.replaceSubrange(offset..<offset + length, with: repeatElement(0, count: length))
        #expect(try image.export() == expected)
    }

    @Test(
        "write-same repeats its pattern, linear or scattered",
        arguments: [([512], 512), ([200, 312], 512), ([4096], 4096), ([1, 4095], 4096), ([8192], 512)])
    func writeSame(lengths: [Int], pattern: Int) throws {
        let image = try ScratchImage()
        var backend = try image.open()
        #expect(backend.capabilities.nativeWriteSame)
        let answers = try Answers()
        var random = SeededGenerator(seed: UInt64(pattern))
        let data = random.bytes(lengths.reduce(0, +))
        let segments = Segments(lengths, bytes: data)
        let start = 4 * Self.mib - 2 * pattern
        let count = 600
        let extent = ByteExtent(offset: UInt64(start), length: UInt64(count * pattern))
        #expect(
            try answers.result(
                backend.writeSame(
                    extent, pattern: segments.list, patternLength: pattern, ticket: answers.ticket())) == .success)
        backend.close()
        let bytes = try image.export()
        for index in 0..<count
        where bytes[start + index * pattern..<start + (index + 1) * pattern] != data[..<pattern] {
            Issue.record("copy \(index) differs")
            return
        }
        #expect(bytes[start - 1] == 0 && bytes[start + count * pattern] == 0)
    }

    @Test("write-same of zeros deallocates and reads zeros")
    func writeSameZeros() throws {
        let image = try ScratchImage()
        var backend = try image.open()
        let answers = try Answers()
        let full = Segments([UInt8](repeating: 0xA5, count: 65536))
        _ = try answers.result(
            backend.write(
                ByteExtent(offset: 0, length: 65536), from: full.list, durable: false, ticket: answers.ticket()))
        let zeros = Segments([UInt8](repeating: 0, count: 512))
        #expect(
            try answers.result(
                backend.writeSame(
                    ByteExtent(offset: 512, length: 9 * 512), pattern: zeros.list, patternLength: 512,
                    ticket: answers.ticket())) == .success)
        backend.close()
        let bytes = try image.export()
        #expect(bytes[..<512].allSatisfy { $0 == 0xA5 })
        #expect(bytes[512..<5120].allSatisfy { $0 == 0 })
        #expect(bytes[5120..<65536].allSatisfy { $0 == 0xA5 })
    }

    @Test(
        "compare-and-write writes where equal and says where not, linear or scattered",
        arguments: [[1024], [512, 512], [100, 924], [1, 1022, 1], [2048]])
    func compareAndWrite(lengths: [Int]) throws {
        let image = try ScratchImage()
        var backend = try image.open()
        #expect(backend.capabilities.nativeCompareAndWriteBytes == 512)
        let answers = try Answers()
        // The last block of an object: the bound that must not be crossed.
        let extent = ByteExtent(offset: UInt64(4 * Self.mib - 512), length: 512)
        var random = SeededGenerator(seed: 5)
        let data = random.bytes(512)
        let zeros = [UInt8](repeating: 0, count: 512)

        func attempt(_ compare: [UInt8], _ write: [UInt8]) throws -> IOResult {
            let segments = Segments(lengths, bytes: compare + write)
            return try answers.result(
                backend.compareAndWrite(extent, data: segments.list, ticket: answers.ticket()))
        }
        #expect(try attempt(zeros, data) == .success, "a hole compares as zeros")
        for offset in [0, 1, 300, 511] {
            var other = data
            other[offset] ^= 0x80
            #expect(try attempt(other, zeros) == .miscompare(at: UInt64(offset)))
        }
        var other = data
        other[17] ^= 1
        other[18] ^= 1
        #expect(try attempt(other, zeros) == .miscompare(at: 17), "the first difference counts")
        let before = try image.export()
        #expect(Array(before[4 * Self.mib - 512..<4 * Self.mib]) == data)
        #expect(try attempt(data, zeros) == .success)
        backend.close()
        #expect(try image.export().allSatisfy { $0 == 0 })
    }

    @Test(
        "the place of a difference is told within the block, wherever that is",
        arguments: [
            "", "--object-size 32M", "--object-size 64K", "--stripe-unit 1K --stripe-count 3 --object-size 64K",
        ])
    func placeOfDifference(flags: String) throws {
        let image = try ScratchImage(mebibytes: 5 << 10, flags: flags)
        var backend = try image.open()
        #expect(backend.capabilities.nativeCompareAndWriteBytes == 512)
        let answers = try Answers()
        for start: UInt64 in [0, 512, 1024, 8192 * 512, 20_000 * 512, 1 << 32, image.bytes - 512] {
            for place in [0, 1, 300, 511] {
                var compare = [UInt8](repeating: 0, count: 1024)
                compare[place] = 1
                let segments = Segments(place % 2 == 0 ? [1024] : [100, 924], bytes: compare)
                let result = try answers.result(
                    backend.compareAndWrite(
                        ByteExtent(offset: start, length: 512), data: segments.list, ticket: answers.ticket()))
                #expect(result == .miscompare(at: UInt64(place)), "block at \(start)")
            }
        }
        backend.close()
    }

    @Test(
        "blocks as large as a stripe unit are compared by the unit itself",
        arguments: ["--stripe-unit 512 --stripe-count 1", "--stripe-unit 512 --stripe-count 4"])
    func stripesOfOneBlock(flags: String) throws {
        let image = try ScratchImage(flags: flags)
        var backend = try image.open()
        // librbd's own ends the process where the compared bytes differ behind the first.
        #expect(backend.capabilities.nativeCompareAndWriteBytes == 0)
        backend.close()
    }

    @Test(
        "a seeded mix of operations leaves what a plain array holds",
        arguments: [1, 2, UInt64.random(in: 3...1 << 32)], options)
    func mix(seed: UInt64, without options: [String]) throws {
        var random = SeededGenerator(seed: seed)
        let image = try ScratchImage()
        var backend = try image.open(Self.switchOff(options))
        let answers = try Answers()
        var model = [UInt8](repeating: 0, count: Int(image.bytes))
        for step in 0..<250 {
            let blocks = Int.random(in: 1...(step % 10 == 0 ? 4096 : 64), using: &random)
            let start = Int.random(in: 0...(model.count / 512 - blocks), using: &random) * 512
            let length = blocks * 512
            let extent = ByteExtent(offset: UInt64(start), length: UInt64(length))
            let lengths = random.split(length, parts: Int.random(in: 1...20, using: &random))
            let result: IOResult
            switch Int.random(in: 0..<6, using: &random) {
            case 0, 1:
                let data = random.bytes(length)
                let segments = Segments(lengths, bytes: data)
                result = try answers.result(
                    backend.write(
                        extent, from: segments.list, durable: step % 2 == 0, ticket: answers.ticket()))
                model.replaceSubrange(start..<start + length, with: data)
            case 2:
                result = try answers.result(backend.discard(extent, ticket: answers.ticket()))
                model.replaceSubrange(start..<start + length, with: repeatElement(0, count: length))
            case 3:
                let pattern = random.bytes(512)
                let segments = Segments(random.split(512, parts: 3), bytes: pattern)
                result = try answers.result(
                    backend.writeSame(
                        extent, pattern: segments.list, patternLength: 512, ticket: answers.ticket()))
                for block in 0..<blocks {
                    model.replaceSubrange(start + block * 512..<start + (block + 1) * 512, with: pattern)
                }
            case 4:
                let data = random.bytes(512)
                let segments = Segments(random.split(1024, parts: 4), bytes: model[start..<start + 512] + data)
                result = try answers.result(
                    backend.compareAndWrite(
                        ByteExtent(offset: UInt64(start), length: 512), data: segments.list,
                        ticket: answers.ticket()))
                model.replaceSubrange(start..<start + 512, with: data)
            default:
                let segments = Segments(lengths)
                result = try answers.result(
                    backend.read(extent, into: segments.list, ticket: answers.ticket()))
                #expect(segments.bytes == Array(model[start..<start + length]), "seed \(seed) step \(step)")
                #expect(segments.gapsAreIntact, "seed \(seed) step \(step)")
            }
            #expect(result == .success, "seed \(seed) step \(step)")
        }
        backend.close()
        #expect(try image.export() == model, "seed \(seed)")
    }

    @Test("a read beyond the end of an image that was shrunk meanwhile is EIO, not old bytes")
    func shrunk() throws {
        let image = try ScratchImage(mebibytes: 2)
        var backend = try image.open()
        let answers = try Answers()
        let extent = ByteExtent(offset: UInt64(Self.mib - 4096), length: 8192)
        let before = Segments([8192])
        #expect(try answers.result(backend.read(extent, into: before.list, ticket: answers.ticket())) == .success)
        try tool("rbd resize --no-progress --allow-shrink --size 1M \(image.spec)")
        // librbd learns of the new size with the read after the one that refreshes the header; until then it reads
        // zeros. What was in the buffer must show in neither case.
        var code: Int32 = 0
        for _ in 0..<100 where code == 0 {
            let after = Segments([8192])
            code = try answers.result(backend.read(extent, into: after.list, ticket: answers.ticket())).code
            if code == 0 { #expect(after.bytes.allSatisfy { $0 == 0 }) }
        }
        #expect(code == -5)
        backend.close()
    }

    private func done(_ submission: Submission) -> Int32? {
        guard case .done(let result) = submission else { return nil }
        return result.code
    }
}
