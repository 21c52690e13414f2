import SCSI
import Testing

@Suite("LOG SENSE")
struct LogSenseTests {
    private static let space = ProvisioningSpace(
        availableBlocks: 0x1_0000_07FF, usedBlocks: 0x801, thresholdExponent: 11)

    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let command: LogSense
        let space: ProvisioningSpace?
        let data: [UInt8]

        init(
            _ title: String, _ page: UInt8, sub subpage: UInt8 = 0, from pointer: UInt16 = 0,
            of space: ProvisioningSpace? = LogSenseTests.space, _ data: String
        ) {
            testDescription = title
            command = LogSense(
                pageCode: page, subpageCode: subpage, parameterPointer: pointer, allocationLength: 512)
            (self.space, self.data) = (space, hex(data))
        }
    }

    private static let available = "0001 03 08 00200000 02000000"
    private static let used = "0002 03 08 00000002 01000000"

    @Test(
        "pages",
        arguments: [
            Row("supported pages", 0x00, "00 00 0002 00 0C"),
            Row("supported pages where no space is known", 0x00, of: nil, "00 00 0001 00"),
            Row(
                "supported pages where neither count is known", 0x00,
                of: ProvisioningSpace(thresholdExponent: 11), "00 00 0001 00"),
            Row("supported pages and subpages", 0x00, sub: 0xFF, "40 FF 0006 0000 00FF 0C00"),
            Row("supported pages and subpages, no space known", 0x00, sub: 0xFF, of: nil, "40 FF 0004 0000 00FF"),
            Row("provisioning: down for what is left, up for what is used", 0x0C, "8C 00 0018" + available + used),
            Row("provisioning from the first", 0x0C, from: 1, "8C 00 0018" + available + used),
            Row("provisioning from the second", 0x0C, from: 2, "8C 00 000C" + used),
            Row(
                "provisioning, what is used alone", 0x0C,
                of: ProvisioningSpace(usedBlocks: 0x1000, thresholdExponent: 11), "8C 00 000C" + used),
            Row(
                "provisioning, what is left alone", 0x0C,
                of: ProvisioningSpace(availableBlocks: 0x1_0000_0000, thresholdExponent: 11),
                "8C 00 000C" + available),
            Row(
                "counts that do not fit", 0x0C,
                of: ProvisioningSpace(availableBlocks: .max, usedBlocks: .max, thresholdExponent: 0),
                "8C 00 0018 0001 03 08 FFFFFFFF 02000000 0002 03 08 FFFFFFFF 01000000"),
            Row(
                "an exponent beyond all blocks", 0x0C,
                of: ProvisioningSpace(availableBlocks: .max, usedBlocks: 1, thresholdExponent: 255),
                "8C 00 0018 0001 03 08 00000000 02000000 0002 03 08 00000001 01000000"),
        ])
    func page(_ row: Row) throws {
        #expect(hexText(try row.command.response(space: row.space)) == hexText(row.data))
    }

    @Test("every other page is refused, with a pointer")
    func unknown() {
        func refusal(_ page: UInt8, _ subpage: UInt8 = 0, from pointer: UInt16 = 0, known: Bool = true) -> Sense? {
            let command = LogSense(
                pageCode: page, subpageCode: subpage, parameterPointer: pointer, allocationLength: 512)
            do throws(Sense) {
                _ = try command.response(space: known ? Self.space : nil)
                return nil
            } catch {
                return error
            }
        }
        for code in UInt8(1)...0x3F where code != 0x0C {
            #expect(refusal(code) == .invalidFieldInCDB(byte: 2, bit: 5))
        }
        #expect(refusal(0x0C, known: false) == .invalidFieldInCDB(byte: 2, bit: 5))
        for subpage in UInt8(1)...0xFE { #expect(refusal(0x00, subpage) == .invalidFieldInCDB(byte: 3)) }
        for subpage in UInt8(1)...0xFF { #expect(refusal(0x0C, subpage) == .invalidFieldInCDB(byte: 3)) }
        for pointer in [3, 0x100, 0xFFFF] as [UInt16] {
            #expect(refusal(0x0C, from: pointer) == .invalidFieldInCDB(byte: 5))
        }
        #expect(refusal(0x00, from: 1) == .invalidFieldInCDB(byte: 5))
        #expect(refusal(0x00, 0xFF, from: 1) == .invalidFieldInCDB(byte: 5))
    }
}
