import SCSI
import Testing

/// A unit of 4 GiB.
let testCapacity = Capacity(blocks: 0x80_0000, blockSize: 512)

@Suite("Mode pages: MODE SENSE")
struct ModeSenseTests {
    static let pages = ModePages(writeCacheEnabled: true, dpoFUA: true, writeProtected: false)
    static let thin = ModePages(
        writeCacheEnabled: true, writeCacheChangeable: true, dpoFUA: true, writeProtected: false,
        softThreshold: ModePages.SoftThreshold(resource: .used, blocks: 0x1234_5800, exponent: 11))

    static let recovery = hex("01 0A") + zeros(10)
    static let caching = hex("08 12 04") + zeros(17)
    static let control = hex(
        """
        0A 0A  # PAGE CODE, PAGE LENGTH
        02     # GLTSD
        10     # QUEUE ALGORITHM MODIFIER: unrestricted reordering; QERR 0
        00
        40     # TAS
        0000
        FFFF   # BUSY TIMEOUT PERIOD
        0000
        """)
    static let controlExtension =
        hex(
            """
            4A 01 001C  # SPF, PAGE CODE, SUBPAGE CODE, PAGE LENGTH
            01          # IALUAE
            """) + zeros(27)
    static let exceptions = hex("1C 0A 08") + zeros(9)
    static let provisioning =
        hex("5C 02 0014") + zeros(12)
        + hex(
            """
            81        # ENABLED, THRESHOLD TYPE 0, THRESHOLD ARMING increasing
            02        # THRESHOLD RESOURCE: used
            0000
            0002468B  # THRESHOLD COUNT
            """)

    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let pages: ModePages
        let command: ModeSense
        let data: [UInt8]

        init(_ title: String, _ command: ModeSense, _ data: [UInt8], of pages: ModePages = ModeSenseTests.pages) {
            (testDescription, self.pages, self.command, self.data) = (title, pages, command, data)
        }
    }

    static func six(_ page: UInt8, _ subpage: UInt8 = 0, _ control: ModeSense.PageControl = .current) -> ModeSense {
        ModeSense(
            form: .six, pageControl: control, pageCode: page, subpageCode: subpage, allocationLength: 255)
    }

    static func ten(_ page: UInt8, _ subpage: UInt8 = 0, _ control: ModeSense.PageControl = .current) -> ModeSense {
        ModeSense(
            form: .ten, pageControl: control, pageCode: page, subpageCode: subpage, allocationLength: 255)
    }

    @Test(
        "MODE SENSE",
        arguments: [
            Row("(6) recovery", six(0x01), hex("0F 00 10 00") + recovery),
            Row("(6) caching", six(0x08), hex("17 00 10 00") + caching),
            Row("(6) control", six(0x0A), hex("0F 00 10 00") + control),
            Row("(6) control extension", six(0x0A, 0x01), hex("23 00 10 00") + controlExtension),
            Row("(6) control with its subpage", six(0x0A, 0xFF), hex("2F 00 10 00") + control + controlExtension),
            Row("(6) caching with its subpages", six(0x08, 0xFF), hex("17 00 10 00") + caching),
            Row("(6) exceptions", six(0x1C), hex("0F 00 10 00") + exceptions),
            Row("(6) all", six(0x3F), hex("3B 00 10 00") + recovery + caching + control + exceptions),
            Row(
                "(6) caching, with a block descriptor",
                ModeSense(form: .six, descriptor: .short, pageCode: 0x08, allocationLength: 255),
                hex("1F 00 10 08 00800000 00 000200") + caching),
            Row(
                "(10) caching, with a block descriptor",
                ModeSense(form: .ten, descriptor: .short, pageCode: 0x08, allocationLength: 255),
                hex("0022 00 10 00 00 0008 00800000 00 000200") + caching),
            Row(
                "(10) caching, with a long one",
                ModeSense(form: .ten, descriptor: .long, pageCode: 0x08, allocationLength: 255),
                hex("002A 00 10 01 00 0010 0000000000800000 00000000 00000200") + caching),
            Row("(10) caching", ten(0x08), hex("001A 00 10 00 00 0000") + caching),
            Row("(10) all", ten(0x3F), hex("003E 00 10 00 00 0000") + recovery + caching + control + exceptions),
            Row(
                "(10) all pages and subpages", ten(0x3F, 0xFF),
                hex("005E 00 10 00 00 0000") + recovery + caching + control + controlExtension + exceptions),
            Row(
                "(10) all of a unit with a threshold", ten(0x3F, 0xFF),
                hex("0076 00 10 00 00 0000") + hex("01 0A 0000000000 80 00000000") + caching + control
                    + controlExtension + exceptions + provisioning, of: thin),
            Row("(6) provisioning", six(0x1C, 0x02), hex("1B 00 10 00") + provisioning, of: thin),
            Row(
                "(6) provisioning as a subpage", six(0x1C, 0xFF), hex("27 00 10 00") + exceptions + provisioning,
                of: thin),
            Row("(6) default values", six(0x08, 0, .default), hex("17 00 10 00") + caching),
            Row(
                "(6) changeable: D_SENSE and SWP", six(0x3F, 0, .changeable),
                hex("3B 00 10 00") + hex("01 0A") + zeros(10) + hex("08 12") + zeros(18)
                    + hex("0A 0A 04 00 08") + zeros(7) + hex("1C 0A") + zeros(10)),
            Row(
                "(6) changeable: WCE too", six(0x08, 0, .changeable), hex("17 00 10 00 08 12 04") + zeros(17),
                of: thin),
            Row(
                "(6) changeable: nothing of the subpages", six(0x1C, 0x02, .changeable),
                hex("1B 00 10 00 5C 02 0014") + zeros(20), of: thin),
        ])
    func sense(_ row: Row) throws {
        #expect(hexText(try row.pages.response(to: row.command, capacity: testCapacity)) == hexText(row.data))
    }

    @Test("a threshold on what is left operates as it falls")
    func availableThreshold() {
        let threshold = ModePages.SoftThreshold(resource: .available, blocks: .max, exponent: 0)
        let pages = ModePages(
            writeCacheEnabled: true, dpoFUA: true, writeProtected: false, softThreshold: threshold)
        #expect(pages.bytes(of: .logicalBlockProvisioning).suffix(8) == hex("80 01 0000 FFFFFFFF"))
    }

    @Test("WP, DPOFUA and WCE follow the unit")
    func flags() throws {
        func data(_ pages: ModePages, _ command: ModeSense) throws -> [UInt8] {
            try pages.response(to: command, capacity: testCapacity)
        }
        let off = ModePages(writeCacheEnabled: false, dpoFUA: false, writeProtected: false)
        #expect(try data(off, Self.six(0x08))[2] == 0x00)
        #expect(try data(off, Self.six(0x08))[6] == 0x00)
        let protected = ModePages(writeCacheEnabled: false, dpoFUA: false, writeProtected: true)
        #expect(try data(protected, Self.six(0x08))[2] == 0x80)
        #expect(try data(protected, Self.ten(0x08))[3] == 0x80)
        let all = ModePages(writeCacheEnabled: true, dpoFUA: true, writeProtected: true)
        #expect(try data(all, Self.six(0x08))[2] == 0x90)
        #expect(try data(all, Self.ten(0x08))[3] == 0x90)
        #expect(try data(all, Self.ten(0x08))[10] == 0x04)
    }

    @Test("WP tells of either kind of write protection", arguments: [false, true], [false, true])
    func writeProtection(_ unit: Bool, _ software: Bool) throws {
        var pages = ModePages(writeCacheEnabled: true, dpoFUA: true, writeProtected: unit)
        pages.softwareWriteProtect = software
        #expect(pages.isWriteProtected == (unit || software))
        let data = try pages.response(to: Self.six(0x0A), capacity: testCapacity)
        #expect(data[2] == (unit || software ? 0x90 : 0x10))
        #expect(data[8] == (software ? 0x08 : 0x00), "SWP is the initiator's alone")
    }

    @Test("default values are those of a unit just opened")
    func defaults() {
        var pages = Self.thin
        (pages.writeCacheEnabled, pages.softwareWriteProtect, pages.descriptorSense) = (false, true, true)
        #expect(pages.bytes(of: .caching)[2] == 0x00)
        #expect(pages.bytes(of: .control)[2...4] == [0x06, 0x10, 0x08])
        #expect(pages.bytes(of: .caching, .default) == Self.caching)
        #expect(pages.bytes(of: .control, .default) == Self.control)
    }

    @Test("every page and subpage that there is not is refused")
    func unknownPages() {
        for code in UInt8(0)...0x3E where ![0x01, 0x08, 0x0A, 0x1C].contains(code) {
            for subpage in [0x00, 0x02, 0xFF] as [UInt8] {
                #expect(throws: Sense.invalidFieldInCDB(byte: 2, bit: 5)) {
                    try Self.pages.response(to: Self.six(code, subpage), capacity: testCapacity)
                }
            }
        }
        for (page, subpage) in [(0x01, 0x01), (0x08, 0xFE), (0x0A, 0x02), (0x3F, 0x01), (0x3F, 0xFE)]
            as [(UInt8, UInt8)]
        {
            #expect(throws: Sense.invalidFieldInCDB(byte: 3)) {
                try Self.pages.response(to: Self.ten(page, subpage), capacity: testCapacity)
            }
        }
        #expect(throws: Sense.invalidFieldInCDB(byte: 3)) {
            try Self.pages.response(to: Self.ten(0x1C, 0x02), capacity: testCapacity)
        }
    }
}
