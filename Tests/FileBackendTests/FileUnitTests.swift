import BlockBackend
import CAllocationProbe
import Glibc
import Reactor
import Testing

@testable import FileBackend

@Suite("A file unit at work")
struct FileUnitTests {
    private static let size = 16 << 20

    private func open(_ scratch: Scratch, slots: Int = 1) throws -> Rig<FileBackend> {
        let path = scratch.file("image", size: Self.size)
        return try Rig(
            try FileBackend.open(path: path, direct: false, expectedSize: UInt64(Self.size), blockSize: 512),
            slots: slots)
    }

    @Test("discard frees space and reads zeros, also off the granules", arguments: Scratch.places)
    func discard(place: String) throws {
        let scratch = try #require(Scratch(in: place))
        var rig = try open(scratch)
        let written = rig.write(0, [UInt8](repeating: 0xAA, count: 4 << 20))
        let flushed = rig.answer(rig.backend.flush(ticket: rig.ticket()))
        #expect(written == .success)
        #expect(flushed == .success)
        let before = scratch.facts("image").st_blocks
        let range = 512..<(3 << 20) + 1024
        let discarded = rig.answer(rig.backend.discard(extent(range.lowerBound, range.count), ticket: rig.ticket()))
        #expect(discarded == .success)
        #expect(scratch.facts("image").st_blocks < before)
        let (_, bytes) = rig.read(0, 4 << 20)
        #expect(bytes[..<range.lowerBound].allSatisfy { $0 == 0xAA })
        #expect(bytes[range].allSatisfy { $0 == 0 })
        #expect(bytes[range.upperBound...].allSatisfy { $0 == 0xAA })
        #expect(scratch.facts("image").st_size == Self.size)
        rig.backend.close()
    }

    @Test("A read of the medium is answered by the disk, not by the page cache", arguments: [1 << 20, 512])
    func medium(_ count: Int) throws {
        let scratch = try #require(Scratch(in: "/var/tmp"))
        var rig = try open(scratch)
        _ = rig.write(0, [UInt8](repeating: 0xAA, count: 1 << 20))
        _ = rig.answer(rig.backend.flush(ticket: rig.ticket()))
        let before = Self.bytesFromDisk()
        _ = rig.read(4096, 512)
        let buffer = Segments([count])
        let answer = rig.answer(
            rig.backend.readMedium(extent(0, count), into: buffer.list, ticket: rig.ticket()))
        #expect(answer == .success)
        #expect(buffer.bytes.allSatisfy { $0 == 0xAA })
        #expect(Self.bytesFromDisk() - before >= count)
        rig.backend.close()
    }

    /// Bytes that this process has had read from disks.
    private static func bytesFromDisk() -> Int {
        let line = contents("/proc/self/io").split(separator: "\n").first { $0.hasPrefix("read_bytes: ") }
        return line.flatMap { Int($0.dropFirst("read_bytes: ".count)) } ?? 0
    }

    @Test("writing zeros reads zeros, whether or not the file system helps", arguments: Scratch.places)
    func zeroes(place: String) throws {
        let scratch = try #require(Scratch(in: place))
        var rig = try open(scratch)
        _ = rig.write(0, [UInt8](repeating: 0xAA, count: 6 << 20))
        let range = 1024..<(5 << 20) + 512
        // Twice: the second finds out what the first learnt of the file system.
        for _ in 0..<2 {
            let zeroed = rig.answer(
                rig.backend.writeZeroes(extent(range.lowerBound, range.count), ticket: rig.ticket()))
            #expect(zeroed == .success)
            let (_, bytes) = rig.read(0, 6 << 20)
            #expect(bytes[..<range.lowerBound].allSatisfy { $0 == 0xAA })
            #expect(bytes[range].allSatisfy { $0 == 0 })
            #expect(bytes[range.upperBound...].allSatisfy { $0 == 0xAA })
            _ = rig.write(4096, [1, 2, 3])
        }
        rig.backend.close()
    }

    @Test("writes land in the file, durable or not", arguments: [false, true]) func lands(durable: Bool) throws {
        let scratch = try #require(Scratch(in: "/var/tmp"))
        var rig = try open(scratch)
        let content: [UInt8] = (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let written = rig.write(8192, content, durable: durable)
        #expect(written == .success)
        rig.backend.close()
        let descriptor = Glibc.open(scratch.path + "/image", O_RDONLY)
        defer { close(descriptor) }
        var found = [UInt8](repeating: 0, count: 4096)
        let count = found.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, 8192) }
        #expect(count == 4096)
        #expect(found == content)
    }

    @Test("thousands in flight: the submission and the completion ring both overflow") func deep() throws {
        let scratch = try #require(Scratch(in: "/var/tmp"))
        let depth = 3 * Int(SubmissionRing.completions)
        var rig = try open(scratch, slots: depth)
        let blocks = Self.size / 512
        let buffers = (0..<depth).map { slot in
            Segments([512], fill: UInt8(truncatingIfNeeded: slot % 251), alignment: 512)
        }
        for slot in 0..<depth {
            let offset = slot * 2 % blocks * 512
            let submission = rig.backend.write(
                extent(offset, 512), from: buffers[slot].list, durable: false, ticket: rig.ticket(slot))
            guard case .pending = submission else {
                Issue.record("slot \(slot) was not accepted")
                break
            }
        }
        var times = [Int](repeating: 0, count: depth)
        var back = 0
        while back < depth {
            let count = rig.pass { slot, result in if result.isSuccess { times[Int(slot)] += 1 } }
            if count == 0 { break }
            back += count
        }
        #expect(times.allSatisfy { $0 == 1 })
        let (_, bytes) = rig.read(0, 2 * 512 * depth)
        for slot in 0..<depth where bytes[slot * 1024] != UInt8(truncatingIfNeeded: slot % 251) {
            Issue.record("block of slot \(slot) holds something else")
            break
        }
        rig.backend.close()
    }

    @Test("one operation too many is answered EBUSY and harms nothing") func full() throws {
        let scratch = try #require(Scratch(in: "/dev/shm") ?? Scratch(in: "/var/tmp"))
        let depth = FileBackend.maximumInFlight
        var rig = try open(scratch, slots: depth + 1)
        let buffer = Segments([512])
        var refused: [IOResult] = []
        for slot in 0...depth {
            let submission = rig.backend.read(extent(0, 512), into: buffer.list, ticket: rig.ticket(slot))
            if case .done(let result) = submission { refused.append(result) }
        }
        #expect(refused == [IOResult(code: -EBUSY)])
        var succeeded = 0
        var back = 0
        while back < depth {
            let count = rig.pass { _, result in if result.isSuccess { succeeded += 1 } }
            if count == 0 { break }
            back += count
        }
        #expect(succeeded == depth)
        let (result, _) = rig.read(0, 512)
        #expect(result == .success)
        rig.backend.close()
    }

    @Test("segments shorter than the extent are refused") func shortSegments() throws {
        let scratch = try #require(Scratch(in: "/var/tmp"))
        var rig = try open(scratch)
        let buffer = Segments([512, 511])
        let result = rig.answer(rig.backend.read(extent(0, 1024), into: buffer.list, ticket: rig.ticket()))
        #expect(result == IOResult(code: -EINVAL))
        rig.backend.close()
    }

    @Test("a bad address is an errno") func badAddress() throws {
        let scratch = try #require(Scratch(in: "/var/tmp"))
        var rig = try open(scratch)
        var vector = iovec(iov_base: UnsafeMutableRawPointer(bitPattern: 4096), iov_len: 512)
        let submission = withUnsafeMutablePointer(to: &vector) {
            rig.backend.write(
                extent(0, 512), from: SegmentList(base: $0, count: 1), durable: false, ticket: rig.ticket())
        }
        let result = rig.answer(submission)
        #expect(result == IOResult(code: -EFAULT))
        rig.backend.close()
    }

    @Test("nothing is allocated per operation") func allocations() throws {
        let scratch = try #require(Scratch(in: "/dev/shm") ?? Scratch(in: "/var/tmp"))
        var rig = try open(scratch, slots: 64)
        let buffers = (0..<64).map { _ in Segments([1024, 3072]) }
        var counted: UInt64 = 0
        var lost = false
        for round in 0..<20 {
            if round == 10 { counted = callocation_probe_thread_count() }
            for slot in 0..<64 {
                let range = extent(slot * 4096, 4096)
                if slot % 2 == 0 {
                    _ = rig.backend.read(range, into: buffers[slot].list, ticket: rig.ticket(slot))
                } else {
                    _ = rig.backend.write(
                        range, from: buffers[slot].list, durable: slot % 4 == 1, ticket: rig.ticket(slot))
                }
            }
            var back = 0
            while back < 64 && !lost {
                let count = rig.pass { _, _ in }
                lost = count == 0
                back += count
            }
        }
        let allocated = callocation_probe_thread_count() - counted
        #expect(!lost)
        #expect(allocated == 0)
        rig.backend.close()
    }

    @Test("helper threads of the kernel stay few however many units there are") func threads() throws {
        let scratch = try #require(Scratch(in: "/var/tmp"))
        let units = try (0..<6).map { unit in
            let path = scratch.file("image\(unit)", size: 1 << 20)
            let backend = try FileBackend.open(path: path, direct: false, expectedSize: 1 << 20, blockSize: 512)
            return Unit(try Rig(backend, slots: 64))
        }
        let buffer = Segments([4096])
        var most = 0
        for _ in 0..<20 {
            for unit in units {
                for slot in 0..<64 {
                    _ = unit.rig.backend.write(
                        extent(slot * 4096, 4096), from: buffer.list, durable: true, ticket: unit.rig.ticket(slot))
                }
                unit.rig.backend.submitBatch()
            }
            most = max(most, workersOfThisThread())
            for unit in units {
                var back = 0
                while back < 64 {
                    let count = unit.rig.pass { _, _ in }
                    try #require(count > 0)
                    back += count
                }
            }
        }
        // One for each thread that submits, however many rings it has.
        #expect(most <= 1)
        for unit in units { unit.rig.backend.close() }
    }

    private final class Unit {
        var rig: Rig<FileBackend>
        init(_ rig: consuming Rig<FileBackend>) { self.rig = rig }
    }

    /// The kernel names its helpers after the thread they work for.
    private func workersOfThisThread() -> Int {
        guard let own = linkTarget("/proc/thread-self").split(separator: "/").last,
            let tasks = opendir("/proc/self/task")
        else { return -1 }
        defer { closedir(tasks) }
        var count = 0
        while let entry = readdir(tasks) {
            let task = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if contents("/proc/self/task/\(task)/comm").hasPrefix("iou-wrk-\(own)") { count += 1 }
        }
        return count
    }
}
