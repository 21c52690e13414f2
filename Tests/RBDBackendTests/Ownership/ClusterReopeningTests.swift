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

    private static let changes: [(title: String, make: String, undo: String, complaint: String)] = [
        (
            "a cache forced on", "rbd config image set IMAGE rbd_cache true", "rbd config image rm IMAGE rbd_cache",
            "no volatile write cache"
        ),
        (
            "journaling", "rbd feature enable IMAGE journaling", "rbd feature disable IMAGE journaling",
            "atomic writes of 4194304 bytes"
        ),
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
        let client = one.client
        try tool(change.make.replacing("IMAGE", with: image.spec))
        #expect(try one.read(block: 0) == block(0), "the open image is what it was")
        let entry = try BlocklistEntry(try #require(try image.watchers().first))
        #expect(one.waits { $0.remarks.contains { $0.contains(change.complaint) } }, "\(one.notices)")
        #expect(one.remarks.contains { $0.contains("removed and added again") }, "\(one.remarks)")
        #expect(one.waits { availability($0) == .recovering(errno: EINVAL) }, "\(one.notices)")
        #expect(try one.read(block: 0) == nil)
        #expect(try one.write(block(1), block: 0) == -EAGAIN)
        #expect(one.client == client, "\(change.title): nothing new is in place")
        #expect(try one.waits { _ in try image.watchers().isEmpty }, "what was looked at is closed")

        try tool(change.undo.replacing("IMAGE", with: image.spec))
        #expect(one.waits { availability($0) == .ready }, "\(one.notices)")
        try one.writeThrough(block(2), block: 0)
        #expect(one.client != client)
        one.close()
        withExtendedLifetime(entry) {}
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
}
