import SCSI
import Testing

@Suite("CDB: an inline block whose every read is total")
struct CDBTests {
    private let counting = CDB((0..<32).map { UInt8($0) })

    @Test("fields of every width at every offset are big-endian and zero beyond the block")
    func fields() {
        let bytes = (0..<32).map { UInt8($0) } + zeros(16)
        for index in 0..<40 {
            func value(_ width: Int) -> UInt64 {
                bytes[index..<index + width].reduce(0) { $0 << 8 | UInt64($1) }
            }
            #expect(UInt64(counting[index]) == value(1))
            #expect(UInt64(counting.u16(at: index)) == value(2))
            #expect(UInt64(counting.u24(at: index)) == value(3))
            #expect(UInt64(counting.u32(at: index)) == value(4))
            #expect(counting.u64(at: index) == value(8))
        }
    }

    @Test("an offset far outside reads as zero", arguments: [-1, -8, 32, 33, Int.max, Int.min])
    func outside(_ index: Int) {
        #expect(counting[index] == 0)
        #expect(counting.u64(at: index) == 0)
    }

    @Test("a block of any length keeps its bytes and completes them with zeros", arguments: 0...40)
    func lengths(_ count: Int) {
        let bytes = (0..<count).map { UInt8($0 + 1) }
        let cdb = CDB(bytes)
        #expect(cdb.count == min(count, 32))
        for index in 0..<48 {
            #expect(cdb[index] == (index < min(count, 32) ? UInt8(index + 1) : 0))
        }
    }

    @Test("blocks are equal when count and bytes are")
    func equality() {
        #expect(CDB([0, 1]) == CDB([0, 1]))
        #expect(CDB([0, 1]) != CDB([0, 2]))
        #expect(CDB([0, 0]) != CDB([0]))
    }

    struct LengthRow: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let bytes: [UInt8]
        let expected: Int
        let length: Int

        init(_ title: String, _ bytes: [UInt8], expected: Int, length: Int) {
            (self.testDescription, self.bytes, self.expected, self.length) = (title, bytes, expected, length)
        }
    }

    @Test(
        "the group code tells the length; no group is without one",
        arguments: [
            LengthRow("group 0", [0x12] + zeros(31), expected: 6, length: 6),
            LengthRow("group 1", [0x28] + zeros(31), expected: 10, length: 10),
            LengthRow("group 2", [0x5A] + zeros(31), expected: 10, length: 10),
            LengthRow("group 3, reserved", [0x60] + zeros(11), expected: 12, length: 12),
            LengthRow("group 3, 7Eh", [0x7E] + zeros(31), expected: 32, length: 32),
            LengthRow(
                "group 3, READ(32)", hex("7F 00 00 00 00 00 00 18 0009") + zeros(22), expected: 32, length: 32),
            LengthRow(
                "group 3, longer than any", hex("7F 00 00 00 00 00 00 FF 0009") + zeros(22), expected: 263,
                length: 32),
            LengthRow("group 4", [0x88] + zeros(31), expected: 16, length: 16),
            LengthRow("group 5", [0xA8] + zeros(31), expected: 12, length: 12),
            LengthRow("group 6, vendor specific", [0xC0] + zeros(15), expected: 16, length: 16),
            LengthRow("group 7, vendor specific", [0xFF], expected: 1, length: 1),
            LengthRow("cut short", [0x28, 0, 0], expected: 10, length: 3),
            LengthRow("empty", [], expected: 6, length: 0),
        ])
    func groupCode(_ row: LengthRow) {
        let cdb = CDB(row.bytes)
        #expect(cdb.expectedLength == row.expected)
        #expect(cdb.length == row.length)
        #expect(cdb.isTruncated == (row.length < row.expected))
    }

    @Test("operation code, service action and control are found in every form")
    func namedFields() {
        let six = CDB(hex("12 01 83 00FF 04"))
        #expect(six.operationCode == 0x12)
        #expect(six.control == 0x04)
        let sixteen = CDB(hex("9E F0 0000000000000000 00000020 00 C0"))
        #expect(sixteen.serviceAction == 0x10)
        #expect(sixteen.control == 0xC0)
        let variable = CDB(hex("7F 05 00 00 00 00 00 18 1234") + zeros(22))
        #expect(variable.serviceAction == 0x1234)
        #expect(variable.control == 0x05)
        #expect(CDB([]).control == 0)
    }

    @Test("the description is the command's own bytes")
    func text() {
        #expect(CDB(hex("28 00 0000000A 00 00FF 00") + zeros(6)).description == "28 00 00 00 00 0a 00 00 ff 00")
        #expect(CDB([]).description == "")
    }
}
