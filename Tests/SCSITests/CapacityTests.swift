import SCSI
import Testing

@Suite("Capacity: READ CAPACITY and the way from blocks to bytes")
struct CapacityTests {
    struct CapacityRow: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let blocks: UInt64
        let ten: [UInt8]

        init(_ title: String, blocks: UInt64, ten: String) {
            (testDescription, self.blocks, self.ten) = (title, blocks, hex(ten))
        }
    }

    @Test(
        "READ CAPACITY(10)",
        arguments: [
            CapacityRow("one block", blocks: 1, ten: "00000000 00000200"),
            CapacityRow("1 GiB", blocks: 0x20_0000, ten: "001FFFFF 00000200"),
            CapacityRow("the last that fits", blocks: 0xFFFF_FFFF, ten: "FFFFFFFE 00000200"),
            CapacityRow("2^32 blocks", blocks: 0x1_0000_0000, ten: "FFFFFFFF 00000200"),
            CapacityRow("more than 2^32 blocks", blocks: 0x1_0000_0001, ten: "FFFFFFFF 00000200"),
            CapacityRow("no block", blocks: 0, ten: "FFFFFFFF 00000200"),
            CapacityRow("all blocks", blocks: .max, ten: "FFFFFFFF 00000200"),
        ])
    func ten(_ row: CapacityRow) {
        #expect(Capacity(blocks: row.blocks, blockSize: 512).readCapacity10 == row.ten)
    }

    @Test("READ CAPACITY(16) of a unit that can unmap")
    func sixteen() {
        let capacity = Capacity(blocks: 0x1_2345_6789, blockSize: 4096, physicalExponent: 3)
        let expected =
            hex(
                """
                0000000123456788  # RETURNED LOGICAL BLOCK ADDRESS
                00001000          # LOGICAL BLOCK LENGTH
                00                # P_TYPE 0, PROT_EN 0
                03                # LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT
                C000              # LBPME, LBPRZ, LOWEST ALIGNED LBA 0
                """) + zeros(16)
        #expect(hexText(capacity.readCapacity16(provisioning: .unmappable(readsZeros: true))) == hexText(expected))
    }

    @Test("LBPME and LBPRZ are claimed only where they hold")
    func provisioning() {
        let capacity = Capacity(blocks: 8, blockSize: 512)
        func byte14(_ flags: ProvisioningFlags) -> UInt8 { capacity.readCapacity16(provisioning: flags)[14] }
        #expect(byte14(.none) == 0x00)
        #expect(byte14(.unmappable(readsZeros: false)) == 0x80)
        #expect(byte14(.unmappable(readsZeros: true)) == 0xC0)
        #expect(byte14(ProvisioningFlags(lbpu: false, lbpws: false, lbpws10: false, lbprz: true)) == 0x00)
    }

    @Test("an exponent beyond its four bits does not reach its neighbours")
    func exponent() {
        let data = Capacity(blocks: 8, blockSize: 512, physicalExponent: 0xFF).readCapacity16(provisioning: .none)
        #expect(data[13] == 0x0F)
    }

    struct RangeRow: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let range: BlockRange
        let capacity: Capacity
        let bytes: [UInt64]?

        init(
            _ title: String, _ lba: UInt64, _ blocks: UInt64, of capacity: UInt64 = 100, size: UInt32 = 512,
            _ bytes: [UInt64]?
        ) {
            testDescription = title
            range = BlockRange(lba: lba, blocks: blocks)
            self.capacity = Capacity(blocks: capacity, blockSize: size)
            self.bytes = bytes
        }
    }

    @Test(
        "a range lies in the unit or is refused, and nothing overflows",
        arguments: [
            RangeRow("first block", 0, 1, [0, 512]),
            RangeRow("last block", 99, 1, [99 * 512, 512]),
            RangeRow("whole unit", 0, 100, [0, 51200]),
            RangeRow("one block beyond", 99, 2, nil),
            RangeRow("starts at the end", 100, 1, nil),
            RangeRow("empty at the end", 100, 0, [51200, 0]),
            RangeRow("empty beyond the end", 101, 0, nil),
            RangeRow("sum wraps to a small number", .max, 2, nil),
            RangeRow("highest LBA, highest count", .max, .max, nil),
            RangeRow("count alone too large", 0, .max, nil),
            RangeRow("unit of no blocks", 0, 0, of: 0, [0, 0]),
            RangeRow("unit of no blocks, one asked for", 0, 1, of: 0, nil),
            RangeRow("beyond 2^32", 1 << 33, 8, of: 1 << 34, [1 << 42, 4096]),
            RangeRow("4 KiB blocks", 3, 2, size: 4096, [12288, 8192]),
            RangeRow("offset overflows 64 bits", 1 << 60, 1, of: .max, nil),
            RangeRow("length overflows 64 bits", 0, 1 << 60, of: .max, nil),
            RangeRow("end overflows 64 bits", (1 << 55) - 1, 1, of: .max, nil),
            RangeRow("the last byte of 64 bits", (1 << 55) - 2, 1, of: .max, [((1 << 55) - 2) << 9, 512]),
        ])
    func byteRange(_ row: RangeRow) {
        let bytes = row.range.byteRange(in: row.capacity)
        #expect(bytes.map { [$0.offset, $0.length] } == row.bytes)
    }

    @Test("the ranges of the commands")
    func ranges() {
        #expect(MediumAccess(lba: 5, blocks: 7).range == BlockRange(lba: 5, blocks: 7))
        #expect(WriteSame(lba: 5, blocks: 7, form: .ten).range == BlockRange(lba: 5, blocks: 7))
        #expect(CompareAndWrite(lba: 5, blocks: 7).range == BlockRange(lba: 5, blocks: 7))
    }

    @Test("SYNCHRONIZE CACHE of zero blocks goes to the end of the unit")
    func synchronizeCache() {
        let capacity = Capacity(blocks: 100, blockSize: 512)
        func range(_ lba: UInt64, _ blocks: UInt32) -> BlockRange {
            SynchronizeCache(lba: lba, blocks: blocks).range(in: capacity)
        }
        #expect(range(0, 0) == BlockRange(lba: 0, blocks: 100))
        #expect(range(60, 0) == BlockRange(lba: 60, blocks: 40))
        #expect(range(60, 8) == BlockRange(lba: 60, blocks: 8))
        #expect(range(101, 0).byteRange(in: capacity) == nil)
        #expect(range(.max, 0).byteRange(in: capacity) == nil)
        #expect(range(99, 2).byteRange(in: capacity) == nil)
    }
}
