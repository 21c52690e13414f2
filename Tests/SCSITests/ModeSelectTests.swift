import SCSI
import Testing

@Suite("Mode pages: MODE SELECT")
struct ModeSelectTests {
    private static let recovery = ModeSenseTests.recovery
    private static let caching = ModeSenseTests.caching
    private static let control = ModeSenseTests.control
    private static let opened = ModeSenseTests.pages

    /// The block descriptor that Windows sends: no blocks, the block length.
    private static func windows(_ blockSize: UInt16) -> [UInt8] {
        zeros(6) + [UInt8(blockSize >> 8), UInt8(blockSize & 0xFF)]
    }

    private static let long = hex("0000000000800000 00000000 00000200")

    /// What becomes of `pages` by a list, and why not.
    private func select(
        _ form: CDBForm, _ list: [UInt8], length: Int? = nil, of pages: ModePages = opened
    ) -> (pages: ModePages, refusal: Sense?) {
        var changed = pages
        let command = ModeSelect(form: form, parameterListLength: UInt16(length ?? list.count))
        let refusal = list.withUnsafeBytes { changed.select(command, delivered: $0, capacity: testCapacity) }
        return (changed, refusal)
    }

    @Test("the values in force change nothing", arguments: [ModeSenseTests.pages, ModeSenseTests.thin])
    func unchanged(_ pages: ModePages) throws {
        for (page, subpage) in [
            (0x01, 0), (0x08, 0), (0x0A, 0), (0x0A, 0x01), (0x0A, 0xFF), (0x3F, 0), (0x3F, 0xFF),
        ]
            as [(UInt8, UInt8)]
        {
            // What MODE SENSE gave goes back as it is, header included.
            let six = try pages.response(to: ModeSenseTests.six(page, subpage), capacity: testCapacity)
            #expect(select(.six, six, of: pages) == (pages, nil))
            let ten = try pages.response(to: ModeSenseTests.ten(page, subpage), capacity: testCapacity)
            #expect(select(.ten, ten, of: pages) == (pages, nil))
        }
        for list in [zeros(4), zeros(4) + hex("88 12 04") + zeros(17), []] {  // PS is not looked at
            #expect(select(.six, list, of: pages) == (pages, nil))
        }
        #expect(select(.ten, zeros(8), of: pages) == (pages, nil))
        #expect(select(.six, zeros(4) + Self.caching + hex("FF FF"), length: 24, of: pages) == (pages, nil))
    }

    @Test("a block descriptor that names what is so changes nothing, and the pages behind it count")
    func blockDescriptors() throws {
        let swp = hex("0A 0A 02 10 08 40 0000 FFFF 0000")
        let headers: [(CDBForm, [UInt8])] = [
            (.six, hex("00 00 00 08") + Self.windows(512)), (.six, hex("00 00 00 08 00800000 00 000200")),
            (.six, hex("17 00 10 08 00800000 00 000200")), (.ten, hex("0000 00 00 00 00 0008") + Self.windows(512)),
            (.ten, hex("0000 00 00 01 00 0010") + Self.long),
            (.ten, hex("0000 00 00 01 00 0010 0000000000000000 00000000 00000200")),
            (.ten, hex("0000 00 00 01 00 0000")),
        ]
        for (form, header) in headers {
            #expect(select(form, header) == (Self.opened, nil))
            let (changed, refusal) = select(form, header + swp)
            #expect(refusal == nil)
            #expect(changed.softwareWriteProtect)
        }
    }

    @Test(
        "a descriptor goes back as MODE SENSE gave it, whatever the unit's size",
        arguments: [
            Capacity(blocks: 1, blockSize: 512), Capacity(blocks: 0xFFFF_FFFF, blockSize: 512),
            Capacity(blocks: 1 << 32, blockSize: 512), Capacity(blocks: 1 << 40, blockSize: 4096),
            Capacity(blocks: 1 << 20, blockSize: 65536),
        ])
    func descriptorOfAnySize(_ capacity: Capacity) throws {
        for (form, descriptor) in [(.six, .short), (.ten, .short), (.ten, .long)]
            as [(CDBForm, ModeBlockDescriptor)]
        {
            let sense = ModeSense(form: form, descriptor: descriptor, pageCode: 0x08, allocationLength: 255)
            let list = try Self.opened.response(to: sense, capacity: capacity)
            var pages = Self.opened
            let select = ModeSelect(form: form, parameterListLength: UInt16(list.count))
            #expect(list.withUnsafeBytes { pages.select(select, delivered: $0, capacity: capacity) } == nil)
            #expect(pages == Self.opened)
        }
    }

    @Test("SWP and D_SENSE are set and cleared, one by one and together", arguments: 0...3)
    func controlBits(_ bits: UInt8) {
        let (swp, dSense) = (bits & 1 != 0, bits & 2 != 0)
        var page = Self.control
        if dSense { page[2] |= 0x04 }
        if swp { page[4] |= 0x08 }
        let (changed, refusal) = select(.six, zeros(4) + page)
        #expect(refusal == nil)
        #expect(changed.softwareWriteProtect == swp)
        #expect(changed.descriptorSense == dSense)
        #expect(changed.isWriteProtected == swp)
        #expect(changed.bytes(of: .control) == page)
        #expect(select(.ten, zeros(8) + Self.control, of: changed) == (Self.opened, nil))
    }

    @Test("WCE follows where the unit says that it can")
    func writeCache() {
        let off = zeros(4) + hex("08 12") + zeros(18)
        let (changed, refusal) = select(.six, off, of: ModeSenseTests.thin)
        #expect(refusal == nil)
        #expect(!changed.writeCacheEnabled)
        #expect(select(.six, zeros(4) + Self.caching, of: changed) == (ModeSenseTests.thin, nil))
        #expect(select(.six, off) == (Self.opened, .invalidFieldInParameterList(byte: 6, bit: 2)))
    }

    @Test("pages come in any order, and the last word counts")
    func order() {
        var swp = Self.control
        swp[4] = 0x08
        let lists: [([UInt8], Bool)] = [
            (swp + Self.caching + Self.recovery, true), (Self.recovery + swp + Self.caching, true),
            (swp + Self.control, false), (Self.control + swp, true),
        ]
        for (list, expected) in lists {
            let (changed, refusal) = select(.ten, zeros(8) + list)
            #expect(refusal == nil)
            #expect(changed.softwareWriteProtect == expected)
        }
    }

    @Test("nothing changes unless the whole list is right")
    func allOrNothing() {
        var swp = Self.control
        swp[4] = 0x08
        let wrong = hex("08 12") + zeros(18)
        #expect(
            select(.six, zeros(4) + swp + wrong) == (Self.opened, .invalidFieldInParameterList(byte: 18, bit: 2)))
        #expect(select(.six, zeros(4) + swp + [0x08]) == (Self.opened, .parameterListLengthError))
        #expect(
            select(.six, zeros(4) + wrong + swp) == (Self.opened, .invalidFieldInParameterList(byte: 6, bit: 2)))
    }

    @Test("a bit that cannot be changed is named by byte and bit")
    func everyBit() throws {
        for pages in [ModeSenseTests.pages, ModeSenseTests.thin] {
            var offset = 8
            let list =
                try zeros(8)
                + pages.response(to: ModeSenseTests.ten(0x3F, 0xFF), capacity: testCapacity).dropFirst(8)
            for page in pages.pages {
                let mask = pages.bytes(of: page, .changeable)
                for index in (mask[0] & 0x40 == 0 ? 2 : 4)..<mask.count {
                    for bit in UInt8(0)..<8 {
                        var changed = list
                        changed[offset + index] ^= 1 << bit
                        let (result, refusal) = select(.ten, changed, of: pages)
                        if mask[index] & 1 << bit != 0 {
                            #expect(refusal == nil && result != pages)
                        } else {
                            #expect(refusal == .invalidFieldInParameterList(byte: UInt16(offset + index), bit: bit))
                            #expect(result == pages)
                        }
                    }
                }
                offset += mask.count
            }
            #expect(offset == list.count)
        }
    }

    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let form: CDBForm
        let list: [UInt8]
        let length: Int
        let sense: Sense

        init(_ title: String, _ form: CDBForm, _ list: [UInt8], length: Int? = nil, _ sense: Sense) {
            (testDescription, self.form, self.list) = (title, form, list)
            (self.length, self.sense) = (length ?? list.count, sense)
        }
    }

    @Test(
        "lists that are wrong",
        arguments: [
            Row("header cut, 6", .six, zeros(3), .parameterListLengthError),
            Row("header cut, 10", .ten, zeros(7), .parameterListLengthError),
            Row(
                "fewer bytes delivered than the CDB says", .six, zeros(4) + caching.dropLast(), length: 24,
                .parameterListLengthError),
            Row("nothing delivered", .ten, [], length: 28, .parameterListLengthError),
            Row("page header cut", .six, zeros(4) + [0x08], .parameterListLengthError),
            Row("subpage header cut", .six, zeros(4) + hex("4A 01 00"), .parameterListLengthError),
            Row("page cut", .six, zeros(4) + caching.dropLast(), .parameterListLengthError),
            Row("subpage cut", .six, zeros(4) + hex("4A 01 001C 01"), .parameterListLengthError),
            Row(
                "second page cut", .ten, zeros(8) + caching + control.dropLast(5), .parameterListLengthError),
            Row(
                "page unknown", .six, zeros(4) + hex("1D 0A") + zeros(10),
                .invalidFieldInParameterList(byte: 4, bit: 5)),
            Row(
                "a page that this unit does not have", .six, zeros(4) + ModeSenseTests.provisioning,
                .invalidFieldInParameterList(byte: 5)),
            Row("page code 3Fh", .six, zeros(4) + hex("3F 0A"), .invalidFieldInParameterList(byte: 4, bit: 5)),
            Row(
                "subpage unknown", .six, zeros(4) + hex("48 01 0010") + zeros(16),
                .invalidFieldInParameterList(byte: 5)),
            Row(
                "subpage format for a page without", .six, zeros(4) + hex("48 00 0012") + zeros(18),
                .invalidFieldInParameterList(byte: 4, bit: 6)),
            Row(
                "page length wrong", .six, zeros(4) + hex("08 0A") + zeros(18),
                .invalidFieldInParameterList(byte: 5)),
            Row(
                "subpage length wrong", .six, zeros(4) + hex("4A 01 001B") + zeros(28),
                .invalidFieldInParameterList(byte: 6)),
            Row("medium type", .six, hex("00 01 00 00") + caching, .invalidFieldInParameterList(byte: 1)),
            Row(
                "medium type, 10", .ten, hex("0000 01 00 00 00 0000") + caching,
                .invalidFieldInParameterList(byte: 2)),
            Row(
                "two block descriptors", .six, hex("00 00 00 10") + windows(512) + windows(512) + caching,
                .invalidFieldInParameterList(byte: 3)),
            Row(
                "a long block descriptor without LONGLBA", .ten, hex("0000 00 00 00 00 0010") + long + caching,
                .invalidFieldInParameterList(byte: 6)),
            Row(
                "a short one with it", .ten, hex("0000 00 00 01 00 0008") + windows(512) + caching,
                .invalidFieldInParameterList(byte: 6)),
            Row("block descriptor cut", .six, hex("00 00 00 08") + zeros(7), .parameterListLengthError),
            Row(
                "another block length", .six, hex("00 00 00 08") + windows(4096) + caching,
                .invalidFieldInParameterList(byte: 9)),
            Row(
                "no block length", .six, hex("00 00 00 08") + zeros(8) + caching,
                .invalidFieldInParameterList(byte: 9)),
            Row(
                "fewer blocks", .ten, hex("0000 00 00 00 00 0008 007FFFFF 00 000200") + caching,
                .invalidFieldInParameterList(byte: 8)),
            Row(
                "all blocks that there could be", .six, hex("00 00 00 08 FFFFFFFF 00 000200") + caching,
                .invalidFieldInParameterList(byte: 4)),
            Row(
                "a density code", .six, hex("00 00 00 08 00000000 01 000200") + caching,
                .invalidFieldInParameterList(byte: 8)),
            Row(
                "more blocks, long", .ten, hex("0000 00 00 01 00 0010 0000000000800001 00000000 00000200"),
                .invalidFieldInParameterList(byte: 8)),
            Row(
                "reserved bytes of a long one", .ten,
                hex("0000 00 00 01 00 0010 0000000000800000 00000001 00000200"),
                .invalidFieldInParameterList(byte: 19)),
            Row(
                "another block length, long", .ten,
                hex("0000 00 00 01 00 0010 0000000000800000 00000000 00001000"),
                .invalidFieldInParameterList(byte: 20)),
        ])
    func wrong(_ row: Row) {
        #expect(select(row.form, row.list, length: row.length) == (Self.opened, row.sense))
    }
}
