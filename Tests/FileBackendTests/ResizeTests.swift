import BlockBackend
import FileBackend
import Glibc
import Reactor
import Synchronization
import SystemPackage
import Testing

@Suite("Growing a file unit")
struct ResizeTests {
    private let scratch: Scratch

    init() throws {
        scratch = try #require(Scratch(in: "/var/tmp"))
    }

    private func refusal(_ keeper: any BackendKeeper, _ bytes: UInt64) -> BackendError? {
        do throws(BackendError) {
            try keeper.resize(to: bytes)
            return nil
        } catch {
            return error
        }
    }

    @Test("to no more than the file has, and never to less than before")
    func sizes() throws {
        let path = scratch.file("image", size: 8192)
        var rig = try Rig(try FileBackend.open(path: path, direct: false, expectedSize: 8192, blockSize: 512))
        let found = rig.backend.keeper
        let keeper = try #require(found)
        for (there, wanted) in [(8192, 16384), (16384, 20480), (4096, 4096), (4096, 8192)] {
            try #require(truncate(path, there) == 0)
            let error = try #require(refusal(keeper, UInt64(wanted)), "\(there) \(wanted)")
            #expect(error.errno == .invalidArgument)
            #expect(error.message.contains(path) && error.message.contains("\(wanted)"))
            let size = rig.backend.size
            #expect(size == 8192)
        }
        try #require(truncate(path, 16384) == 0)
        #expect(refusal(keeper, 16384) == nil)
        let size = rig.backend.size
        #expect(size == 16384)
        let content = [UInt8](repeating: 0x6D, count: 4096)
        let written = rig.write(12288, content)
        #expect(written == .success)
        let (result, bytes) = rig.read(8192, 8192)
        #expect(result == .success)
        #expect(bytes == [UInt8](repeating: 0, count: 4096) + content)
        #expect(refusal(keeper, 8192)?.errno == .invalidArgument)
        rig.backend.close()
        #expect(refusal(keeper, 16384)?.errno == .canceled, "closed")
    }

    @Test("the size that the loop uses is changed on the loop")
    func onLoop() throws {
        let path = scratch.file("image", size: 8192)
        var backend = try FileBackend.open(path: path, direct: false, expectedSize: 8192, blockSize: 512)
        let found = backend.keeper
        let keeper = try #require(found)
        let loop = WorkList()
        keeper.start(KeeperSurroundings(onLoop: { loop.add($0) }, tell: { _ in }))
        try #require(truncate(path, 16384) == 0)
        #expect(refusal(keeper, 16384) == nil)
        var size = backend.size
        #expect(size == 8192, "the loop has not come to it")
        loop.run()
        size = backend.size
        #expect(size == 16384)
        keeper.stop()
        #expect(refusal(keeper, 16384)?.errno == .canceled)
        backend.close()
    }
}

/// What a loop has been given to run.
private final class WorkList: Sendable {
    private let work = Mutex<[@Sendable () -> Void]>([])

    func add(_ body: @escaping @Sendable () -> Void) {
        work.withLock { $0.append(body) }
    }

    func run() {
        let bodies = work.withLock { work in
            defer { work = [] }
            return work
        }
        for body in bodies { body() }
    }
}
