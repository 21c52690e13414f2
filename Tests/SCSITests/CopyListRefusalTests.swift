import SCSI
import TCMUTestKit
import Testing

@Suite("EXTENDED COPY: what is refused")
struct CopyListRefusalTests {
    /// A field of a valid list with another value.
    struct Spoilt: Sendable, CustomTestStringConvertible {
        /// Where the field is counted from.
        enum Part: Sendable { case header, unit, segment }

        let testDescription: String
        let part: Part
        let byte: Int
        let value: [UInt8]
        /// The sense, or `nil` where the list stays good; a pointer is made from the part.
        let sense: @Sendable (_ start: UInt16) -> Sense?

        init(_ title: String, _ part: Part, _ byte: Int, _ value: String, _ sense: Sense?) {
            (testDescription, self.part, self.byte, self.value) = (title, part, byte, hex(value))
            self.sense = { _ in sense }
        }

        init(_ title: String, _ part: Part, _ byte: Int, _ value: String, at field: UInt16, bit: UInt8? = nil) {
            (testDescription, self.part, self.byte, self.value) = (title, part, byte, hex(value))
            self.sense = { .invalidFieldInParameterList(byte: $0 + field, bit: bit) }
        }
    }

    private static func outcome(_ row: Spoilt, _ form: CopyListBuilder.Form) -> (Sense?, Sense?) {
        let list = CopyListTests.list(form)
        let start =
            switch row.part {
            case .header: 0
            case .unit: list.unitStart(1)
            case .segment: list.segmentStart(0)
            }
        var bytes = list.bytes
        let field = start + row.byte
        bytes.replaceSubrange(field..<field + row.value.count, with: row.value)
        let expected = row.sense(UInt16(start))
        switch CopyListTests.read(bytes, form) {
        case .success: return (nil, expected)
        case .failure(let sense): return (sense, expected)
        }
    }

    @Test(
        "the LID1 header",
        arguments: [
            Spoilt("LIST ID USAGE 11b with a list identifier", .header, 1, "18", at: 0),
            Spoilt("STR and PRIORITY", .header, 1, "27", nil),
            Spoilt("one byte of CSCD descriptors too many", .header, 2, "0041", .parameterListLengthError),
            Spoilt("half a CSCD descriptor", .header, 2, "0010", .parameterListLengthError),
            Spoilt("65535 bytes of CSCD descriptors", .header, 2, "FFFF", .parameterListLengthError),
            Spoilt("no CSCD descriptors", .header, 2, "0000", .unsupportedSegmentDescriptorTypeCode),
            Spoilt("65536 bytes of segments and 28", .header, 8, "0001001C", .parameterListLengthError),
            Spoilt("4 GiB of segments", .header, 8, "FFFFFFFF", .parameterListLengthError),
            Spoilt("lengths whose sum wraps at 32 bits", .header, 8, "FFFFFFC0", .parameterListLengthError),
            Spoilt("half a segment", .header, 8, "0000000E", .parameterListLengthError),
            Spoilt("a type code alone of a segment", .header, 8, "00000001", .parameterListLengthError),
            Spoilt("no segments", .header, 8, "00000000", nil),
            Spoilt("inline data", .header, 12, "00000001", .parameterListLengthError),
            Spoilt("4 GiB of inline data", .header, 12, "FFFFFFFF", .parameterListLengthError),
        ])
    func header(_ row: Spoilt) {
        let (sense, expected) = Self.outcome(row, .lid1)
        #expect(sense == expected)
    }

    @Test(
        "the LID4 header",
        arguments: [
            Spoilt("PARAMETER LIST FORMAT 00h", .header, 0, "00", at: 0),
            Spoilt("LIST ID USAGE 11b with a list identifier", .header, 1, "18", at: 20),
            Spoilt("no header CSCD descriptor", .header, 2, "0000", at: 2),
            Spoilt("G_SENSE", .header, 15, "02", at: 15, bit: 1),
            Spoilt("header CSCD descriptor of another type", .header, 16, "E4", at: 16),
            Spoilt("65535 bytes of CSCD descriptors", .header, 42, "FFFF", .parameterListLengthError),
            Spoilt("65535 bytes of segments", .header, 44, "FFFF", .parameterListLengthError),
            Spoilt("inline data", .header, 46, "0001", .parameterListLengthError),
        ])
    func longHeader(_ row: Spoilt) {
        let (sense, expected) = Self.outcome(row, .lid4)
        #expect(sense == expected)
    }

    @Test("IMMED where nobody could ask for the status")
    func immediateWithoutStatus() {
        var list = CopyListTests.list(.lid4)
        (list.immediate, list.usage, list.listIdentifier) = (true, 3, 0)
        #expect(CopyListTests.read(list) == .failure(.invalidFieldInParameterList(byte: 15, bit: 0)))
    }

    @Test(
        "CSCD descriptors", arguments: CopyListBuilder.Form.allCases,
        [
            Spoilt("Fibre Channel N_Port_Name", .unit, 0, "E0", .unsupportedTargetDescriptorTypeCode),
            Spoilt("IPv6", .unit, 0, "EA", .unsupportedTargetDescriptorTypeCode),
            Spoilt("a segment's type code", .unit, 0, "02", .unsupportedTargetDescriptorTypeCode),
            Spoilt("LU ID TYPE 01b", .unit, 1, "40", at: 1, bit: 7),
            Spoilt("LU ID TYPE 10b", .unit, 1, "80", at: 1, bit: 7),
            Spoilt("NUL", .unit, 1, "20", .copyTargetDeviceNotReachable),
            Spoilt("a tape", .unit, 1, "01", .incorrectCopyTargetDeviceType),
            Spoilt("RELATIVE INITIATOR PORT IDENTIFIER", .unit, 2, "FFFF", nil),
            Spoilt("ASCII", .unit, 4, "02", at: 4, bit: 3),
            Spoilt("association with a target port", .unit, 5, "13", at: 5, bit: 5),
            Spoilt("T10 vendor id", .unit, 5, "01", at: 5, bit: 3),
            Spoilt("EUI-64", .unit, 5, "02", at: 5, bit: 3),
            Spoilt("designator of 8 bytes", .unit, 7, "08", at: 7),
            Spoilt("designator of 255 bytes", .unit, 7, "FF", at: 7),
            Spoilt("NAA 5", .unit, 8, "50", at: 8, bit: 7),
            Spoilt("no DISK BLOCK LENGTH", .unit, 28, "04000000", nil),
        ])
    func units(_ form: CopyListBuilder.Form, _ row: Spoilt) {
        let (sense, expected) = Self.outcome(row, form)
        #expect(sense == expected)
    }

    @Test(
        "segments", arguments: CopyListBuilder.Form.allCases,
        [
            Spoilt("block to stream", .segment, 0, "00", .unsupportedSegmentDescriptorTypeCode),
            Spoilt("stream to stream", .segment, 0, "03", .unsupportedSegmentDescriptorTypeCode),
            Spoilt("block to block with offsets", .segment, 0, "0A", .unsupportedSegmentDescriptorTypeCode),
            Spoilt("CAT", .segment, 1, "01", nil),
            Spoilt("DESCRIPTOR LENGTH 001Ch", .segment, 2, "001C", at: 2),
            Spoilt("DESCRIPTOR LENGTH 0000h", .segment, 2, "0000", at: 2),
            Spoilt("DESCRIPTOR LENGTH FFFFh", .segment, 2, "FFFF", at: 2),
            Spoilt("a source that is not in the list", .segment, 4, "0002", .copyTargetDeviceNotReachable),
            Spoilt("a destination that is not in the list", .segment, 6, "0002", .copyTargetDeviceNotReachable),
            Spoilt("destination FFFFh", .segment, 6, "FFFF", .copyTargetDeviceNotReachable),
            Spoilt("no blocks", .segment, 10, "0000", nil),
            Spoilt("16 MiB", .segment, 10, "8000", nil),
            Spoilt("16 MiB and a block", .segment, 10, "8001", at: 10),
            Spoilt("LBAs at the end of their fields", .segment, 12, "FFFFFFFFFFFFFFFF FFFFFFFFFFFFFFFF", nil),
        ])
    func segments(_ form: CopyListBuilder.Form, _ row: Spoilt) {
        let (sense, expected) = Self.outcome(row, form)
        #expect(sense == expected)
    }

    @Test("a segment is as long as the blocks that DC counts")
    func segmentLength() throws {
        var list = CopyListTests.list(.lid1)
        func outcome(blocks: UInt16, flags: UInt8) -> CopyListTests.Outcome {
            list.segments = [CopyListBuilder.segment(0, from: 0, 1, to: 0, blocks: blocks, flags: flags)]
            return CopyListTests.read(list)
        }
        let tooLong = CopyListTests.Outcome.failure(
            .invalidFieldInParameterList(byte: UInt16(list.segmentStart(0) + 10)))
        _ = try outcome(blocks: 4096, flags: 0x02).get()
        #expect(outcome(blocks: 4097, flags: 0x02) == tooLong)
        _ = try outcome(blocks: 4097, flags: 0x00).get()
        list.units[0] = CopyListBuilder.unit(CopyListTests.designator, blockSize: 0)
        _ = try outcome(blocks: 65535, flags: 0x00).get()
        list.units[0] = CopyListBuilder.unit(CopyListTests.designator, blockSize: 0xFF_FFFF)
        #expect(outcome(blocks: 65535, flags: 0x00) == tooLong)
        let unlimited = CopyLimits(maximumSegmentBytes: 0)
        _ = try CopyListTests.read(list, limits: unlimited).get()
    }

    /// A list with so many descriptors, all of them good.
    private static func list(
        _ form: CopyListBuilder.Form, units: Int, segments: Int
    ) -> CopyListBuilder {
        var list = CopyListBuilder(form)
        list.units = Array(repeating: CopyListBuilder.unit(CopyListTests.designator), count: units)
        list.segments = Array(repeating: CopyListBuilder.segment(from: 0, to: 8, blocks: 8), count: segments)
        return list
    }

    @Test(
        "the counts and the length that are told are those that are kept", arguments: CopyListBuilder.Form.allCases)
    func limits(_ form: CopyListBuilder.Form) throws {
        let full = try CopyListTests.read(Self.list(form, units: 4, segments: 16)).get()
        #expect(full.units.count == 4)
        #expect(full.segments.count == 16)
        #expect(
            CopyListTests.read(Self.list(form, units: 5, segments: 1)) == .failure(.tooManyTargetDescriptors))
        #expect(
            CopyListTests.read(Self.list(form, units: 1, segments: 17)) == .failure(.tooManySegmentDescriptors))
        // As long as may be, but for its count; then a descriptor longer.
        #expect(
            CopyListTests.read(Self.list(form, units: 4, segments: 32)) == .failure(.tooManySegmentDescriptors))
        #expect(
            CopyListTests.read(Self.list(form, units: 4, segments: 33)) == .failure(.parameterListLengthError))
        // Both are wrong: the length counts.
        #expect(
            CopyListTests.read(Self.list(form, units: 5, segments: 31)) == .failure(.parameterListLengthError))
    }

    @Test("10.1 #16: a length of up to 4 GiB is refused before anything is looked at")
    func hugeLength() {
        let limits = CopyLimits()
        #expect(limits.maximumParameterListLength == 48 + 1024)
        let delivered = CopyListTests.list(.lid1).bytes + zeros(2000)
        for length in [UInt32(limits.maximumParameterListLength) + 1, 1 << 16, 1 << 31, .max] {
            #expect(
                CopyListTests.read(delivered, .lid1, length: length) == .failure(.parameterListLengthError))
        }
        let longest = UInt32(limits.maximumParameterListLength)
        #expect(
            CopyListTests.read(delivered, .lid1, length: longest) == CopyListTests.read(CopyListTests.list(.lid1)))
    }

    @Test("10.1 #17: a length is not what its low bits say", arguments: [UInt8(1), 0x10, 0x80])
    func wideLengths(_ high: UInt8) {
        let list = CopyListTests.list(.lid1)
        for byte in [2, 8, 9, 10, 12, 13, 14] {
            var bytes = list.bytes
            bytes[byte] += high
            #expect(CopyListTests.read(bytes, .lid1) == .failure(.parameterListLengthError), "byte \(byte)")
        }
    }

    @Test("10.1 #17: LBA and count that overflow are blocks of no unit")
    func overflowingRange() throws {
        let designator = CopyListTests.designator
        let list = CopyListBuilder.within(designator, from: .max, to: .max - 7, blocks: 16)
        let segment = try #require(CopyListTests.read(list).get().segments.first)
        for blocks in [0, 1 << 20, UInt64.max] {
            let capacity = Capacity(blocks: blocks, blockSize: 512)
            for lba in [segment.sourceLBA, segment.destinationLBA] {
                #expect(BlockRange(lba: lba, blocks: UInt64(segment.blocks)).byteRange(in: capacity) == nil)
            }
        }
    }
}
