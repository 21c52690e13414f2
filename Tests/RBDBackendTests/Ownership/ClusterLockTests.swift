import BlockBackend
import CRBD
import Glibc
import Reactor
import SystemPackage
import Testing

@testable import RBDBackend

/// A lock of which librbd and the OSD think differently, one that is not needed, and how gateways speak about it.
@Suite(
    "The lock's odd states on a real cluster",
    .enabled(if: scratchCluster != nil, "set TCMU_TEST_CEPH_CONF to the ceph.conf of a scratch cluster"),
    .serialized)
struct ClusterLockTests {
    /// The lock's cookie, as the OSD has it.
    private func cookie(_ image: borrowing ScratchImage) throws -> String {
        let line = try #require(
            try tool("rbd lock ls \(image.spec)").split(separator: "\n").first { $0.contains("auto") })
        return line.split(separator: " ").drop { $0 != "auto" }.prefix(2).joined(separator: " ")
    }

    /// Takes the lock in the name of the gateway's client behind the back of its librbd: what an acquire leaves that timed out and
    /// took place. cls_lock's operation `lock` as librbd sends it.
    private func takeUnseen(_ gateway: Gateway, cookie: String) throws {
        let session = try #require(gateway.keeper as? ImageKeeper).session
        func text(_ text: String) -> [UInt8] {
            withUnsafeBytes(of: UInt32(text.utf8.count).littleEndian, Array.init) + Array(text.utf8)
        }
        // Name, exclusive, cookie, tag, description, no duration, no flags.
        let fields =
            text("rbd_lock") + [1] + text(cookie) + text("internal") + text("") + [UInt8](repeating: 0, count: 9)
        let bytes = [1, 1] + withUnsafeBytes(of: UInt32(fields.count).littleEndian, Array.init) + fields
        let context = session.lock.context
        let header = try #require(session.lock.header)
        let code = bytes.withUnsafeBytes {
            rados_exec(
                context, header, "lock", "lock", $0.bindMemory(to: CChar.self).baseAddress, bytes.count, nil, 0)
        }
        try #require(code == 0)
    }

    @Test(
        "a lock that the cluster has down as this client's and librbd does not know of is given back and taken again",
        arguments: [false, true])
    func unknownToLibrary(isOtherWatch: Bool) throws {
        let image = try ScratchImage()
        let one = try image.gateway { $0.lockIdleReleaseMilliseconds = 2000 }
        try one.writeThrough(block(1), block: 0)
        let cookie = try cookie(image)
        let client = one.client
        #expect(try one.waits { _ in try !image.isLocked() }, "\(one.notices)")
        try takeUnseen(one, cookie: isOtherWatch ? "auto 4711" : cookie)
        #expect(try image.isLocked())
        try one.writeThrough(block(2), block: 0)
        #expect(one.client == client)
        #expect(!one.remarks.contains { $0.contains("cannot take") }, "\(one.remarks)")
        one.close()
        #expect(try image.export()[0] == 2)
        #expect(try !image.isLocked())
    }

    @Test("a lock that librbd has and the cluster has not is taken anew")
    func unknownToCluster() throws {
        let image = try ScratchImage()
        let one = try image.gateway()
        let session = try #require(one.keeper as? ImageKeeper).session
        // What an acquire leaves whose last question timed out, and whose lock somebody removed.
        try session.lock.acquire().get()
        try image.removeLock()
        let client = one.client
        try one.writeThrough(block(2), block: 0)
        #expect(one.client == client)
        #expect(try image.isLocked())
        one.close()
        #expect(try image.export()[0] == 2)
    }

    // MARK: - A lock that is not needed

    @Test("a lock under which nothing is written is given back, and the gateway has no thread then")
    func idle() throws {
        let image = try ScratchImage()
        let one = try image.gateway { $0.lockIdleReleaseMilliseconds = 1000 }
        try one.writeThrough(block(1), block: 0)
        for _ in 0..<30 {
            #expect(try one.write(block(1), block: 0) == 0, "it is kept while there are writes")
            usleep(100_000)
        }
        #expect(one.generation == 0)
        let client = one.client
        #expect(try one.waits { _ in try !image.isLocked() }, "\(one.notices)")
        #expect(one.generation == 1, "what was read before may be old")
        let keeper = try #require(one.keeper as? ImageKeeper)
        #expect(one.waits { _ in keeper.queue.change { _ in !keeper.life.isRunning } })
        #expect(try one.read(block: 0) == block(1))
        #expect(one.takeovers == 0)
        // Other clients may do what wants the lock.
        try tool("rbd snap create --no-progress \(image.spec)@one")
        try one.writeThrough(block(2), block: 0)
        #expect(one.client == client)
        #expect(try image.isLocked())
        one.close()
        #expect(try image.export()[0] == 2)
    }

    @Test("reads of an image with a journal need its lock, and keep it")
    func journal() throws {
        // Nobody is to stop the OSDs meanwhile.
        let turn = OSDTurn()
        defer { withExtendedLifetime(turn) {} }
        let image = try ScratchImage(flags: "--image-feature layering,exclusive-lock,journaling")
        let one = try image.gateway { $0.lockIdleReleaseMilliseconds = 2000 }
        try one.writeThrough(block(1), block: 0)
        for _ in 0..<60 {
            #expect(try one.read(block: 0) == block(1))
            usleep(100_000)
        }
        #expect(one.generation == 0, "\(one.notices)")
        #expect(try one.waits { _ in try !image.isLocked() }, "\(one.notices)")
        one.close()
    }

    @Test("a command that needs it to its end keeps it, however long a step takes")
    func needed() throws {
        let image = try ScratchImage()
        let one = try image.gateway { $0.lockIdleReleaseMilliseconds = 500 }
        try one.writeThrough(block(1), block: 0)
        one.loop.run { one.backend.pointee.beginNeedingRight() }
        usleep(2_500_000)
        #expect(one.generation == 0)
        #expect(try image.isLocked())
        one.loop.run { one.backend.pointee.endNeedingRight() }
        #expect(try one.waits { _ in try !image.isLocked() }, "\(one.notices)")
        one.close()
    }

    @Test("it is kept where that is wanted")
    func kept() throws {
        let image = try ScratchImage()
        let one = try image.gateway { $0.lockIdleReleaseMilliseconds = 0 }
        try one.writeThrough(block(1), block: 0)
        usleep(3_000_000)
        #expect(try image.isLocked())
        one.close()
    }

    @Test("an image at rest may be written by Ceph's own tools that want the lock for themselves")
    func tools() throws {
        let image = try ScratchImage()
        let one = try image.gateway { $0.lockIdleReleaseMilliseconds = 200 }
        try one.writeThrough(block(1), block: 0)
        try tool("rbd snap create --no-progress \(image.spec)@one")
        #expect(try one.waits { _ in try !image.isLocked() }, "\(one.notices)")
        let file = try TemporaryFile()
        unlink(file.path)
        try tool("rbd export-diff --no-progress \(image.spec) \(file.path)")
        try tool("rbd import-diff --no-progress \(file.path) \(image.spec)")
        try one.writeThrough(block(2), block: 0)
        one.close()
        #expect(try image.export()[0] == 2)
    }

    // MARK: - One image, two LUNs

    @Test(
        "an image behind two LUNs: with one client the second is refused, with two both write",
        arguments: [false, true])
    func twice(isInNamespace: Bool) throws {
        let namespace = isInNamespace ? "n\(UInt32.random(in: 0...UInt32.max))" : nil
        if let namespace { try tool("rbd namespace create \(scratchPool)/\(namespace)") }
        let image = try ScratchImage(namespace: namespace)
        let group = "g-\(UInt32.random(in: 0...UInt32.max))"
        let one = try image.gateway { $0.connectionGroup = group }
        let error = #expect(throws: BackendError.self) {
            _ = try image.gateway { $0.connectionGroup = group }
        }
        #expect(error?.errno == .resourceBusy)
        #expect(error?.message.contains("another LUN of connection_group") ?? false, "\(error?.message ?? "")")
        try one.writeThrough(block(1), block: 0)
        // Read-only, or the group's neighbour image, is no matter.
        let reader = try image.gateway {
            $0.connectionGroup = group
            $0.readOnly = true
        }
        #expect(try reader.read(block: 0) == block(1))
        reader.close()
        let two = try image.gateway()
        for turn in UInt8(2)...4 {
            try two.writeThrough(block(turn), block: 0)
            try one.writeThrough(block(turn + 16), block: 1)
        }
        // Its own client is replaced within the group, and the LUN is not in its own way.
        let client = one.client
        let entry = try BlocklistEntry("\(try #require((one.keeper as? ImageKeeper)?.session.addresses.first))")
        #expect(one.waits { $0.client != client }, "\(one.notices)")
        try one.writeThrough(block(9), block: 0)
        one.close()
        let again = try image.gateway { $0.connectionGroup = group }
        try again.writeThrough(block(10), block: 0)
        again.close()
        two.close()
        #expect(try image.export()[0] == 10)
        withExtendedLifetime(entry) {}
    }

    // MARK: - Speaking about it

    @Test("a mailbox that could not be opened is opened later, and both is told")
    func mailbox() throws {
        let image = try ScratchImage()
        let one = try image.gateway()
        let asker = try GatewayImage(image.options)
        try one.writeThrough(block(1), block: 0)
        let client = one.client
        let name = image.options.image
        let file = "/tmp/\(name)"
        defer { unlink(file) }
        try tool("rados -p \(scratchPool) get rbd_id.\(name) \(file) && rados -p \(scratchPool) rm rbd_id.\(name)")
        #expect(
            one.waits { $0.remarks.contains { $0.contains("cannot ask for the image's lock") } }, "\(one.notices)")
        try tool("rados -p \(scratchPool) put rbd_id.\(name) \(file)")
        let mailbox = try asker.mailbox(Calls().handlers)
        #expect(eventually { (try? mailbox.hears(client, milliseconds: 500).get()) == true }, "\(one.notices)")
        #expect(one.client == client)
        one.close()
    }
}
