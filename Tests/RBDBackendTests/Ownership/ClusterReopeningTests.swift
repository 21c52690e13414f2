import BlockBackend
import Glibc
import RBDBackend
import Testing

/// What the keeper makes of an image that is not what it was when it has to be opened again.
@Suite(
    "Images opened again on a real cluster",
    .enabled(if: scratchCluster != nil, "set TCMU_TEST_CEPH_CONF to the ceph.conf of a scratch cluster"),
    .serialized)
struct ClusterReopeningTests {
    /// What the unit was told last.
    private func availability(_ gateway: Gateway) -> BackendAvailability? {
        gateway.notices.reversed().lazy.compactMap {
            if case .availability(let availability) = $0 { availability } else { nil }
        }.first
    }

    private struct Change {
        let title: String
        let make: String
        let undo: String
        let complaint: String
        /// The open image is used as if nothing had happened, until it is lost for another reason.
        let isLatent: Bool
        /// The gateway has the lock at that time. With it features are not to be switched: EROFS.
        let isOwner: Bool
    }

    private static let changes = [
        Change(
            title: "a cache forced on", make: "rbd config image set IMAGE rbd_cache true",
            undo: "rbd config image rm IMAGE rbd_cache", complaint: "no volatile write cache", isLatent: true,
            isOwner: false),
        Change(
            title: "a cache forced on an owner", make: "rbd config image set IMAGE rbd_cache true",
            undo: "rbd config image rm IMAGE rbd_cache", complaint: "no volatile write cache", isLatent: true,
            isOwner: true),
        Change(
            title: "journaling", make: "rbd feature enable IMAGE journaling",
            undo: "rbd feature disable IMAGE journaling", complaint: "atomic writes of 4194304 bytes",
            isLatent: false,
            isOwner: false),
    ]

    @Test(
        "an image that keeps less than initiators were told is not served until that is undone",
        arguments: changes.indices)
    func weaker(index: Int) throws {
        let change = Self.changes[index]
        let image = try ScratchImage(flags: "--image-feature layering,exclusive-lock")
        let one = try image.gateway()
        #expect(one.capabilities.atomicWriteBytes == 4 << 20)
        #expect(!one.capabilities.volatileCache)
        if change.isOwner { try one.writeThrough(block(1), block: 1) }
        let client = one.client
        let address = try #require(try image.watchers().first)
        try tool(change.make.replacing("IMAGE", with: image.spec))
        if change.isLatent {
            #expect(try one.read(block: 0) == block(0))
            try tool("ceph osd blocklist add \(address)")
        }
        #expect(one.waits { $0.remarks.contains { $0.contains(change.complaint) } }, "\(one.notices)")
        #expect(one.remarks.contains { $0.contains("removed and added again") }, "\(one.remarks)")
        #expect(one.waits { availability($0) == .recovering(errno: EINVAL) }, "\(one.notices)")
        #expect(try one.read(block: 0) == nil)
        #expect(try one.write(block(1), block: 0) == -EAGAIN)
        #expect(one.client == client, "\(change.title): nothing new is in place")

        try tool(change.undo.replacing("IMAGE", with: image.spec))
        #expect(one.waits { availability($0) == .ready }, "\(one.notices)")
        try one.writeThrough(block(2), block: 0)
        #expect(one.client != client)
        one.close()
        _ = try? tool("ceph osd blocklist rm \(address)")
    }

    @Test("an image that loses the exclusive-lock feature while it is served is written without, and that is noted")
    func featureLost() throws {
        let image = try ScratchImage(flags: "--image-feature layering,exclusive-lock")
        let one = try image.gateway()
        let client = one.client
        try tool("rbd feature disable \(image.spec) exclusive-lock")
        #expect(one.waits { $0.client != client && availability($0) == .ready }, "\(one.notices)")
        #expect(one.remarks.contains { $0.contains("was switched for the image") }, "\(one.remarks)")
        #expect(one.waits { $0.remarks.contains { $0.contains("lacks the exclusive-lock feature") } })
        #expect(try one.write(block(1), block: 0) == 0)
        one.close()
        #expect(try image.export()[0] == 1)
    }

    @Test("who was told of a cache comes back with and without it")
    func cacheKnown() throws {
        let image = try ScratchImage()
        try tool("rbd config image set \(image.spec) rbd_cache true")
        let one = try image.gateway()
        #expect(one.capabilities.volatileCache)
        for command in [
            "rbd config image rm \(image.spec) rbd_cache", "rbd config image set \(image.spec) rbd_cache true",
        ] {
            try tool(command)
            let client = one.client
            let entry = try BlocklistEntry(try #require(try image.watchers().first))
            #expect(one.waits { $0.client != client && availability($0) == .ready }, "\(command): \(one.notices)")
            withExtendedLifetime(entry) {}
        }
        one.close()
    }

    @Test(
        "a setting that makes writing less safe is noted when the image is opened again, what was noted before is not"
    )
    func hazards() throws {
        let image = try ScratchImage()
        try tool("rbd config image set \(image.spec) rbd_disable_zero_copy_writes false")
        let one = try image.gateway()
        let client = one.client
        try tool("rbd config image set \(image.spec) rbd_blocklist_on_break_lock false")
        let entry = try BlocklistEntry(try #require(try image.watchers().first))
        #expect(one.waits { $0.client != client }, "\(one.notices)")
        #expect(one.waits { $0.remarks.contains { $0.contains("rbd_blocklist_on_break_lock is forced off") } })
        #expect(!one.remarks.contains { $0.contains("rbd_disable_zero_copy_writes") }, "\(one.remarks)")
        one.close()
        withExtendedLifetime(entry) {}
    }

    @Test("a new image under an old name is not served, nor touched, and the old one is when it has its name again")
    func otherImage() throws {
        let image = try ScratchImage()
        let one = try image.gateway()
        try one.writeThrough(block(1), block: 0)
        one.close()
        let two = try image.gateway()
        #expect(try two.read(block: 0) == block(1))
        let client = two.client
        let moved = image.spec + "-moved"
        try tool("rbd mv \(image.spec) \(moved)")
        try tool("rbd create \(image.spec) --size \(image.bytes >> 20)M")
        let entry = try BlocklistEntry(try #require(try tool("rbd status \(moved)").firstWatcher))
        #expect(two.waits { availability($0) == .gone(errno: ENOENT) }, "\(two.notices)")
        #expect(two.remarks.contains { $0.contains("is another image than the one that was opened") })
        #expect(try two.read(block: 0) == nil)
        #expect(try two.write(block(2), block: 0) == -EAGAIN)
        #expect(two.client == client)
        #expect(try two.waits { _ in try image.watchers().isEmpty })
        #expect(try !image.isLocked())
        #expect(try image.export()[0] == 0)

        try tool("rbd rm --no-progress \(image.spec)")
        try tool("rbd mv \(moved) \(image.spec)")
        #expect(two.waits { availability($0) == .ready }, "\(two.notices)")
        #expect(try two.read(block: 0) == block(1))
        try two.writeThrough(block(3), block: 0)
        two.close()
        withExtendedLifetime(entry) {}
    }

    @Test("images in a connection group come back together when its client is blocklisted, the idle one too")
    func group() throws {
        let first = try ScratchImage()
        let second = try ScratchImage()
        let name = "group-\(UInt64.random(in: 0...UInt64.max))"
        let one = try first.gateway { $0.connectionGroup = name }
        let two = try second.gateway { $0.connectionGroup = name }
        let client = one.client
        #expect(two.client == client)
        try one.writeThrough(block(1), block: 0)
        for round in UInt8(2)...3 {
            let before = one.client
            let entry = try BlocklistEntry(try #require(try first.watchers().first))
            #expect(one.waits { $0.client != before }, "\(one.notices)")
            #expect(two.waits { $0.client != before }, "\(two.notices)")
            #expect(one.waits { availability($0) == .ready }, "\(one.notices)")
            #expect(two.waits { availability($0) == .ready }, "\(two.notices)")
            try one.writeThrough(block(round), block: 1)
            try two.writeThrough(block(round), block: 1)
            #expect(try one.read(block: 0) == block(1))
            #expect(one.client == two.client, "still one client")
            withExtendedLifetime(entry) {}
        }
        one.close()
        try two.writeThrough(block(4), block: 0)
        two.close()
        #expect(try first.export()[512] == 3)
        #expect(try second.export()[0] == 4)
    }
}

extension String {
    /// The first address in what `rbd status` prints.
    fileprivate var firstWatcher: String? {
        split(separator: "watcher=").dropFirst().first.map { String($0.prefix { $0 != " " }) }
    }
}
