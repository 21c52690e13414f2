import BlockBackend
import Glibc
import Synchronization
import Testing

@testable import FileBackend

/// A file that others change while it is served.
@Suite("A file that is cut off, grown or removed while it is served")
struct CutOffTests {
    private let scratch: Scratch
    private static let bytes = 1 << 20
    private static let cut = 256 << 10

    init() throws {
        scratch = try #require(Scratch(in: "/var/tmp"))
    }

    /// How somebody else may set the size.
    enum Way: CaseIterable, Sendable {
        case byName
        case byDescriptor

        func set(_ path: String, _ bytes: Int) throws {
            switch self {
            case .byName: try #require(truncate(path, bytes) == 0)
            case .byDescriptor:
                let descriptor = Glibc.open(path, O_WRONLY | O_CLOEXEC)
                try #require(descriptor >= 0 && ftruncate(descriptor, bytes) == 0)
                Glibc.close(descriptor)
            }
        }
    }

    private func size(_ path: String) throws -> Int {
        var facts = stat()
        try #require(stat(path, &facts) == 0)
        return Int(facts.st_size)
    }

    private func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
        for _ in 0..<500 {
            if try condition() { return true }
            usleep(10_000)
        }
        return false
    }

    @Test(
        "what was cut off is an error to read, to the byte, and never zeros", arguments: Way.allCases,
        [false, true])
    func reads(way: Way, direct: Bool) throws {
        let path = scratch.file("image", size: Self.bytes)
        var rig = try Rig(
            try FileBackend.open(path: path, direct: direct, expectedSize: UInt64(Self.bytes), blockSize: 4096))
        try way.set(path, Self.cut)
        for (offset, count, code) in [
            (Self.cut, 4096, -EIO), (Self.cut - 4096, 8192, -EIO), (Self.bytes - 4096, 4096, -EIO),
            (0, Self.bytes, -EIO), (Self.cut - 4096, 4096, 0), (0, 4096, 0),
        ] {
            let (result, _) = rig.read(offset, count)
            #expect(result?.code == code, "\(count) bytes at \(offset)")
        }
        try way.set(path, Self.bytes)
        #expect(eventually { rig.read(Self.bytes - 4096, 4096).0 == .success }, "there again")
        rig.backend.close()
    }

    @Test(
        "a write into what was cut off is an error, and the file does not grow", arguments: Way.allCases,
        [false, true])
    func writes(way: Way, readsFirst: Bool) throws {
        let path = scratch.file("image", size: Self.bytes)
        var rig = try Rig(
            try FileBackend.open(path: path, direct: false, expectedSize: UInt64(Self.bytes), blockSize: 512))
        let block = [UInt8](repeating: 0x77, count: 4096)
        let before = rig.write(Self.bytes - 4096, block)
        #expect(before == .success)
        try way.set(path, Self.cut)
        if readsFirst { #expect(rig.read(Self.cut, 4096).0?.code == -EIO) }
        // The writer's look comes every 10 ms.
        usleep(30_000)
        for offset in [Self.bytes - 4096, Self.cut, Self.cut - 512] {
            let written = rig.write(offset, block)
            #expect(written?.code == -EIO, "at \(offset)")
            let zeroed = rig.answer(rig.backend.writeZeroes(extent(offset, 4096), ticket: rig.ticket()))
            #expect(zeroed?.code == -EIO, "zeros at \(offset)")
        }
        #expect(try size(path) == Self.cut)
        let within = rig.write(Self.cut - 4096, block)
        #expect(within == .success)
        rig.backend.close()
    }

    @Test(
        "writes that go by the ring are refused once somebody else has had the file open", arguments: [false, true])
    func ring(direct: Bool) throws {
        let path = scratch.file("image", size: Self.bytes)
        var rig = try Rig(
            try FileBackend.open(path: path, direct: direct, expectedSize: UInt64(Self.bytes), blockSize: 4096))
        try Way.byDescriptor.set(path, Self.cut)
        let end = rig.backend.keeper as? FileKeeper
        let isKnown = try eventually {
            !(try #require(end)).end.has(offset: UInt64(Self.cut), length: 1)
        }
        #expect(isKnown)
        let written = rig.write(Self.cut, [UInt8](repeating: 1, count: 4096), durable: true)
        #expect(written?.code == -EIO)
        #expect(try size(path) == Self.cut)
        rig.backend.close()
    }

    @Test("while it is written, truncate(2) is noticed as well")
    func busy() throws {
        let path = scratch.file("image", size: Self.bytes)
        var rig = try Rig(
            try FileBackend.open(path: path, direct: false, expectedSize: UInt64(Self.bytes), blockSize: 512))
        let block = [UInt8](repeating: 1, count: 512)
        let first = rig.write(0, block, durable: true)
        #expect(first == .success)
        try Way.byName.set(path, Self.cut)
        let keeper = try #require(rig.backend.keeper as? FileKeeper)
        let isKnown = eventually {
            _ = rig.write(0, block, durable: true)
            return !keeper.end.has(offset: UInt64(Self.cut), length: 1)
        }
        #expect(isKnown)
        rig.backend.close()
    }

    @Test("people are told of the size and of a lost name, once each")
    func told() throws {
        let path = scratch.file("image", size: Self.bytes)
        var backend = try FileBackend.open(
            path: path, direct: false, expectedSize: UInt64(Self.bytes), blockSize: 512)
        let found = backend.keeper
        let keeper = try #require(found)
        let heard = Heard()
        keeper.start(KeeperSurroundings(onLoop: { $0() }, tell: { heard.add($0) }))
        try Way.byDescriptor.set(path, Self.cut)
        #expect(eventually { heard.all.contains(.sizeDiffers(bytes: UInt64(Self.cut))) })
        try Way.byDescriptor.set(path, Self.bytes)
        #expect(eventually { heard.all.contains(.sizeDiffers(bytes: UInt64(Self.bytes))) })
        try #require(unlink(path) == 0)
        #expect(eventually { heard.all.contains { if case .remark(.error, _) = $0 { true } else { false } } })
        usleep(50_000)
        #expect(heard.all.count == 3, "\(heard.all)")
        backend.close()
    }

    @Test("a larger file is served as exported, with a note, and its tail is left alone")
    func larger() throws {
        let path = scratch.file("image", size: Self.bytes)
        let tail = [UInt8](repeating: 0x3C, count: 8192)
        let descriptor = Glibc.open(path, O_WRONLY | O_CLOEXEC)
        try #require(pwrite(descriptor, tail, tail.count, off_t(Self.bytes - tail.count)) == tail.count)
        Glibc.close(descriptor)
        let exported = Self.bytes - 12288
        var rig = try Rig(
            try FileBackend.open(path: path, direct: false, expectedSize: UInt64(exported), blockSize: 512))
        let (size, notes) = (rig.backend.size, rig.backend.openNotes)
        #expect(size == UInt64(exported))
        #expect(notes.contains { $0.contains("has \(Self.bytes) bytes, and \(exported) are exported") })
        let found = rig.backend.keeper
        let keeper = try #require(found)
        try keeper.resize(to: UInt64(Self.bytes - 512))
        let (result, bytes) = rig.read(Self.bytes - 8192, 7680)
        #expect(result == .success && bytes == Array(tail.prefix(7680)), "as it was, and not a hole")
        rig.backend.close()
    }
}

private final class Heard: Sendable {
    private let notices = Mutex<[BackendNotice]>([])
    func add(_ notice: BackendNotice) { notices.withLock { $0.append(notice) } }
    var all: [BackendNotice] { notices.withLock { $0 } }
}
