import SCSI
import Testing

@Suite("SET TARGET PORT GROUPS: parameter list")
struct SetTargetPortGroupsTests {
    private static func parsed(_ bytes: [UInt8], length: Int? = nil) throws(Sense) -> TargetPortGroupRequests {
        let command = SetTargetPortGroups(parameterListLength: UInt32(length ?? bytes.count))
        return try bytes.span.bytes.withUnsafeBytes { bytes throws(Sense) -> TargetPortGroupRequests in
            try TargetPortGroupRequests(bytes, for: command)
        }
    }

    @Test("two descriptors: the state's four bits, the group, where it stands")
    func two() throws {
        let list = try Self.parsed(hex("FFFFFFFF F0 FF 0102  02 00 FFFF"))
        #expect(
            list.requests == [
                .init(state: 0, group: 0x0102, offset: 4), .init(state: 2, group: 0xFFFF, offset: 8),
            ])
    }

    @Test("a length of zero and a header alone ask for nothing")
    func nothing() throws {
        #expect(try Self.parsed([]).requests.isEmpty)
        #expect(try Self.parsed(hex("00000000 00 00 0001"), length: 0).requests.isEmpty)
        #expect(try Self.parsed(zeros(4)).requests.isEmpty)
    }

    @Test("a length that cuts the header or a descriptor", arguments: [1, 2, 3, 5, 6, 7, 9, 11])
    func cut(length: Int) {
        #expect(throws: Sense.parameterListLengthError) { try Self.parsed(zeros(16), length: length) }
    }

    @Test("fewer bytes than the CDB says", arguments: [0, 1, 4, 7, 11])
    func short(delivered: Int) {
        #expect(throws: Sense.parameterListLengthError) { try Self.parsed(zeros(delivered), length: 12) }
    }

    @Test("256 descriptors are taken, and no more")
    func long() throws {
        let longest = TargetPortGroupRequests.maximumLength
        #expect(longest == 4 + 256 * 4)
        #expect(try Self.parsed(zeros(longest)).requests.count == 256)
        #expect(throws: Sense.parameterListLengthError) { try Self.parsed(zeros(longest + 4)) }
        #expect(throws: Sense.parameterListLengthError) {
            try Self.parsed(zeros(longest), length: 0xFFFF_FFFC)
        }
    }
}
