import BlockBackend
import Glibc
import Testing

@testable import RBDBackend

/// How long a former client's entry stays in the blocklist.
@Suite(
    "Blocklist entries on a real cluster",
    .enabled(if: scratchCluster != nil, "set TCMU_TEST_CEPH_CONF to the ceph.conf of a scratch cluster"),
    .serialized)
struct ClusterBlocklistTests {
    /// The monitors' settings for all OSDs, as they were when it is gone.
    private struct OSDHeartbeat: ~Copyable {
        init(grace: Int, interval: Int) throws {
            try tool("ceph config set osd osd_heartbeat_grace \(grace)")
            try tool("ceph config set osd osd_heartbeat_interval \(interval)")
        }

        deinit {
            _ = try? tool("ceph config rm osd osd_heartbeat_grace")
            _ = try? tool("ceph config rm osd osd_heartbeat_interval")
        }
    }

    @Test(
        "a blocklisted owner comes back by itself, takes the lock with its next write, and clears up behind itself")
    func blocklisted() throws {
        let heartbeat = try OSDHeartbeat(grace: 1, interval: 1)
        let image = try ScratchImage()
        let one = try image.gateway {
            // What is waited for before the entry is removed is twice the sum of these, or of the cluster's.
            $0.settings = [RBDSetting("osd_heartbeat_grace", "1"), RBDSetting("osd_heartbeat_interval", "1")]
        }
        try one.writeThrough(block(1), block: 0)
        let client = one.client
        let address = try #require(try image.watchers().first)
        try tool("ceph osd blocklist add \(address)")
        #expect(one.waits { $0.client != client }, "\(one.notices)")
        #expect(
            one.waits {
                $0.notices.last { if case .availability = $0 { true } else { false } } == .availability(.ready)
            })
        #expect(one.generation > 0)
        try one.writeThrough(block(2), block: 1)
        #expect(try one.read(block: 0) == block(1))
        #expect(try one.waits { _ in try !isBlocklisted(address) }, "\(one.remarks)")
        one.close()
        #expect(try image.watchers().isEmpty)
        #expect(try !image.isLocked())
        withExtendedLifetime(heartbeat) {}
    }

    @Test("the time in which OSDs notice one another's death is that of the cluster, which clients do not see")
    func clusterHeartbeat() throws {
        let image = try ScratchImage()
        let one = try GatewayImage(image.options)
        let cluster = one.image.context.cluster
        #expect(try cluster.osdDetectionSeconds().get() == 26)
        let heartbeat = try OSDHeartbeat(grace: 40, interval: 8)
        #expect(try cluster.osdDetectionSeconds().get() == 48)
        #expect(cluster.context.osdDetectionSeconds == 26)
        withExtendedLifetime(heartbeat) {}
    }

    @Test("a user that may not ask the monitors goes by its own settings, and says so once")
    func mayNotAsk() throws {
        let image = try ScratchImage()
        let user = try CephUser(monitor: "profile rbd")
        let one = try image.gateway {
            user.use(&$0)
            $0.settings += [RBDSetting("osd_heartbeat_grace", "1"), RBDSetting("osd_heartbeat_interval", "1")]
        }
        var addresses: [String] = []
        for _ in 0..<2 {
            let client = one.client
            addresses.append(try #require(try image.watchers().first))
            try tool("ceph osd blocklist add \(addresses.last ?? "")")
            #expect(one.waits { $0.client != client }, "\(one.notices)")
        }
        // Such a user may not remove entries either: that is said, too, and not tried for ever.
        #expect(one.waits { $0.remarks.contains { $0.contains("stay until they expire") } }, "\(one.remarks)")
        let said = one.remarks.filter { $0.contains("osd_heartbeat_grace") && $0.contains("config get") }
        #expect(said.count == 1, "\(one.remarks)")
        for address in addresses {
            #expect(try isBlocklisted(address))
            try tool("ceph osd blocklist rm \(address)")
        }
        one.close()
    }
}
