import BlockBackend
import Glibc
import Testing

@testable import RBDBackend

/// Clients that bar themselves or others from the cluster, and those that may not.
@Suite(
    "Fencing on a real cluster",
    .enabled(if: scratchCluster != nil, "set TCMU_TEST_CEPH_CONF to the ceph.conf of a scratch cluster"),
    .serialized)
struct ClusterFencingTests {
    /// Time-outs of a few seconds, that hung OSDs need not be waited for.
    private func beImpatient(_ options: inout RBDOptions) {
        options.settings += [RBDSetting("osd_heartbeat_grace", "1"), RBDSetting("osd_heartbeat_interval", "1")]
        options.osdOperationTimeoutSeconds = 3
    }

    /// Of a gateway that has the lock, one write has an end that nobody knows.
    private func taint(_ gateway: Gateway) throws -> StalledOSDs {
        try gateway.writeThrough(block(1), block: 0)
        let stalled = try StalledOSDs()
        #expect(try gateway.write(block(2), block: 0) == -ETIMEDOUT)
        return stalled
    }

    @Test(
        "a gateway with a write whose end is unknown bars itself when it is closed, and gives the lock to nobody",
        arguments: [false, true])
    func closedTainted(whileHanging: Bool) throws {
        let image = try ScratchImage()
        let one = try image.gateway(beImpatient)
        let address = try #require(try image.watchers().first)
        let stalled = try taint(one)
        if !whileHanging { stalled.goOn() }
        one.close()
        stalled.goOn()
        #expect(try isBlocklisted(address))
        #expect(try image.isLocked())
        let two = try image.gateway()
        try two.writeThrough(block(3), block: 0)
        for _ in 0..<20 {
            #expect(try two.read(block: 0) == block(3))
            usleep(50_000)
        }
        two.close()
        #expect(try image.export()[0] == 3)
        _ = try? tool("ceph osd blocklist rm \(address)")
    }

    @Test("without leave to fence the lock is not taken, and the log names what is missing")
    func mayNotFence() throws {
        let image = try ScratchImage()
        let owner = try GatewayImage(image.options)
        try owner.lock.acquire().get()
        let user = try CephUser(monitor: "allow r")
        let two = try image.gateway { user.use(&$0) }
        #expect(try two.write(block(2), block: 0) == -EAGAIN)
        #expect(
            two.waits {
                $0.remarks.contains {
                    $0.contains("cannot take the exclusive lock") && $0.contains("osd blocklist")
                        && $0.contains("profile rbd")
                }
            }, "\(two.notices)")
        for _ in 0..<20 {
            #expect(try two.write(block(2), block: 0) == -EAGAIN)
            usleep(50_000)
        }
        #expect(try owner.lock.isOwner().get())
        #expect(try !isBlocklisted("\(try #require(owner.addresses.first))"))
        // Where there is nobody to be fenced, the same user writes.
        try owner.lock.release().get()
        try two.writeThrough(block(2), block: 0)
        two.close()
    }

    @Test("a client that cannot be fenced is not succeeded by another one, until it can")
    func successorMayNotFence() throws {
        let image = try ScratchImage()
        let user = try CephUser(monitor: "allow r")
        let one = try image.gateway {
            beImpatient(&$0)
            user.use(&$0)
        }
        let client = one.client
        let stalled = try taint(one)
        stalled.goOn()
        // Below librbd, which would fence.
        try image.removeLock()
        #expect(
            one.waits { $0.remarks.contains { $0.contains("cannot blocklist") && $0.contains("osd blocklist") } })
        #expect(one.waits { $0.notices.contains(.availability(.recovering(errno: EACCES))) }, "\(one.notices)")
        #expect(one.client == client)
        #expect(try one.read(block: 0) == nil)
        #expect(try one.write(block(3), block: 0) == -EAGAIN)
        try user.allow(monitor: "profile rbd")
        #expect(one.waits { $0.client != client }, "\(one.notices)")
        try one.writeThrough(block(3), block: 0)
        one.close()
        #expect(try image.export()[0] == 3)
    }

    @Test("a gateway that may not bar itself keeps image and lock when it is closed, and says so")
    func closedAndMayNotFence() throws {
        let image = try ScratchImage()
        let user = try CephUser(monitor: "allow r")
        let one = try image.gateway {
            beImpatient(&$0)
            user.use(&$0)
        }
        let address = try #require(try image.watchers().first)
        let stalled = try taint(one)
        stalled.goOn()
        one.close()
        #expect(one.remarks.contains { $0.contains("left open with its lock") }, "\(one.notices)")
        #expect(try image.isLocked())
        #expect(try image.watchers() == [address])
        let two = try image.gateway()
        try two.writeThrough(block(3), block: 0)
        #expect(try isBlocklisted(address))
        two.close()
        #expect(try image.export()[0] == 3)
        _ = try? tool("ceph osd blocklist rm \(address)")
    }
}
