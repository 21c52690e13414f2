import BlockBackend
import LogicalUnit
import MemoryBackend
import TCMUTestKit
import Testing

/// A unit of 64 MiB as its backend and configfs make it.
struct LimitedUnit: Sendable, CustomTestStringConvertible {
    let testDescription: String
    var blockSize: UInt32 = 512
    /// `hw_max_sectors`; 128 is what the kernel sets where nobody asks for more.
    var transferBlocks: UInt32 = 128
    var atomicBytes: UInt64 = 4 << 20
    var optimalBytes: UInt64 = 0
    var granule: UInt64 = 4096
    var nativeCompareBytes: UInt64 = 0
    var hasOtherWriters = false
    var hasCache = false

    var capabilities: BackendCapabilities {
        var capabilities = BackendCapabilities()
        capabilities.atomicWriteBytes = atomicBytes
        capabilities.optimalTransferBytes = optimalBytes
        capabilities.discard = DiscardCapability(granularity: granule, maximumBytes: 1 << 30, readsZeros: true)
        capabilities.nativeCompareAndWriteBytes = nativeCompareBytes
        capabilities.hasOtherWriters = hasOtherWriters
        capabilities.volatileCache = hasCache
        return capabilities
    }
}

@Suite("Every length and place that page B0h promises is taken")
struct BlockLimitsTests {
    static let size: UInt64 = 64 << 20

    static let units: [LimitedUnit] = [
        LimitedUnit(testDescription: "as configfs makes an rbd image"),
        LimitedUnit(testDescription: "long transfers", transferBlocks: 8192),
        LimitedUnit(
            testDescription: "transfers longer than a stripe unit", transferBlocks: 8192, atomicBytes: 65536),
        LimitedUnit(testDescription: "a transfer that is no power of two", transferBlocks: 1000),
        LimitedUnit(testDescription: "blocks of 4 KiB", blockSize: 4096, transferBlocks: 16),
        LimitedUnit(testDescription: "a stripe unit of one block", atomicBytes: 512),
        LimitedUnit(testDescription: "transfers of one block", transferBlocks: 1),
        LimitedUnit(testDescription: "objects of 32 MiB", transferBlocks: 65536, atomicBytes: 32 << 20),
    ]

    static func start(_ unit: LimitedUnit) async throws -> (BackendScript, UnitRig<ScriptedBackend>) {
        let script = BackendScript(size: size, capabilities: unit.capabilities)
        script.answerSurveys(.init(availableBytes: size))
        let rig = try await UnitRig.start(
            ScriptedBackend(script), geometry: RingGeometry(dataBlocks: 4096), blockSize: unit.blockSize,
            maximumTransferBlocks: unit.transferBlocks)
        return (script, rig)
    }

    /// The number of `count` bytes at `offset` of page B0h.
    static func limit(
        _ rig: borrowing UnitRig<ScriptedBackend>, at offset: Int, _ count: Int = 4
    ) throws -> UInt64 {
        let page = try rig.run(InitiatorCDB.inquiry(page: 0xB0), dataInLength: 255).dataIn
        return page[offset..<offset + count].reduce(0) { $0 << 8 | UInt64($1) }
    }

    @Test(
        "Atomic writes at the promised alignment, of every promised length, never cross and are never refused",
        arguments: units)
    func atomic(_ unit: LimitedUnit) async throws {
        let (script, rig) = try await Self.start(unit)
        let (longest, alignment) = (try Self.limit(rig, at: 44), try Self.limit(rig, at: 48))
        #expect(try Self.limit(rig, at: 52) <= 1, "any number of blocks")
        #expect(try Self.limit(rig, at: 56, 8) == 0, "no boundary is promised")
        try #require(longest > 0 && alignment > 0)
        #expect(try longest <= Self.limit(rig, at: 8), "no longer than a transfer")
        let block = UInt64(unit.blockSize)
        #expect(unit.atomicBytes % (longest * block) == 0, "the maximum divides the window")
        let blocks = Self.size / block
        let window = unit.atomicBytes / block
        for start in [0, window - alignment, window, 3 * window - alignment, blocks - alignment]
        where start % alignment == 0 && start < blocks {
            for length in [1, longest / 2, longest - 1, longest] where length > 0 {
                let data = [UInt8](repeating: UInt8(truncatingIfNeeded: length), count: Int(length * block))
                let done = try rig.run(InitiatorCDB.writeAtomic16(start, UInt16(length)), dataOut: data)
                #expect(done.status == 0, "\(length) blocks at \(start)")
            }
        }
        for operation in script.operations where operation.kind == .write {
            let end = operation.extent.offset + operation.extent.length - 1
            #expect(operation.extent.offset / unit.atomicBytes == end / unit.atomicBytes)
        }
        await rig.stop()
    }

    @Test(
        "Beside the alignment that the page tells, atomic writes are taken from 4 KiB on where their length divides the LBA",
        arguments: [
            (0, 64, true), (64, 64, true), (192, 32, true), (8, 8, true), (8192 - 8, 8, true), (0, 7, true),
            (8, 64, false), (8192 - 63, 64, false), (4, 8, false), (1, 1, false), (4, 4, false), (24, 24, false),
        ] as [(UInt64, UInt16, Bool)])
    func besideAlignment(_ lba: UInt64, _ blocks: UInt16, _ isTaken: Bool) async throws {
        let (_, rig) = try await Self.start(Self.units[0])
        let data = [UInt8](repeating: 1, count: Int(blocks) * 512)
        let done = try rig.run(InitiatorCDB.writeAtomic16(lba, blocks), dataOut: data)
        #expect(done.codes == (isTaken ? nil : Codes.invalidField))
        await rig.stop()
    }

    @Test(
        "READ and WRITE of the longest transfer, of the optimal one, and aligned to its granularity",
        arguments: units)
    func transfers(_ unit: LimitedUnit) async throws {
        let (_, rig) = try await Self.start(unit)
        let longest = try Self.limit(rig, at: 8)
        let optimal = try Self.limit(rig, at: 12)
        #expect(longest > 0 && longest <= UInt64(unit.transferBlocks) && optimal <= longest)
        for blocks in Set([longest, optimal]) where blocks > 0 {
            let bytes = Int(blocks) * Int(unit.blockSize)
            let data = [UInt8](repeating: 9, count: bytes)
            #expect(try rig.run(InitiatorCDB.write16(0, UInt32(blocks)), dataOut: data).status == 0)
            #expect(try rig.run(InitiatorCDB.read16(0, UInt32(blocks)), dataInLength: bytes).status == 0)
        }
        await rig.stop()
    }

    @Test(
        "A transfer granularity is told where the backend knows one, and nothing where it does not",
        arguments: [
            (LimitedUnit(testDescription: "a file", optimalBytes: 0), 0 as UInt64, 128 as UInt64),
            (LimitedUnit(testDescription: "an object longer than a transfer", optimalBytes: 4 << 20), 0, 128),
            (LimitedUnit(testDescription: "an object", transferBlocks: 8192, optimalBytes: 4 << 20), 8192, 8192),
            (LimitedUnit(testDescription: "a stripe", transferBlocks: 8192, optimalBytes: 65536), 128, 8192),
        ])
    func granularity(_ unit: LimitedUnit, _ granularity: UInt64, _ optimal: UInt64) async throws {
        let (_, rig) = try await Self.start(unit)
        #expect(try Self.limit(rig, at: 6, 2) == granularity)
        #expect(try Self.limit(rig, at: 12) == optimal)
        await rig.stop()
    }

    @Test(
        "The unmap granularity told is 64 KiB or what the backend has beyond; less than it is unmapped all the same",
        arguments: [
            (512, 128 as UInt64), (4096, 128), (65536, 128), (1 << 20, 2048), (4 << 20, 8192), (24576, 48),
        ] as [(UInt64, UInt64)])
    func unmap(_ granule: UInt64, _ told: UInt64) async throws {
        let (script, rig) = try await Self.start(LimitedUnit(testDescription: "", granule: granule))
        #expect(try Self.limit(rig, at: 28) == told)
        let longest = UInt32(try Self.limit(rig, at: 20))
        for blocks in [1, 8, 128, min(longest, 131_072)] as [UInt32] {
            let list = InitiatorCDB.unmapParameters([(lba: 0, blocks: blocks)])
            let cdb = InitiatorCDB.unmap(parameterListLength: UInt16(list.count))
            #expect(try rig.run(cdb, dataOut: list).status == 0)
            let discarded = script.operations.filter { $0.kind == .discard }.last?.extent
            #expect(discarded?.offset == 0, "\(blocks) blocks")
        }
        let most = Int(try Self.limit(rig, at: 24))
        let list = InitiatorCDB.unmapParameters((0..<most).map { (lba: UInt64($0 * 100), blocks: 8) })
        let cdb = InitiatorCDB.unmap(parameterListLength: UInt16(list.count))
        #expect(try rig.run(cdb, dataOut: list).status == 0)
        await rig.stop()
    }

    @Test(
        "COMPARE AND WRITE is as long as it is atomic: against others' writes only the backend's own step is",
        arguments: [
            (LimitedUnit(testDescription: "alone"), 64),
            (LimitedUnit(testDescription: "alone, long transfers", transferBlocks: 8192), 255),
            (
                LimitedUnit(
                    testDescription: "others write, one block natively", nativeCompareBytes: 512,
                    hasOtherWriters: true), 1
            ),
            (LimitedUnit(testDescription: "others write, nothing natively", hasOtherWriters: true), 0),
            (
                LimitedUnit(
                    testDescription: "others write, a cache before it", nativeCompareBytes: 512,
                    hasOtherWriters: true,
                    hasCache: true), 0
            ),
            (
                LimitedUnit(
                    testDescription: "others write, 4 KiB blocks", blockSize: 4096, nativeCompareBytes: 512,
                    hasOtherWriters: true), 0
            ),
        ] as [(LimitedUnit, UInt64)])
    func compareAndWrite(_ unit: LimitedUnit, _ longest: UInt64) async throws {
        let (script, rig) = try await Self.start(unit)
        #expect(try Self.limit(rig, at: 5, 1) == longest)
        func compare(_ blocks: UInt64) throws -> RingCompletion {
            let data = [UInt8](repeating: 0, count: 2 * Int(blocks) * Int(unit.blockSize))
            return try rig.run(InitiatorCDB.compareAndWrite(0, UInt8(blocks)), dataOut: data)
        }
        if longest == 0 {
            #expect(try compare(1).codes == Codes.unknown)
        } else {
            #expect(try compare(longest).status == 0)
            if longest < 255 { #expect(try compare(longest + 1).codes == Codes.invalidField) }
        }
        if unit.hasOtherWriters {
            #expect(script.operations.allSatisfy { $0.kind == .compareAndWrite || $0.kind == .survey })
            let data = [UInt8](repeating: 0, count: Int(unit.blockSize))
            #expect(try rig.run(InitiatorCDB.orWrite16(0, 1), dataOut: data).codes == Codes.unknown)
        }
        await rig.stop()
    }
}
