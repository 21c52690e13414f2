import BlockBackend
import Glibc
import RBDBackend
import Reactor
import Testing

/// A pool at its quota: what needs room fails at once, and nothing else is concerned.
@Suite(
    "A full pool of a real cluster",
    .enabled(if: scratchCluster != nil, "set TCMU_TEST_CEPH_CONF to the ceph.conf of a scratch cluster"),
    .serialized)
struct ClusterFullTests {
    /// A pool of one's own with an image, that is full.
    private struct FullPool: ~Copyable {
        let pool: String
        let options: RBDOptions
        let spec: String
        static let bytes: UInt64 = 64 << 20

        init(dataPool: Bool = false, flags: String = "") throws {
            pool = "full-\(UInt32.random(in: 0...UInt32.max))"
            try tool("ceph config set mon mon_allow_pool_delete true")
            try tool("ceph osd pool create \(pool) 8 && rbd pool init \(pool)")
            var options = RBDOptions(pool: dataPool ? scratchPool : pool, image: "image-\(pool)")
            options.confPath = scratchCluster
            options.osdOperationTimeoutSeconds = 30
            // A quota takes longer to come into force than a lock rests.
            options.lockIdleReleaseMilliseconds = 0
            try tool("rbd create \(options.spec) --size 64M \(dataPool ? "--data-pool \(pool)" : "") \(flags)")
            try tool("rbd bench --io-type write --io-size 4M --io-total 16M \(options.spec)")
            self.options = options
            spec = options.spec
        }

        func fill() throws { try setQuota(4096) }

        func makeRoom() throws { try setQuota(0) }

        private func setQuota(_ bytes: Int) throws {
            try tool("ceph osd pool set-quota \(pool) max_bytes \(bytes)")
            // The monitors look every few seconds.
            for _ in 0..<120 {
                let isFull = try tool("ceph osd pool ls detail | grep \"'\(pool)'\"").contains("full_quota")
                if isFull == (bytes > 0) { return }
                usleep(500_000)
            }
            Issue.record("the quota never came into force")
        }

        deinit {
            succeeds("rbd rm --no-progress \(spec)")
            succeeds("ceph osd pool rm \(pool) \(pool) --yes-i-really-really-mean-it")
        }
    }

    private func seconds(_ body: () throws -> Void) rethrows -> Double {
        let clock = ContinuousClock()
        let duration = try clock.measure(body)
        return Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
    }

    private func discard(_ gateway: Gateway, _ extent: ByteExtent) throws -> Int32 {
        let answers = try Answers()
        let ticket = answers.ticket()
        let submission = gateway.loop.run { gateway.backend.pointee.discard(extent, ticket: ticket) }
        return try answers.result(submission).code
    }

    private static let first = 0
    /// A block of an object that is not there.
    private static let new = (48 << 20) / 512

    private func expectFull(_ gateway: Gateway) throws {
        let code = try gateway.write(block(9), block: Self.new)
        #expect(code == -EDQUOT || code == -ENOSPC, "\(code)")
        // Over two objects that are not there.
        let long = [UInt8](repeating: 9, count: 8 << 20)
        let refused = try gateway.write(long, block: 5)
        #expect(refused == -EDQUOT || refused == -ENOSPC, "\(refused)")
        #expect(try gateway.read(block: Self.first) != nil)
        #expect(try gateway.write(block(8), block: Self.first) == 0, "there is room for what is there")
        #expect(try gateway.read(block: Self.first) == block(8))
        #expect(try discard(gateway, ByteExtent(offset: 8 << 20, length: 4 << 20)) == 0)
        #expect(
            !gateway.notices.contains { if case .availability = $0 { true } else { false } }, "\(gateway.notices)")
    }

    @Test(
        "a write that needs room fails at once, all else goes on, and so does the write once there is room",
        arguments: [("", false), ("", true), ("--image-feature layering", false)])
    func served(flags: String, dataPool: Bool) throws {
        // Nobody is to stop the OSDs meanwhile.
        let turn = OSDTurn()
        defer { withExtendedLifetime(turn) {} }
        let full = try FullPool(dataPool: dataPool, flags: flags)
        let gateway = try Gateway(full.options, bytes: FullPool.bytes)
        try gateway.writeThrough(block(1), block: Self.first)
        try full.fill()
        let spent = try seconds { try expectFull(gateway) }
        #expect(spent < 5)
        try full.makeRoom()
        #expect(try gateway.waits { try $0.write(block(7), block: Self.new) == 0 })
        #expect(try gateway.read(block: Self.new) == block(7))
        gateway.close()
    }

    @Test("it is opened and closed in a full pool, with and without the lock, and its lock goes to another gateway")
    func openedAndClosed() throws {
        let turn = OSDTurn()
        defer { withExtendedLifetime(turn) {} }
        let full = try FullPool()
        let before = try Gateway(full.options, bytes: FullPool.bytes)
        try before.writeThrough(block(1), block: Self.first)
        try full.fill()
        #expect(seconds { before.close() } < 5, "a removal")
        let spent = try seconds {
            let gateway = try Gateway(full.options, bytes: FullPool.bytes)
            #expect(try gateway.read(block: Self.first) == block(1))
            try gateway.writeThrough(block(2), block: Self.first)
            try expectFull(gateway)
            let other = try Gateway(full.options, bytes: FullPool.bytes)
            try other.writeThrough(block(3), block: Self.first)
            #expect(gateway.remarks.contains { $0.contains("gave the exclusive lock") }, "\(gateway.remarks)")
            #expect(!other.remarks.contains { $0.contains("takes the exclusive lock away") }, "\(other.remarks)")
            #expect(try gateway.waits { try $0.read(block: Self.first) == block(3) })
            other.close()
            gateway.close()
        }
        #expect(spent < 20)
        try full.makeRoom()
    }
}
