import SCSI
import Testing

@Suite("SANITIZE OVERWRITE: the parameter list")
struct OverwriteParametersTests {
    private static let blockSize: UInt32 = 512
    private static let block = String(repeating: "AA", count: 512)

    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let list: [UInt8]
        let length: UInt16
        let refusal: Sense?

        init(_ title: String, _ list: String, length: Int? = nil, _ refusal: Sense? = nil) {
            (testDescription, self.list, self.refusal) = (title, hex(list), refusal)
            self.length = UInt16(length ?? self.list.count)
        }
    }

    private static func read(_ list: [UInt8], length: UInt16) -> Result<OverwriteParameters, Sense> {
        list.withUnsafeBytes { bytes in
            let command = Sanitize(action: .overwrite, parameterListLength: length)
            return Result { () throws(Sense) in
                try OverwriteParameters(bytes, for: command, blockSize: blockSize)
            }
        }
    }

    @Test(
        "lists",
        arguments: [
            Row("a pattern of one block", "01 00 0200 \(block)"),
            Row("a pattern of one byte", "01 00 0001 AA"),
            Row("31 passes", "1F 00 0001 AA"),
            Row("INVERT", "81 00 0001 AA"),
            Row("bytes behind the pattern", "01 00 0001 AA BB"),
            Row("length 0", "", .invalidFieldInCDB(byte: 7)),
            Row("length 4", "01 00 0001", .invalidFieldInCDB(byte: 7)),
            Row("a byte more than header and block", "01 00 0200 \(block) 00", .invalidFieldInCDB(byte: 7)),
            Row("length 65535", "01 00 0200 \(block)", length: 65535, .invalidFieldInCDB(byte: 7)),
            Row("nothing delivered", "", length: 8, .parameterListLengthError),
            Row("a byte short", "01 00 0004 AABBCC", length: 8, .parameterListLengthError),
            Row("OVERWRITE COUNT 0", "00 00 0001 AA", .invalidFieldInParameterList(byte: 0, bit: 4)),
            Row("OVERWRITE COUNT 0 with INVERT", "80 00 0001 AA", .invalidFieldInParameterList(byte: 0, bit: 4)),
            Row("TEST 01b", "21 00 0001 AA", .invalidFieldInParameterList(byte: 0, bit: 6)),
            Row("TEST 10b", "41 00 0001 AA", .invalidFieldInParameterList(byte: 0, bit: 6)),
            Row("no pattern", "01 00 0000 \(block)", .invalidFieldInParameterList(byte: 2)),
            Row("a pattern longer than the block", "01 00 0204 \(block)", .invalidFieldInParameterList(byte: 2)),
            Row("a pattern longer than the list", "01 00 0003 AABB", .invalidFieldInParameterList(byte: 2)),
            Row("a pattern of 65535 bytes", "01 00 FFFF AABB", .invalidFieldInParameterList(byte: 2)),
            Row(
                "bytes delivered behind the list are not of the pattern", "01 00 0003 AABB CC", length: 6,
                .invalidFieldInParameterList(byte: 2)),
        ])
    func lists(_ row: Row) {
        switch Self.read(row.list, length: row.length) {
        case .success: #expect(row.refusal == nil)
        case .failure(let sense): #expect(sense == row.refusal)
        }
    }

    @Test("a list cut anywhere is refused, whatever the CDB says")
    func cutLists() {
        let list = hex("01 00 0008 0102030405060708")
        for count in 0..<list.count {
            let cut = Array(list.prefix(count))
            #expect(Self.read(cut, length: UInt16(list.count)) == .failure(.parameterListLengthError))
            let shorter = Self.read(cut, length: UInt16(count))
            #expect(
                shorter
                    == .failure(count <= 4 ? .invalidFieldInCDB(byte: 7) : .invalidFieldInParameterList(byte: 2)))
        }
    }

    @Test("fields")
    func fields() throws {
        let parameters = try Self.read(hex("83 00 0003 010203 FF"), length: 8).get()
        #expect(parameters.passes == 3)
        #expect(parameters.inverts)
        #expect(parameters.pattern == [1, 2, 3])
    }

    @Test(
        "the pattern starts anew in each block and is cut at its end",
        arguments: [
            ("01 00 0001 AA", "AAAAAAAAAAAAAAAA", "5555555555555555"),
            ("01 00 0004 01020304", "0102030401020304", "FEFDFCFBFEFDFCFB"),
            ("01 00 0003 010203", "0102030102030102", "FEFDFCFEFDFCFEFD"),
            ("01 00 000A 0102030405060708090A", "0102030405060708", "FEFDFCFBFAF9F8F7"),
        ])
    func fill(_ list: String, _ plain: String, _ inverted: String) throws {
        let list = hex(list)
        let parameters = try Self.read(list, length: UInt16(list.count)).get()
        var block = zeros(8)
        block.withUnsafeMutableBytes { parameters.fill($0, inverted: false) }
        #expect(block == hex(plain))
        block.withUnsafeMutableBytes { parameters.fill($0, inverted: true) }
        #expect(block == hex(inverted))
        parameters.fill(UnsafeMutableRawBufferPointer(start: nil, count: 0), inverted: true)
    }

    @Test("with INVERT every second pass is inverted, without it none")
    func passes() throws {
        let inverting = try Self.read(hex("84 00 0001 AA"), length: 5).get()
        let plain = try Self.read(hex("04 00 0001 AA"), length: 5).get()
        #expect((0..<4).map { inverting.isInverted(pass: $0) } == [false, true, false, true])
        #expect((0..<4).map { plain.isInverted(pass: $0) } == [false, false, false, false])
    }
}
