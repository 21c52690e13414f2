import SCSI
import Testing

@Suite("INQUIRY: vital product data about the blocks")
struct VitalProductDataTests {
    private static let unmap = BlockLimits.Unmap(
        maximumBlocks: 0x0200_0000, granularity: 0x2000, alignment: 0x2000)
    private static let copy = ThirdPartyCopy(
        maximumCSCDDescriptors: 0x0102, maximumSegmentDescriptors: 0x0304, maximumDescriptorListBytes: 0x0506_0708,
        descriptorTypes: [0xE4, 0x02], wellKnownCSCDs: [0xFFFF], totalConcurrentCopies: 3,
        maximumIdentifiedCopies: 2, maximumSegmentBytes: 0x0100_0000, segmentGranularity: 12)

    private func pages(
        limits: BlockLimits = BlockLimits(
            maximumTransferBlocks: 0x400, optimalTransferBlocks: 0x400, unmap: Self.unmap),
        provisioning: ProvisioningFlags = .unmappable(readsZeros: true), rotation: UInt16 = 0,
        commands: CommandSet = .common, exponent: UInt8 = 0, copy: ThirdPartyCopy? = nil
    ) -> VitalProductData {
        VitalProductData(
            identity: UnitIdentity(serial: "c0a80a01", configString: "rbd/pool/image"), limits: limits,
            provisioning: provisioning, mediumRotationRate: rotation, commands: commands,
            thresholdExponent: exponent, thirdPartyCopy: copy)
    }

    @Test("VPD 00h lists the pages in ascending order, itself first")
    func supportedPages() {
        #expect(pages().page(0x00) == hex("00 00 0006 00 80 83 B0 B1 B2"))
        #expect(pages(copy: Self.copy).page(0x00) == hex("00 00 0007 00 80 83 8F B0 B1 B2"))
    }

    @Test("there is no page that 00h does not list, and each says its own code", arguments: [nil, copy])
    func listedPages(_ copy: ThirdPartyCopy?) {
        let listed = Set(pages(copy: copy).bytes(of: .supportedPages).dropFirst(4))
        for code in 0...UInt8.max {
            let page = pages(copy: copy).page(code)
            #expect((page != nil) == listed.contains(code))
            if let page {
                #expect(page[1] == code)
                #expect(Int(page[2]) << 8 | Int(page[3]) == page.count - 4)
            }
        }
        #expect(VitalProductData.unsupportedPage == .invalidFieldInCDB(byte: 2))
    }

    @Test("VPD B0h of a unit that can unmap")
    func blockLimits() {
        let expected =
            hex(
                """
                00 B0 003C
                01                # WSNZ
                01                # MAXIMUM COMPARE AND WRITE LENGTH
                0000              # OPTIMAL TRANSFER LENGTH GRANULARITY
                00000400          # MAXIMUM TRANSFER LENGTH
                00000400          # OPTIMAL TRANSFER LENGTH
                00000000          # MAXIMUM PREFETCH LENGTH
                02000000          # MAXIMUM UNMAP LBA COUNT
                00000004          # MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT
                00002000          # OPTIMAL UNMAP GRANULARITY
                80002000          # UGAVALID, UNMAP GRANULARITY ALIGNMENT
                00000000FFFFFFFF  # MAXIMUM WRITE SAME LENGTH
                """) + zeros(20)
        #expect(hexText(pages().bytes(of: .blockLimits)) == hexText(expected))
    }

    @Test("VPD B0h with every field")
    func everyLimit() {
        let limits = BlockLimits(
            maximumTransferBlocks: 0x400, optimalTransferBlocks: 0x200, optimalTransferGranularity: 8,
            maximumPrefetchBlocks: 0x8000, maximumCompareAndWriteBlocks: 128, maximumWriteSameBlocks: 0x10_0000,
            unmap: Self.unmap,
            atomic: BlockLimits.Atomic(maximumBlocks: 0x100, alignmentBlocks: 16, granularityBlocks: 4))
        let expected = hex(
            """
            00 B0 003C
            01 80 0008 00000400 00000200
            00008000                   # MAXIMUM PREFETCH LENGTH
            02000000 00000004 00002000 80002000
            0000000000100000           # MAXIMUM WRITE SAME LENGTH
            00000100                   # MAXIMUM ATOMIC TRANSFER LENGTH
            00000010                   # ATOMIC ALIGNMENT
            00000004                   # ATOMIC TRANSFER LENGTH GRANULARITY
            00000000 00000000          # no atomic boundary
            """)
        #expect(hexText(pages(limits: limits).bytes(of: .blockLimits)) == hexText(expected))
    }

    @Test("VPD B0h of a unit that can neither unmap nor write atomically says nothing of it")
    func blockLimitsWithoutUnmap() {
        let limits = BlockLimits(maximumTransferBlocks: 0x400, optimalTransferBlocks: 0x400)
        let page = pages(limits: limits).bytes(of: .blockLimits)
        #expect(page[20..<36].allSatisfy { $0 == 0 })
        #expect(page[44..<64].allSatisfy { $0 == 0 })
        #expect(page.count == 64)
    }

    @Test("VPD B1h: rotation rate", arguments: [(UInt16(0), "0000"), (1, "0001"), (7200, "1C20")])
    func characteristics(_ rate: UInt16, _ bytes: String) {
        let page = pages(rotation: rate).bytes(of: .blockDeviceCharacteristics)
        #expect(page == hex("00 B1 003C") + hex(bytes) + zeros(58))
    }

    @Test(
        "VPD B1h: WABEREQ and WACEREQ go with the kinds of SANITIZE",
        arguments: SupportedCommandsTests.everySet)
    func sanitize(_ commands: CommandSet) {
        let page = pages(commands: commands).bytes(of: .blockDeviceCharacteristics)
        #expect(page[7] >> 6 == (commands.blockErase ? 1 : 0))
        #expect(page[7] >> 4 & 3 == (commands.cryptographicErase ? 1 : 0))
        #expect(page[7] & 0x0F == 0)
        #expect(page.dropFirst(8).allSatisfy { $0 == 0 })
    }

    @Test("VPD B2h claims what the unit can do, and no more")
    func provisioning() {
        func page(_ flags: ProvisioningFlags, exponent: UInt8 = 0) -> [UInt8] {
            pages(provisioning: flags, exponent: exponent).bytes(of: .logicalBlockProvisioning)
        }
        #expect(page(.unmappable(readsZeros: true)) == hex("00 B2 0004 00 E4 02 00"))
        #expect(page(.unmappable(readsZeros: false)) == hex("00 B2 0004 00 E0 02 00"))
        #expect(page(.unmappable(readsZeros: true), exponent: 11) == hex("00 B2 0004 0B E4 02 00"))
        #expect(page(.none) == hex("00 B2 0004 00 00 00 00"))
        let readsZerosAlone = ProvisioningFlags(lbpu: false, lbpws: false, lbpws10: false, lbprz: true)
        #expect(page(readsZerosAlone) == hex("00 B2 0004 00 00 00 00"))
        let lbpws10Alone = ProvisioningFlags(lbpu: false, lbpws: false, lbpws10: true, lbprz: false)
        #expect(page(lbpws10Alone) == hex("00 B2 0004 00 20 02 00"))
    }

    @Test("READ CAPACITY(16) and VPD B2h agree on provisioning", arguments: 0...15)
    func agreesWithReadCapacity(_ bits: Int) {
        let flags = ProvisioningFlags(
            lbpu: bits & 1 != 0, lbpws: bits & 2 != 0, lbpws10: bits & 4 != 0, lbprz: bits & 8 != 0)
        let capacity = Capacity(blocks: 1024, blockSize: 512).readCapacity16(provisioning: flags)
        let page = pages(provisioning: flags).bytes(of: .logicalBlockProvisioning)
        let isManaged = page[5] & 0xE0 != 0
        #expect((capacity[14] & 0x80 != 0) == isManaged, "LBPME")
        #expect((capacity[14] & 0x40 != 0) == (page[5] >> 2 & 7 == 1), "LBPRZ")
        #expect(page[6] == (isManaged ? 2 : 0), "PROVISIONING TYPE")
    }

    @Test("VPD 8Fh")
    func thirdPartyCopy() throws {
        let expected = hex(
            """
            00 8F 0064
            0001 000C            # Supported Commands
            0A                   # COMMANDS SUPPORTED LIST LENGTH
            83 02 00 01          # EXTENDED COPY
            84 04 00 03 04 05    # RECEIVE COPY RESULTS
            00                   # padding
            0004 001C 00000000   # Parameter Data
            0102 0304 05060708   # CSCD and segment descriptors, MAXIMUM DESCRIPTOR LIST LENGTH
            00000000             # MAXIMUM INLINE DATA LENGTH
            000000000000000000000000
            0008 0004 02 02 E4   # Supported Descriptors
            00                   # padding
            000C 0004 0002 FFFF  # Supported CSCD Descriptor IDs
            8001 0020            # General Copy Operations
            00000003 00000002    # TOTAL CONCURRENT COPIES, MAXIMUM IDENTIFIED CONCURRENT COPIES
            01000000             # MAXIMUM SEGMENT LENGTH
            0C 00                # DATA SEGMENT GRANULARITY, INLINE DATA GRANULARITY
            000000000000000000000000000000000000
            """)
        #expect(hexText(try #require(pages(copy: Self.copy).page(0x8F))) == hexText(expected))
    }

    @Test(
        "VPD 8Fh: descriptors of any content follow each other without a gap",
        arguments: [0, 1, 2, 3, 200, 300, 5000])
    func thirdPartyCopyLists(_ count: Int) throws {
        var copy = Self.copy
        copy.descriptorTypes = [UInt8](repeating: 0x02, count: count)
        copy.wellKnownCSCDs = [UInt16](repeating: 0xFFFF, count: count)
        let page = try #require(pages(copy: copy).page(0x8F))
        func number(_ index: Int) -> Int { Int(page[index]) << 8 | Int(page[index + 1]) }
        #expect(number(2) == page.count - 4)
        var (offset, types): (Int, [Int]) = (4, [])
        while offset < page.count {
            types.append(number(offset))
            #expect(number(offset + 2).isMultiple(of: 4))
            offset += 4 + number(offset + 2)
        }
        #expect(offset == page.count)
        #expect(types == [0x0001, 0x0004, 0x0008, 0x000C, 0x8001])
    }

    struct AtomicRow: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let access: MediumAccess
        let sense: Sense?

        init(_ title: String, _ lba: UInt64, _ blocks: UInt32, _ sense: Sense?) {
            (testDescription, access, self.sense) = (title, MediumAccess(lba: lba, blocks: blocks), sense)
        }
    }

    @Test(
        "limits of the unit: WRITE ATOMIC",
        arguments: [
            AtomicRow("the longest", 16, 256, nil),
            AtomicRow("longer", 16, 260, .invalidFieldInCDB(byte: 12)),
            AtomicRow("the shortest", 0, 4, nil),
            AtomicRow("beside the granularity", 0, 6, .invalidFieldInCDB(byte: 12)),
            AtomicRow("beside the alignment", 8, 4, .invalidFieldInCDB(byte: 2)),
            AtomicRow("at the very end", .max & ~15, 4, nil),
            AtomicRow("nothing, anywhere", 1, 0, nil),
        ])
    func atomic(_ row: AtomicRow) {
        var limits = BlockLimits(maximumTransferBlocks: 1024, optimalTransferBlocks: 1024)
        #expect(row.access.atomicRefusal(limits: limits) == .invalidCommandOperationCode)
        limits.atomic = BlockLimits.Atomic(maximumBlocks: 256, alignmentBlocks: 16, granularityBlocks: 4)
        #expect(row.access.atomicRefusal(limits: limits) == row.sense)
        limits.atomic = BlockLimits.Atomic(maximumBlocks: 512)
        #expect(row.access.atomicRefusal(limits: limits) == nil)
    }
}
