import BlockBackend
import Glibc
import RBDBackend
import Reactor
import SystemPackage
import Testing

/// Images that others change, cut off or remove while they are served.
@Suite(
    "Facts that change behind an open image, on a real cluster",
    .enabled(if: scratchCluster != nil, "set TCMU_TEST_CEPH_CONF to the ceph.conf of a scratch cluster"),
    .serialized)
struct ClusterFactsTests {
    private static let mib: UInt64 = 1 << 20

    /// Looks often, so that what nobody tells is found soon.
    private static func eager(_ options: inout RBDOptions) { options.lookMilliseconds = 300 }

    private func readOnly(_ image: borrowing ScratchImage, snapshot: String? = nil) throws -> Gateway {
        try image.gateway {
            $0.readOnly = true
            $0.snapshot = snapshot
        }
    }

    private func isGone(_ gateway: Gateway) -> Bool {
        gateway.notices.contains(.availability(.gone(errno: ENOENT)))
    }

    private func identifier(_ spec: String) throws -> String {
        let line = try #require(try tool("rbd info \(spec)").split(separator: "\n").first { $0.contains("\tid: ") })
        return String(try #require(line.split(separator: " ").last))
    }

    @Test("an image that is served read-only is in use: it cannot be removed")
    func removalIsRefused() throws {
        let image = try ScratchImage()
        try tool("rbd snap create --no-progress \(image.spec)@s")
        for snapshot in [nil, "s"] {
            let gateway = try readOnly(image, snapshot: snapshot)
            #expect(try image.watchers().count == 1)
            #expect(!succeeds("rbd rm --no-progress \(image.spec)"))
            gateway.close()
        }
        #expect(try image.watchers().isEmpty)
    }

    @Test("once a snapshot is removed, no read of it succeeds")
    func snapshotRemoved() throws {
        let image = try ScratchImage()
        let writer = try image.gateway()
        try writer.writeThrough(block(0xA7), block: 5)
        writer.close()
        try tool("rbd snap create --no-progress \(image.spec)@s")
        let gateway = try readOnly(image, snapshot: "s")
        #expect(try gateway.read(block: 5) == block(0xA7))
        try tool("rbd snap rm --no-progress \(image.spec)@s")
        #expect(try gateway.read(block: 5) == nil)
        #expect(gateway.waits { isGone($0) })
        #expect(try gateway.read(block: 5) == nil)
        gateway.close()
    }

    @Test(
        "once an image is shrunk, no read beyond its end succeeds; grown again, it does", arguments: [true, false])
    func shrunk(isReadOnly: Bool) throws {
        let image = try ScratchImage()
        let gateway = try image.gateway { $0.readOnly = isReadOnly }
        let last = Int(image.bytes / 512) - 1
        #expect(try gateway.read(block: last) != nil)
        try tool("rbd resize --allow-shrink --no-progress --size 8M \(image.spec)")
        if !isReadOnly { #expect(gateway.waits { $0.notices.contains(.sizeDiffers(bytes: 8 * Self.mib)) }) }
        #expect(try gateway.read(block: last) == nil)
        #expect(try gateway.read(block: last / 2 - 1) != nil)
        #expect(gateway.waits { $0.notices.contains(.sizeDiffers(bytes: 8 * Self.mib)) })
        try tool("rbd resize --no-progress --size 16M \(image.spec)")
        #expect(try gateway.waits { try $0.read(block: last) == block(0) })
        gateway.close()
    }

    @Test("an image whose header is gone is gone, whoever serves it", arguments: [true, false])
    func headerRemoved(isReadOnly: Bool) throws {
        let image = try ScratchImage()
        let identifier = try identifier(image.spec)
        let gateway = try image.gateway {
            $0.readOnly = isReadOnly
            Self.eager(&$0)
        }
        #expect(try gateway.read(block: 1) != nil)
        try tool("rados -p \(scratchPool) rm rbd_header.\(identifier)")
        #expect(gateway.waits { isGone($0) })
        #expect(try gateway.read(block: 1) == nil)
        gateway.close()
    }

    @Test("a renamed image is the same image")
    func renamed() throws {
        let image = try ScratchImage()
        let gateway = try image.gateway {
            $0.readOnly = true
            Self.eager(&$0)
        }
        try tool("rbd rename \(image.spec) \(image.spec)-other")
        usleep(1_000_000)
        #expect(try gateway.read(block: 1) == block(0))
        #expect(!isGone(gateway))
        gateway.close()
        try tool("rbd rename \(image.spec)-other \(image.spec)")
    }

    /// A clone of an image with something in it.
    private func clone(of parent: borrowing ScratchImage) throws -> RBDOptions {
        let writer = try parent.gateway()
        try writer.writeThrough(block(0x5D), block: 3)
        writer.close()
        try tool("rbd snap create --no-progress \(parent.spec)@s")
        try tool("rbd clone --rbd-default-clone-format 2 \(parent.spec)@s \(parent.spec)-clone")
        var options = parent.options
        options.image += "-clone"
        Self.eager(&options)
        return options
    }

    @Test(
        "a clone whose parent is gone is gone; one that was flattened before goes on", arguments: [true, false],
        [true, false])
    func parentGone(isReadOnly: Bool, isFlattened: Bool) throws {
        let parent = try ScratchImage()
        let identifier = try identifier(parent.spec)
        var options = try clone(of: parent)
        options.readOnly = isReadOnly
        defer { succeeds("rbd rm --no-progress \(options.spec)") }
        let gateway = try Gateway(options, bytes: parent.bytes)
        #expect(try gateway.read(block: 3) == block(0x5D))
        if isFlattened {
            try tool("rbd flatten --no-progress \(options.spec)")
            try tool("rbd snap rm --no-progress \(parent.spec)@s")
            try tool("rbd rm --no-progress \(parent.spec)")
            usleep(1_000_000)
            #expect(!isGone(gateway))
            #expect(try gateway.read(block: 3) == block(0x5D))
        } else {
            try tool("rados -p \(scratchPool) rm rbd_header.\(identifier)")
            #expect(gateway.waits { isGone($0) })
            #expect(try gateway.read(block: 3) == nil)
        }
        gateway.close()
    }

    @Test(
        "an image whose data pool is gone is refused, and so is a clone of one; librbd would end the process",
        arguments: [true, false])
    func dataPoolGone(isClone: Bool) throws {
        let pool = "data-\(UInt32.random(in: 0...UInt32.max))"
        try tool("ceph config set mon mon_allow_pool_delete true")
        try tool("ceph osd pool create \(pool) 8 && ceph osd pool application enable \(pool) rbd")
        let image = try ScratchImage(flags: "--data-pool \(pool)")
        var options = image.options
        if isClone { options = try clone(of: image) }
        defer { if isClone { succeeds("rbd rm --no-progress \(options.spec)") } }
        Self.eager(&options)
        let gateway = try Gateway(options, bytes: image.bytes)
        #expect(try gateway.read(block: 3) != nil)
        try tool("ceph osd pool rm \(pool) \(pool) --yes-i-really-really-mean-it")
        #expect(gateway.waits { isGone($0) })
        #expect(try gateway.read(block: 3) == nil)
        gateway.close()
        do throws(BackendError) {
            var backend = try RBDBackend.open(options, expectedSize: image.bytes, blockSize: 512)
            backend.close()
            Issue.record("opened without its data pool")
        } catch {
            #expect(error.errno == .noSuchFileOrDirectory)
            #expect(error.message.contains("pool number"), "\(error.message)")
        }
    }

    @Test("a larger image is served as exported, with a note, and grows when asked to", arguments: [true, false])
    func larger(isReadOnly: Bool) throws {
        let image = try ScratchImage(mebibytes: 32)
        var options = image.options
        options.readOnly = isReadOnly
        let gateway = try Gateway(options, bytes: 16 * Self.mib)
        #expect(gateway.size == 16 * Self.mib)
        let notes = gateway.loop.run { gateway.backend.pointee.openNotes }
        #expect(notes.contains { $0.contains("has 33554432 bytes, and 16777216 are exported") }, "\(notes)")
        try gateway.resize(to: 24 * Self.mib)
        #expect(gateway.size == 24 * Self.mib)
        #expect(try gateway.read(block: Int(24 * Self.mib / 512) - 1) == block(0))
        // Of one opened read-only librbd never learns the new size.
        try tool("rbd resize --no-progress --size 64M \(image.spec)")
        try gateway.resize(to: 64 * Self.mib)
        #expect(try gateway.read(block: Int(64 * Self.mib / 512) - 1) == block(0))
        gateway.close()
    }

    @Test("what was shrunk and grown again can be written, whoever is told first")
    func endFollows() throws {
        let image = try ScratchImage()
        var backend = try image.open()
        let answers = try Answers()
        func write(at offset: UInt64) throws -> Int32 {
            let data = Segments(block(1))
            return try answers.result(
                backend.write(
                    ByteExtent(offset: offset, length: 512), from: data.list, durable: false,
                    ticket: answers.ticket())
            ).code
        }
        #expect(try write(at: 12 * Self.mib) == 0)
        try tool("rbd resize --allow-shrink --no-progress --size 8M \(image.spec)")
        let found = backend.keeper
        let keeper = try #require(found)
        // The look that the change asks for has not come, or comes later.
        try tool("rbd resize --no-progress --size 32M \(image.spec)")
        try keeper.resize(to: 32 * Self.mib)
        #expect(try write(at: 12 * Self.mib) == 0)
        #expect(try write(at: 31 * Self.mib) == 0)
        backend.close()
    }
}
