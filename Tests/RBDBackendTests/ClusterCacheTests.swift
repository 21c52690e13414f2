import BlockBackend
import Testing

@testable import RBDBackend

/// A cache that metadata of the image forces on.
@Suite(
    "A volatile cache on a real cluster",
    .enabled(if: scratchCluster != nil, "set TCMU_TEST_CEPH_CONF to the ceph.conf of a scratch cluster"),
    .serialized)
struct ClusterCacheTests {
    @Test("a flush is no success before what was written is in the cluster, whatever becomes of the lock")
    func givingBack() throws {
        let image = try ScratchImage()
        for (name, value) in [
            ("rbd_cache", "true"), ("rbd_cache_policy", "writeback"), ("rbd_cache_max_dirty_age", "60"),
        ] {
            try tool("rbd config image set \(image.spec) \(name) \(value)")
        }
        var backend = try image.open()
        let isVolatile = backend.capabilities.volatileCache
        #expect(isVolatile)
        let found = backend.keeper as? ImageKeeper
        let keeper = try #require(found)
        let answers = try Answers()
        func flush() throws -> Int32 { try answers.result(backend.flush(ticket: answers.ticket())).code }
        func write(_ byte: UInt8) throws -> Int32 {
            let data = Segments(block(byte))
            return try answers.result(
                backend.write(
                    ByteExtent(offset: 0, length: 512), from: data.list, durable: false, ticket: answers.ticket())
            ).code
        }
        #expect(try write(0xAA) == 0)
        #expect(try flush() == 0)
        #expect(try write(0xBB) == 0)
        // As when another gateway asks for the lock.
        _ = keeper.perform(.closeGate)
        #expect(try flush() == -11)
        #expect(try image.export()[0] == 0xAA, "not there yet")
        #expect(keeper.perform(.release) == .released(0))
        #expect(try flush() == 0)
        #expect(try image.export()[0] == 0xBB)
        // The lock is not there to be given back: what the cache held may be lost, and is told once.
        _ = keeper.perform(.openGate)
        _ = keeper.perform(.closeGate)
        #expect(keeper.perform(.release) == .released(0))
        #expect(try flush() == -5)
        #expect(try flush() == 0)
        backend.close()
    }
}
