import SCSI
import Testing

@Suite("UNMAP: the parameter list")
struct UnmapTests {
    private static let limits = BlockLimits.Unmap(maximumBlocks: 1000, granularity: 8, alignment: 0)
    private static let capacity = Capacity(blocks: 10_000, blockSize: 512)
    private static let first = "0000000000000010 00000008 00000000"
    private static let second = "0000000000000100 000003E8 00000000"

    /// What a list leads to: its descriptors, or a sense from reading or from judging it.
    enum Outcome: Equatable, Sendable {
        case ranges([BlockRange])
        case refused(Sense)
    }

    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let list: [UInt8]
        let length: Int
        let outcome: Outcome

        init(_ title: String, _ list: String, length: Int? = nil, _ outcome: Outcome) {
            (testDescription, self.list, self.outcome) = (title, hex(list), outcome)
            self.length = length ?? self.list.count
        }
    }

    private static func outcome(_ delivered: [UInt8], length: Int) -> Outcome {
        delivered.withUnsafeBytes { bytes in
            do throws(Sense) {
                let command = UnmapCommand(parameterListLength: UInt16(length))
                let list = try UnmapParameterList(bytes, for: command, limits: limits)
                if let refusal = list.refusal(limits: limits, capacity: capacity) { return .refused(refusal) }
                return .ranges((0..<list.count).map { list[$0] })
            } catch {
                return .refused(error)
            }
        }
    }

    @Test(
        "lists",
        arguments: [
            Row(
                "one descriptor",
                """
                0016              # UNMAP DATA LENGTH
                0010              # UNMAP BLOCK DESCRIPTOR DATA LENGTH
                00000000
                0000000000000010  # UNMAP LOGICAL BLOCK ADDRESS
                00000008          # NUMBER OF LOGICAL BLOCKS
                00000000
                """, .ranges([BlockRange(lba: 16, blocks: 8)])),
            Row(
                "two descriptors", "0026 0020 00000000 \(first) \(second)",
                .ranges([BlockRange(lba: 16, blocks: 8), BlockRange(lba: 256, blocks: 1000)])),
            Row("length 0", "", .ranges([])),
            Row("header alone", "0006 0000 00000000", .ranges([])),
            Row(
                "descriptor of no blocks", "0016 0010 00000000 0000000000000010 00000000 00000000",
                .ranges([BlockRange(lba: 16, blocks: 0)])),
            Row("length 7", "0006 0000 000000", .refused(.parameterListLengthError)),
            Row("length 1", "00", .refused(.parameterListLengthError)),
            Row(
                "fewer bytes delivered than the CDB says", "0016 0010 00000000 \(first)", length: 25,
                .refused(.parameterListLengthError)),
            Row("nothing delivered", "", length: 24, .refused(.parameterListLengthError)),
            Row(
                "more bytes delivered than the CDB says", "0026 0020 00000000 \(first) \(second)", length: 24,
                .ranges([BlockRange(lba: 16, blocks: 8)])),
            Row(
                "last descriptor incomplete by its own length", "0025 001F 00000000 \(first) \(second)",
                .ranges([BlockRange(lba: 16, blocks: 8)])),
            Row("descriptors of 15 bytes", "0015 000F 00000000 \(first)", .ranges([])),
            Row(
                "more descriptors claimed than are in the list", "0046 0040 00000000 \(first)",
                .ranges([BlockRange(lba: 16, blocks: 8)])),
            Row(
                "fewer descriptors claimed than are in the list", "0016 0010 00000000 \(first) \(second)",
                .ranges([BlockRange(lba: 16, blocks: 8)])),
            Row(
                "four descriptors", "0046 0040 00000000 \(first) \(first) \(first) \(second)",
                .ranges([
                    BlockRange(lba: 16, blocks: 8), BlockRange(lba: 16, blocks: 8), BlockRange(lba: 16, blocks: 8),
                    BlockRange(lba: 256, blocks: 1000),
                ])),
            Row(
                "five descriptors", "0056 0050 00000000 \(first) \(first) \(first) \(first) \(first)",
                .refused(.invalidFieldInParameterList(byte: 2))),
            Row(
                "65535 bytes claimed", "FFFF FFFF 00000000 \(first)",
                .refused(.invalidFieldInParameterList(byte: 2))),
            Row(
                "second descriptor too large",
                "0026 0020 00000000 \(first) 0000000000000100 000003E9 00000000",
                .refused(.invalidFieldInParameterList(byte: 32))),
            Row(
                "descriptor up to the end", "0016 0010 00000000 0000000000002708 00000008 00000000",
                .ranges([BlockRange(lba: 9992, blocks: 8)])),
            Row(
                "descriptor beyond the end", "0016 0010 00000000 0000000000002709 00000008 00000000",
                .refused(.logicalBlockAddressOutOfRange)),
            Row(
                "descriptor that wraps", "0016 0010 00000000 FFFFFFFFFFFFFFFF 00000002 00000000",
                .refused(.logicalBlockAddressOutOfRange)),
        ])
    func lists(_ row: Row) {
        #expect(Self.outcome(row.list, length: row.length) == row.outcome)
    }

    @Test("a descriptor beyond the count is an empty run")
    func beyondCount() throws {
        let bytes = hex("0016 0010 00000000 \(Self.first)")
        try bytes.withUnsafeBytes { bytes in
            let list = try UnmapParameterList(
                bytes, for: UnmapCommand(parameterListLength: 24), limits: Self.limits)
            for index in [-1, 1, Int.max, Int.min] {
                #expect(list[index] == BlockRange(lba: 0, blocks: 0))
            }
        }
    }
}
