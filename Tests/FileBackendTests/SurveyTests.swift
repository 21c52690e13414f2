import BlockBackend
import Glibc
import MemoryBackend
import TCMUTestKit
import Testing

@testable import FileBackend

private func run(_ range: Range<Int>, _ isMapped: Bool) -> AllocationRun {
    AllocationRun(extent: extent(range.lowerBound, range.count), isMapped: isMapped)
}

extension Rig where Backend: ~Copyable {
    /// The runs of `extent`, or nil if the survey failed.
    fileprivate mutating func runs(_ extent: ByteExtent, limit: Int = 1000) -> [AllocationRun]? {
        let survey = Survey(.allocation(extent, limit: limit))
        let result = answer(backend.survey(survey, ticket: ticket()))
        return result == .success ? survey.runs : nil
    }
}

@Suite("Surveys of a file unit")
struct FileSurveyTests {
    private static let size = 16 << 20
    private static let block = 65536

    /// Places whose file system tells holes from data; the others call all of a sparse file data.
    private static let placesWithHoles = Scratch.places.filter { place in
        guard let scratch = Scratch(in: place) else { return false }
        let descriptor = Glibc.open(scratch.file("probe", size: 1 << 20), O_RDONLY)
        defer { close(descriptor) }
        let tells = lseek(descriptor, 0, 4) == 0
        if !tells {
            print("\(place): this file system has no SEEK_HOLE; surveys of allocation are not tested there")
        }
        return tells
    }

    private func open(_ scratch: Scratch, readOnly: Bool = false, direct: Bool = false) throws -> Rig<FileBackend> {
        try Rig(
            try FileBackend.open(
                path: scratch.path + "/image", direct: direct, readOnly: readOnly, expectedSize: UInt64(Self.size),
                blockSize: 4096), slots: 40)
    }

    @Test(
        "a sparse file is one hole, written parts are data, and a punched one is a hole again",
        .enabled(if: !placesWithHoles.isEmpty, "no file system with SEEK_HOLE"), arguments: placesWithHoles)
    func holes(place: String) throws {
        let scratch = try #require(Scratch(in: place))
        _ = scratch.file("image", size: Self.size)
        var rig = try open(scratch)
        #expect(rig.backend.capabilities.reportsAllocation)
        let whole = extent(0, Self.size)
        let sparse = rig.runs(whole)
        #expect(sparse == [run(0..<Self.size, false)])

        let mib = 1 << 20
        let first = rig.write(mib, [UInt8](repeating: 0xAA, count: 4 * mib))
        let second = rig.write(8 * mib, [UInt8](repeating: 0xAA, count: Self.block))
        let flushed = rig.answer(rig.backend.flush(ticket: rig.ticket()))
        #expect([first, second, flushed] == [.success, .success, .success])
        let discarded = rig.answer(rig.backend.discard(extent(2 * mib, mib), ticket: rig.ticket()))
        #expect(discarded == .success)
        let all = [
            run(0..<mib, false), run(mib..<2 * mib, true), run(2 * mib..<3 * mib, false),
            run(3 * mib..<5 * mib, true), run(5 * mib..<8 * mib, false), run(8 * mib..<8 * mib + Self.block, true),
            run(8 * mib + Self.block..<Self.size, false),
        ]
        let found = rig.runs(whole)
        #expect(found == all)
        for limit in 1...all.count {
            let limited = rig.runs(whole, limit: limit)
            #expect(limited == Array(all.prefix(limit)))
        }
        // Cut at both ends, inside data and inside a hole.
        let cut = rig.runs(extent(mib + 4096, 2 * mib))
        #expect(
            cut == [
                run(mib + 4096..<2 * mib, true), run(2 * mib..<3 * mib, false), run(3 * mib..<3 * mib + 4096, true),
            ])
        let inHole = rig.runs(extent(6 * mib, 512))
        #expect(inHole == [run(6 * mib..<6 * mib + 512, false)])
        let nothing = rig.runs(extent(mib, 0))
        #expect(nothing == [])
        rig.backend.close()
    }

    @Test(
        "a read-only unit is surveyed as well, and the end of a file cut short is a hole",
        .enabled(if: !placesWithHoles.isEmpty, "no file system with SEEK_HOLE"), arguments: placesWithHoles)
    func readOnly(place: String) throws {
        let scratch = try #require(Scratch(in: place))
        let path = scratch.file("image", size: Self.size)
        var writer = try open(scratch)
        let written = writer.write(0, [UInt8](repeating: 1, count: 2 << 20))
        #expect(written == .success)
        writer.backend.close()
        var rig = try open(scratch, readOnly: true)
        let before = rig.runs(extent(0, Self.size))
        #expect(before == [run(0..<2 << 20, true), run(2 << 20..<Self.size, false)])
        #expect(truncate(path, 1 << 20) == 0)
        let after = rig.runs(extent(0, Self.size))
        #expect(after == [run(0..<1 << 20, true), run(1 << 20..<Self.size, false)])
        let behind = rig.runs(extent(2 << 20, 4096))
        #expect(behind == [run(2 << 20..<(2 << 20) + 4096, false)])
        #expect(rig.backend.capabilities.atomicWriteBytes == 0)
        rig.backend.close()
    }

    @Test("space is what statvfs and stat say", arguments: Scratch.places) func space(place: String) throws {
        let scratch = try #require(Scratch(in: place))
        _ = scratch.file("image", size: Self.size)
        var rig = try open(scratch)
        #expect(rig.backend.capabilities.reportsSpace)
        let written = rig.write(0, [UInt8](repeating: 0xAA, count: 2 << 20))
        let flushed = rig.answer(rig.backend.flush(ticket: rig.ticket()))
        #expect([written, flushed] == [.success, .success])
        let survey = Survey(.space)
        let result = rig.answer(rig.backend.survey(survey, ticket: rig.ticket()))
        #expect(result == .success)
        #expect(survey.usedBytes == UInt64(scratch.facts("image").st_blocks) * 512)
        #expect(try #require(survey.usedBytes) >= 2 << 20)
        var system = statvfs()
        try #require(statvfs(scratch.path, &system) == 0)
        let available = try #require(survey.availableBytes)
        let total = UInt64(system.f_blocks) * UInt64(system.f_frsize)
        #expect(available <= total)
        // Others write there, too: only the order of magnitude is sure.
        let now = UInt64(system.f_bavail) * UInt64(system.f_frsize)
        #expect(available > now / 4 && available / 4 < now)
        #expect(survey.runs.isEmpty)
        rig.backend.close()
    }

    @Test(
        "surveys and transfers go on side by side, and close after the last ticket is safe",
        arguments: Scratch.places)
    func sideBySide(place: String) throws {
        let scratch = try #require(Scratch(in: place))
        _ = scratch.file("image", size: Self.size)
        let content = Segments([4096], fill: 0x33)
        for _ in 0..<20 {
            var rig = try open(scratch)
            let surveys = (0..<20).map { slot in
                Survey(slot % 2 == 0 ? .space : .allocation(extent(slot * 4096, Self.size / 2), limit: 4))
            }
            var open = 0
            for slot in 0..<20 {
                if case .pending = rig.backend.survey(surveys[slot], ticket: rig.ticket(slot)) { open += 1 }
                if case .pending = rig.backend.write(
                    extent(slot * 8192, 4096), from: content.list, durable: false, ticket: rig.ticket(20 + slot))
                {
                    open += 1
                }
            }
            #expect(open == 40)
            var times = [Int](repeating: 0, count: 40)
            while open > 0 {
                let count = rig.pass { slot, result in
                    #expect(result == .success)
                    times[Int(slot)] += 1
                }
                try #require(count > 0, "tickets lost")
                open -= count
            }
            #expect(times.allSatisfy { $0 == 1 })
            rig.backend.close()
            #expect(surveys.enumerated().allSatisfy { $0 % 2 == 0 ? $1.availableBytes != nil : !$1.runs.isEmpty })
        }
    }
}

@Suite("Prefetching")
struct PrefetchTests {
    @Test("brings a file into the page cache, or does nothing with direct=on", arguments: [false, true])
    func file(direct: Bool) throws {
        let scratch = try #require(Scratch(in: "/var/tmp"))
        let size = 1 << 20
        let path = scratch.file("image", size: size)
        // Some file systems have no O_DIRECT; OpenTests looks at that.
        guard
            let backend = try? FileBackend.open(
                path: path, direct: direct, expectedSize: UInt64(size), blockSize: 4096)
        else {
            #expect(direct)
            return
        }
        var rig = try Rig(backend)
        let written = rig.write(0, [UInt8](repeating: 0xAA, count: size))
        let flushed = rig.answer(rig.backend.flush(ticket: rig.ticket()))
        #expect([written, flushed] == [.success, .success])
        let hinted = rig.backend.prefetch(extent(0, size), ticket: rig.ticket())
        if case .done = hinted { #expect(direct) } else { #expect(!direct) }
        let result = rig.answer(hinted)
        #expect(result == .success)
        let empty = rig.answer(rig.backend.prefetch(extent(4096, 0), ticket: rig.ticket()))
        #expect(empty == .success)
        let (read, bytes) = rig.read(0, size)
        #expect(read == .success)
        #expect(bytes.allSatisfy { $0 == 0xAA })
        rig.backend.close()
    }

    @Test("works on a read-only unit") func readOnly() throws {
        let scratch = try #require(Scratch(in: "/var/tmp"))
        let path = scratch.file("image", size: 8192)
        var rig = try Rig(
            try FileBackend.open(path: path, direct: false, readOnly: true, expectedSize: 8192, blockSize: 512))
        let result = rig.answer(rig.backend.prefetch(extent(0, 8192), ticket: rig.ticket()))
        #expect(result == .success)
        rig.backend.close()
    }

    @Test("is a hint: no answer of the kernel is an error", arguments: [0, -EINVAL, -EAGAIN, -EIO, -EOPNOTSUPP])
    func hint(code: CInt) throws {
        let rig = try Rig(try MemoryBackend.open(size: 4096))
        var operation = FileOperation(.prefetch, extent(0, 1 << 40), ticket: rig.ticket())
        #expect(operation.outcome(of: code) == .over(.success))
    }
}
