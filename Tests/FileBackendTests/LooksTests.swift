import BlockBackend
import Glibc
import Reactor
import Synchronization
import Testing

@testable import FileBackend

/// Whoever looks after images waits for none of their file systems.
@Suite("Looks at images on file systems that hang, and without threads")
struct LooksTests {
    private let scratch: Scratch
    private static let bytes = 1 << 20
    private static let cut = 256 << 10

    init() throws {
        scratch = try #require(Scratch(in: "/var/tmp"))
    }

    /// A keeper of an image whose file system answers once `answer` is open.
    private func keeper(
        _ name: String, device: UInt64, isLocal: Bool = false, looks: FileLooks = FileLooks(), hangs: Gate? = nil
    ) throws -> (FileKeeper, image: CInt, path: String) {
        let path = scratch.file(name, size: Self.bytes)
        let descriptor = Glibc.open(path, O_RDWR | O_CLOEXEC)
        try #require(descriptor >= 0)
        let facts = FileFacts(
            device: device, isLocal: isLocal,
            bytes: { descriptor throws(BackendError) in
                hangs?.pass()
                return try ImageFile.bytes(of: descriptor, isBlockDevice: false, path)
            }, isNamed: { ImageFile.isNamed(path, $0) })
        return (
            FileKeeper(
                path: path, descriptor: descriptor, size: UInt64(Self.bytes), bytesFound: UInt64(Self.bytes),
                facts: facts, looks: looks), descriptor, path
        )
    }

    private func eventually(_ condition: () -> Bool) -> Bool {
        for _ in 0..<2000 {
            if condition() { return true }
            usleep(10_000)
        }
        return false
    }

    @Test("one that hangs holds up its own file system's images, and no other; start, stop and resize of it return")
    func hung() throws {
        let looks = FileLooks()
        let gate = Gate()
        let (hung, first, _) = try keeper("hung", device: 1, looks: looks, hangs: gate)
        let (other, second, otherPath) = try keeper("other", device: 2, looks: looks)
        let (local, third, localPath) = try keeper("local", device: 1, isLocal: true, looks: looks)
        let heard = Told()
        let surroundings = KeeperSurroundings(onLoop: { $0() }, tell: { heard.add($0) })
        hung.start(surroundings)
        #expect(eventually { gate.waiting > 0 })
        // It is being looked at: none of these waits for that.
        hung.start(surroundings)
        for keeper in [other, local] { keeper.start(surroundings) }
        for (keeper, path) in [(other, otherPath), (local, localPath)] {
            try #require(truncate(path, Self.cut) == 0)
            if keeper.end.noteWrite() { keeper.ring() }
            #expect(eventually { !keeper.end.has(offset: UInt64(Self.cut), length: 1) }, "\(path)")
        }
        #expect(eventually { heard.count == 2 })
        for keeper in [hung, other, local] { keeper.stop() }
        #expect(throws: BackendError.self) { try hung.resize(to: UInt64(Self.bytes)) }
        gate.open()
        for descriptor in [first, second, third] { close(descriptor) }
        usleep(20_000)
        #expect(heard.count == 2, "nothing is told after the stop")
    }

    @Test("a look that began before a resize and ends after it says nothing of the size")
    func older() throws {
        let path = scratch.file("grown", size: Self.bytes)
        let descriptor = Glibc.open(path, O_RDWR | O_CLOEXEC)
        try #require(descriptor >= 0)
        let gate = Gate()
        let asked = Atomic<Int>(0)
        let facts = FileFacts(
            device: 1, isLocal: false,
            bytes: { descriptor throws(BackendError) in
                let bytes = try ImageFile.bytes(of: descriptor, isBlockDevice: false, path)
                if asked.add(1, ordering: .relaxed).oldValue == 0 { gate.pass() }
                return bytes
            }, isNamed: { _ in true })
        let keeper = FileKeeper(
            path: path, descriptor: descriptor, size: UInt64(Self.bytes), bytesFound: UInt64(Self.bytes),
            facts: facts,
            looks: FileLooks())
        let heard = Told()
        let look = try #require(OwnedThread(name: "test-look") { keeper.look(.size) })
        #expect(eventually { gate.waiting > 0 })
        try #require(truncate(path, 2 * Self.bytes) == 0)
        try keeper.resize(to: UInt64(2 * Self.bytes))
        keeper.start(KeeperSurroundings(onLoop: { $0() }, tell: { heard.add($0) }))
        gate.open()
        look.join()
        #expect(keeper.end.has(offset: UInt64(Self.bytes), length: UInt64(Self.bytes)))
        #expect(heard.count == 0)
        keeper.stop()
        close(descriptor)
    }

    @Test("without a thread at first, a later write brings the looks", arguments: [true, false])
    func noThread(isLocal: Bool) throws {
        let attempts = Atomic<Int>(0)
        let looks = FileLooks { body in
            attempts.add(1, ordering: .relaxed)
            return attempts.load(ordering: .relaxed) < 3 ? nil : OwnedThread(name: "test-look", body: body)
        }
        let (keeper, descriptor, path) = try keeper("image", device: 1, isLocal: isLocal, looks: looks)
        keeper.start(KeeperSurroundings(onLoop: { $0() }, tell: { _ in }))
        try #require(truncate(path, Self.cut) == 0)
        let isKnown = eventually {
            if keeper.end.noteWrite() { keeper.ring() }
            return !keeper.end.has(offset: UInt64(Self.cut), length: 1)
        }
        #expect(isKnown)
        #expect(attempts.load(ordering: .relaxed) == 3, "one in half a second, and none when there is one")
        keeper.stop()
        close(descriptor)
    }

    @Test("a lost name is told of whatever is written meanwhile", arguments: [true, false])
    func lostName(isLocal: Bool) throws {
        let (keeper, descriptor, path) = try keeper("image", device: 1, isLocal: isLocal)
        let heard = Told()
        try #require(unlink(path) == 0)
        // Before there was anybody to tell.
        usleep(50_000)
        keeper.start(KeeperSurroundings(onLoop: { $0() }, tell: { heard.add($0) }))
        #expect(eventually { heard.count == 1 })
        keeper.stop()
        close(descriptor)
    }

    @Test("local file systems are known by their numbers", arguments: [("/dev/shm", true), ("/proc", false)])
    func kinds(place: String, isLocal: Bool) throws {
        guard isLocal else {
            // A file of a kind that may ask somebody, opened as an image is.
            let descriptor = Glibc.open("/proc/self/status", O_RDONLY | O_CLOEXEC)
            defer { close(descriptor) }
            #expect(!FileFacts.isLocal(descriptor))
            return
        }
        let memory = try #require(Scratch(in: place))
        let descriptor = Glibc.open(memory.file("image", size: 4096), O_RDWR | O_CLOEXEC)
        defer { close(descriptor) }
        #expect(FileFacts.isLocal(descriptor))
    }
}

/// Closed at first; who passes it waits.
private final class Gate: Sendable {
    private let isOpen = Atomic<Bool>(false)
    private let inside = Atomic<Int>(0)
    var waiting: Int { inside.load(ordering: .acquiring) }
    func pass() {
        inside.add(1, ordering: .acquiringAndReleasing)
        while !isOpen.load(ordering: .acquiring) { usleep(1000) }
        inside.subtract(1, ordering: .acquiringAndReleasing)
    }
    func open() { isOpen.store(true, ordering: .releasing) }
}

private final class Told: Sendable {
    private let notices = Mutex<[BackendNotice]>([])
    func add(_ notice: BackendNotice) { notices.withLock { $0.append(notice) } }
    var count: Int { notices.withLock { $0.count } }
}
