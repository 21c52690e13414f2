import BlockBackend
import RBDBackend
import Testing

private let kib: UInt64 = 1024
private let mib: UInt64 = 1024 * 1024
private let pacific = 1 << 8 | 16
private let reef = 1 << 8 | 19

@Suite("What an image can do")
struct ImageGeometryTests {
    private func geometry(
        object: UInt64 = 4 * mib, stripe: UInt64 = 4 * mib, granularity: UInt64 = 64 * kib, block: UInt64 = 512,
        version: Int = pacific
    ) -> ImageGeometry {
        ImageGeometry(
            objectBytes: object, stripeUnitBytes: stripe, discardGranularityBytes: granularity, blockBytes: block,
            libraryVersion: version)
    }

    @Test(
        "compare-and-write is native for one block that never crosses librbd's bounds",
        arguments: [
            (512, 4 * mib, pacific, 512), (4096, 4 * mib, pacific, 0), (4096, 4 * mib, reef, 4096),
            (512, 256, pacific, 0), (4096, 512, reef, 0), (512, 0, pacific, 0), (0, 4 * mib, pacific, 0),
            // One block to a stripe unit: a difference anywhere but at its first byte would end the process.
            (512, 512, pacific, 0), (512, 512, reef, 0), (4096, 4096, reef, 0), (65536, 65536, reef, 0),
            (512, 1024, pacific, 512), (4096, 8192, reef, 4096), (512, 1536, reef, 512), (512, 1280, reef, 0),
            (1 << 63, 1 << 63, reef, 0), (512, .max, reef, 0),
        ] as [(UInt64, UInt64, Int, UInt64)])
    func compareAndWrite(block: UInt64, stripe: UInt64, version: Int, bytes: UInt64) {
        #expect(geometry(stripe: stripe, block: block, version: version).compareAndWriteBytes == bytes)
    }

    @Test(
        "the discard granularity lies between a block and an object",
        arguments: [
            (64 * kib, 4 * mib, 512, 64 * kib), (64 * kib, 4 * kib, 512, 4 * kib), (0, 4 * mib, 4096, 4096),
            (.max, 4 * mib, 512, 4 * mib),
        ] as [(UInt64, UInt64, UInt64, UInt64)])
    func granularity(configured: UInt64, object: UInt64, block: UInt64, expected: UInt64) {
        let discard = geometry(object: object, granularity: configured, block: block).discard
        #expect(discard.granularity == expected)
        #expect(discard.alignment == 0)
        #expect(discard.readsZeros)
    }

    @Test(
        "atomic writes fit into a stripe unit and hold whole blocks",
        arguments: [
            (4 * mib, 512, 4 * mib), (16 * kib, 4096, 16384), (8 * kib, 512, 8192), (24 * kib, 512, 8192),
            (512, 512, 512), (512, 4096, 0), (256, 512, 0), (0, 512, 0), (4 * mib, 0, 0), (.max, 512, 0),
            (1 << 63, 512, 32 * mib),
        ] as [(UInt64, UInt64, UInt64)])
    func atomicWrites(stripe: UInt64, block: UInt64, bytes: UInt64) {
        #expect(geometry(stripe: stripe, block: block).atomicWriteBytes == bytes)
    }

    @Test("one discard covers four objects, whatever the header claims")
    func longest() {
        #expect(geometry().discard.maximumBytes == 16 * mib)
        #expect(geometry(object: .max).discard.maximumBytes == .max)
    }
}
