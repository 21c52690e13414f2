import BlockBackend
import Glibc
import Testing

@testable import RBDBackend

/// What becomes of a client that was blocklisted, and of its entry.
@Suite(
    "Blocklist entries on a real cluster",
    .enabled(if: scratchCluster != nil, "set TCMU_TEST_CEPH_CONF to the ceph.conf of a scratch cluster"),
    .serialized)
struct ClusterBlocklistTests {
    @Test(
        "a blocklisted owner comes back by itself and takes the lock with its next write; its entry stays until the monitors drop it"
    )
    func blocklisted() throws {
        let image = try ScratchImage()
        let one = try image.gateway {
            $0.settings = [RBDSetting("osd_heartbeat_grace", "1"), RBDSetting("osd_heartbeat_interval", "1")]
        }
        try one.writeThrough(block(1), block: 0)
        let client = one.client
        let address = try #require(try image.watchers().first)
        let entry = try BlocklistEntry(address)
        #expect(one.waits { $0.client != client }, "\(one.notices)")
        #expect(
            one.waits {
                $0.notices.last { if case .availability = $0 { true } else { false } } == .availability(.ready)
            })
        #expect(one.generation > 0)
        try one.writeThrough(block(2), block: 1)
        #expect(try one.read(block: 0) == block(1))
        // An OSD may hang for longer than the cluster takes to notice, with a write of the former client in its queue.
        usleep(6_000_000)
        #expect(try isBlocklisted(address))
        one.close()
        #expect(try image.watchers().isEmpty)
        #expect(try !image.isLocked())
        withExtendedLifetime(entry) {}
    }

    @Test("entries of this host are counted, and no others")
    func count() throws {
        let image = try ScratchImage()
        let one = try GatewayImage(image.options)
        let cluster = one.image.context.cluster
        let host = try #require(ClientAddress("10.9.9.9:0/1"))
        let before = try #require(Blocklist.entries(ofHost: host, cluster))
        let entries = try [
            "10.9.9.9:0/\(UInt32.random(in: 1...UInt32.max))", "10.9.9.9:0/\(UInt32.random(in: 1...UInt32.max))",
            "10.9.9.8:0/\(UInt32.random(in: 1...UInt32.max))",
        ].map { text in
            try tool("ceph osd blocklist add \(text)")
            return text
        }
        defer { for entry in entries { _ = try? tool("ceph osd blocklist rm \(entry)") } }
        #expect(Blocklist.entries(ofHost: host, cluster) == before + 2)
    }
}
