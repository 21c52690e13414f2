import BlockBackend
import CAllocationProbe
import FileBackend
import LogicalUnit
import MemoryBackend
import Reactor
import TCMUTestKit
import Testing

/// Commands per measurement. One allocation in a hundred commands would show as 100.
private let measured = 10_000

/// Allocations by which two looks at the counter differ: they go through the Swift runtime's own queues. Far below
/// one per turn of the loop, which is what the measurements would show first.
private let slack = 8

@Suite("Heap allocations of the loop thread", .serialized)
struct AllocationTests {
    static let size: UInt64 = 4 << 20

    /// The command that is repeated.
    enum Load: String, CaseIterable, Sendable {
        case read10, read16, write10, write16, durableWrite

        func cdb(lba: Int) -> [UInt8] {
            switch self {
            case .read10: InitiatorCDB.read10(UInt32(lba), 8)
            case .read16: InitiatorCDB.read16(UInt64(lba), 8)
            case .write10: InitiatorCDB.write10(UInt32(lba), 8)
            case .write16: InitiatorCDB.write16(UInt64(lba), 8)
            case .durableWrite: InitiatorCDB.write10(UInt32(lba), 8, flags: 0x08)
            }
        }

        var isRead: Bool { self == .read10 || self == .read16 }
    }

    @Test("The probe counts: what is known to allocate is seen on the loop thread")
    func probe() async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size))
        let counted = await measure(rig) { rig in
            for _ in 0..<100 { _ = rig.perform(cdb: InitiatorCDB.readCapacity16, dataInLength: 32) }
        }
        #expect(counted >= 100 - slack, "READ CAPACITY builds its answer in an array, one per command")
        await rig.stop()
    }

    @Test("None per READ and WRITE on memory", arguments: Load.allCases, [1, 32])
    func memory(_ load: Load, _ depth: Int) async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size))
        let counted = await allocations(rig, load, depth: depth, commands: measured)
        #expect(abs(counted) <= slack)
        await rig.stop()
    }

    @Test("None per READ and WRITE on a file", arguments: [Load.read10, .write16], [1, 32])
    func file(_ load: Load, _ depth: Int) async throws {
        let image = try TemporaryImage(size: Int(Self.size))
        let backend = try FileBackend.open(path: image.path, direct: false, expectedSize: Self.size, blockSize: 512)
        let rig = try await UnitRig.start(backend)
        let counted = await allocations(rig, load, depth: depth, commands: measured)
        #expect(abs(counted) <= slack)
        await rig.stop()
    }

    @Test("None per durable WRITE on a file")
    func durableFile() async throws {
        let image = try TemporaryImage(size: Int(Self.size))
        let backend = try FileBackend.open(path: image.path, direct: false, expectedSize: Self.size, blockSize: 512)
        let rig = try await UnitRig.start(backend)
        // Few: each one reaches the disk.
        let counted = await allocations(rig, .durableWrite, depth: 8, commands: 200)
        #expect(abs(counted) <= slack)
        await rig.stop()
    }

    // MARK: - Measuring

    /// Allocations of the loop thread for `commands` commands after a warm-up of as many.
    private func allocations<Backend: BlockBackend & ~Copyable>(
        _ rig: UnitRig<Backend>, _ load: Load, depth: Int, commands: Int
    ) async -> Int {
        var fewest = Int.max
        // The runtime's own come and go with the machine's load; what a command allocates is there each time.
        for _ in 0..<3 where fewest > slack {
            fewest = min(fewest, abs(await allocationsOnce(rig, load, depth: depth, commands: commands)))
        }
        return fewest
    }

    private func allocationsOnce<Backend: BlockBackend & ~Copyable>(
        _ rig: UnitRig<Backend>, _ load: Load, depth: Int, commands: Int
    ) async -> Int {
        let cdbs = (0..<64).map { load.cdb(lba: $0 * 8) }
        return await measure(rig) { rig in
            var finished = 0
            var sent = 0
            while finished < commands {
                while sent < commands && rig.kernel.inFlight < depth {
                    let cdb = cdbs[sent % cdbs.count]
                    let id = cdb.withUnsafeBytes {
                        rig.kernel.postBare($0, outBytes: load.isRead ? 0 : 4096, inBytes: load.isRead ? 4096 : 0)
                    }
                    if id == 0 { break }
                    sent += 1
                }
                rig.kernel.notify()
                if !rig.kernel.waitForDoorbell(milliseconds: 20_000) { break }
                finished += rig.kernel.reapBare { _, status in precondition(status == 0) }
            }
        }
    }

    /// Allocations of the loop thread while `work` runs for the second time, less what looking at the counter costs.
    private func measure<Backend: BlockBackend & ~Copyable>(
        _ rig: UnitRig<Backend>, _ work: (UnitRig<Backend>) -> Void
    ) async -> Int {
        work(rig)
        let start = await count(rig)
        let idle = await count(rig) - start
        work(rig)
        let end = await count(rig)
        return end - start - 2 * idle
    }

    private func count<Backend: BlockBackend & ~Copyable>(_ rig: UnitRig<Backend>) async -> Int {
        let unit: any ControlledUnit = rig.unit
        return await rig.loop.run(unit) { Int(callocation_probe_thread_count()) } ?? -1
    }
}
