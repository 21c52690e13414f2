import SCSI
import Testing

@Suite("Mode pages: MODE SENSE and MODE SELECT")
struct ModeTests {
    private static let pages = ModePages(writeCacheEnabled: true, dpoFUA: true, writeProtected: false)

    private static let recovery = hex("01 0A") + zeros(10)
    private static let caching = hex("08 12 04") + zeros(17)
    private static let control = hex(
        """
        0A 0A  # PAGE CODE, PAGE LENGTH
        02     # GLTSD
        0000
        40     # TAS
        0000
        FFFF   # BUSY TIMEOUT PERIOD
        0000
        """)

    struct SenseRow: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let command: ModeSense
        let data: [UInt8]

        init(_ title: String, _ command: ModeSense, _ data: [UInt8]) {
            (testDescription, self.command, self.data) = (title, command, data)
        }
    }

    private static func six(
        _ page: UInt8, _ subpage: UInt8 = 0, _ control: ModeSense.PageControl = .current
    ) -> ModeSense {
        ModeSense(
            form: .six, pageControl: control, pageCode: page, subpageCode: subpage, allocationLength: 255)
    }

    private static func ten(
        _ page: UInt8, _ subpage: UInt8 = 0, _ control: ModeSense.PageControl = .current
    ) -> ModeSense {
        ModeSense(
            form: .ten, pageControl: control, pageCode: page, subpageCode: subpage, allocationLength: 255)
    }

    @Test(
        "MODE SENSE",
        arguments: [
            SenseRow("(6) recovery", six(0x01), hex("0F 00 10 00") + recovery),
            SenseRow("(6) caching", six(0x08), hex("17 00 10 00") + caching),
            SenseRow("(6) control", six(0x0A), hex("0F 00 10 00") + control),
            SenseRow("(6) all", six(0x3F), hex("2F 00 10 00") + recovery + caching + control),
            SenseRow("(10) caching", ten(0x08), hex("001A 00 10 00 00 0000") + caching),
            SenseRow("(10) all", ten(0x3F), hex("0032 00 10 00 00 0000") + recovery + caching + control),
            SenseRow(
                "(10) all pages and subpages", ten(0x3F, 0xFF),
                hex("0032 00 10 00 00 0000") + recovery + caching + control),
            SenseRow("(6) default values", six(0x08, 0, .default), hex("17 00 10 00") + caching),
            SenseRow(
                "(6) nothing can be changed", six(0x3F, 0, .changeable),
                hex("2F 00 10 00") + recovery + hex("08 12") + zeros(18) + hex("0A 0A") + zeros(10)),
        ])
    func sense(_ row: SenseRow) throws {
        #expect(hexText(try Self.pages.response(to: row.command)) == hexText(row.data))
    }

    @Test("WP, DPOFUA and WCE follow the unit")
    func flags() throws {
        func data(_ pages: ModePages, _ command: ModeSense) throws -> [UInt8] { try pages.response(to: command) }
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

    @Test("every page and subpage that there is not is refused")
    func unknownPages() {
        for code in UInt8(0)...0x3E where ![0x01, 0x08, 0x0A].contains(code) {
            #expect(throws: Sense.invalidFieldInCDB(byte: 2, bit: 5)) {
                try Self.pages.response(to: Self.six(code))
            }
        }
        for (page, subpage) in [(0x01, 0x01), (0x08, 0xFF), (0x0A, 0x01), (0x3F, 0x01), (0x3F, 0xFE)]
            as [(UInt8, UInt8)]
        {
            #expect(throws: Sense.invalidFieldInCDB(byte: 3)) {
                try Self.pages.response(to: Self.ten(page, subpage))
            }
        }
    }

    private func refusal(_ form: CDBForm, _ list: [UInt8], length: Int? = nil) -> Sense? {
        let command = ModeSelect(form: form, parameterListLength: UInt16(length ?? list.count))
        return list.withUnsafeBytes { Self.pages.refusal(of: command, delivered: $0) }
    }

    @Test("MODE SELECT of the values in force is GOOD, the page code being that of the list")
    func selectUnchanged() throws {
        for page in ModePages.Page.allCases.map(\.rawValue) + [0x3F] {
            // What MODE SENSE gave goes back as it is, header included.
            #expect(refusal(.six, try Self.pages.response(to: Self.six(page))) == nil)
            #expect(refusal(.ten, try Self.pages.response(to: Self.ten(page))) == nil)
        }
        #expect(refusal(.six, zeros(4) + hex("88 12 04") + zeros(17)) == nil)  // PS is reserved here
        #expect(refusal(.six, zeros(4)) == nil)
        #expect(refusal(.ten, zeros(8)) == nil)
        #expect(refusal(.six, []) == nil)
        #expect(refusal(.six, zeros(4) + Self.caching + hex("FF FF"), length: 24) == nil)
    }

    @Test("MODE SELECT that would change a single bit is refused, with a pointer to the byte")
    func selectChanged() {
        let list = zeros(8) + Self.recovery + Self.caching + Self.control
        for index in 10..<list.count where ![20, 21, 40, 41].contains(index) {
            for bit in 0..<8 {
                var changed = list
                changed[index] ^= 1 << bit
                #expect(refusal(.ten, changed) == .invalidFieldInParameterList(byte: UInt16(index)))
            }
        }
    }

    struct SelectRow: Sendable, CustomTestStringConvertible {
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
        "MODE SELECT lists that are wrong",
        arguments: [
            SelectRow("header cut, 6", .six, zeros(3), .parameterListLengthError),
            SelectRow("header cut, 10", .ten, zeros(7), .parameterListLengthError),
            SelectRow(
                "fewer bytes delivered than the CDB says", .six, zeros(4) + caching.dropLast(), length: 24,
                .parameterListLengthError),
            SelectRow("nothing delivered", .ten, [], length: 28, .parameterListLengthError),
            SelectRow("page header cut", .six, zeros(4) + [0x08], .parameterListLengthError),
            SelectRow("page cut", .six, zeros(4) + caching.dropLast(), .parameterListLengthError),
            SelectRow(
                "second page cut", .ten, zeros(8) + caching + control.dropLast(5), .parameterListLengthError),
            SelectRow(
                "page unknown", .six, zeros(4) + hex("1C 0A") + zeros(10),
                .invalidFieldInParameterList(byte: 4, bit: 5)),
            SelectRow(
                "page code 3Fh", .six, zeros(4) + hex("3F 0A"), .invalidFieldInParameterList(byte: 4, bit: 5)),
            SelectRow("subpage", .six, zeros(4) + hex("48 01 0010"), .invalidFieldInParameterList(byte: 4, bit: 6)),
            SelectRow(
                "page length wrong", .six, zeros(4) + hex("08 0A") + zeros(18),
                .invalidFieldInParameterList(byte: 5)),
            SelectRow("medium type", .six, hex("00 01 00 00") + caching, .invalidFieldInParameterList(byte: 1)),
            SelectRow(
                "medium type, 10", .ten, hex("0000 01 00 00 00 0000") + caching,
                .invalidFieldInParameterList(byte: 2)),
            SelectRow(
                "block descriptor", .six, hex("00 00 00 08 00000000 00000200") + caching,
                .invalidFieldInParameterList(byte: 3)),
            SelectRow(
                "block descriptor, 10", .ten, hex("0000 00 00 00 00 0008") + caching,
                .invalidFieldInParameterList(byte: 6)),
        ])
    func selectWrong(_ row: SelectRow) {
        #expect(refusal(row.form, row.list, length: row.length) == row.sense)
    }
}
