import SCSI
import Testing

@Suite("INQUIRY: standard data and identity")
struct InquiryTests {
    private static let serial = "c0a80a01-7f3d-4e5b-9a8c-123456789abc"
    private static let port = UnitIdentity.Port(
        relativeIdentifier: 0x0102, protocolIdentifier: 5, targetPortGroup: 3,
        targetName: "iqn.2003-01.org.example:disk", portalGroupTag: 1)

    private func pages(port: UnitIdentity.Port? = nil) -> VitalProductData {
        VitalProductData(
            identity: UnitIdentity(serial: Self.serial, configString: "rbd/pool/image", port: port),
            limits: BlockLimits(maximumTransferBlocks: 0x400, optimalTransferBlocks: 0x400), provisioning: .none)
    }

    @Test(
        "standard data",
        arguments: [
            (TargetPortGroupSupport.none, UInt8(0x08)), (.implicit, 0x18), (.explicit, 0x28),
            (.implicitAndExplicit, 0x38),
        ])
    func standard(_ support: TargetPortGroupSupport, _ byte5: UInt8) {
        let expected =
            hex("00 00 05 02 45") + [byte5]  // TPGS, 3PC
            + hex("00 02") + "LIO-ORG TCMU device     0002".utf8
            + zeros(22) + hex("00A0 0300 04C0") + zeros(10)  // SAM-5, SPC-3, SBC-3
        #expect(hexText(StandardInquiry(targetPortGroupSupport: support).bytes) == hexText(expected))
        #expect(expected.count == 5 + 0x45)
    }

    @Test("3PC can be withheld")
    func thirdPartyCopy() {
        #expect(StandardInquiry(targetPortGroupSupport: .none, thirdPartyCopy: false).bytes[5] == 0)
    }

    @Test("VPD 80h: the serial number and a NUL")
    func serialNumber() {
        #expect(pages().page(0x80) == hex("00 80 0025") + Self.serial.utf8 + [0])
    }

    /// What follows the header when no port is known.
    private static let unitDesignators =
        hex(
            """
            02 01 00 2D  # ASCII, T10 vendor identification, 8 + 36 + 1 bytes
            """) + "LIO-ORG \(serial)\0".utf8
        + hex(
            """
            01 03 00 10                      # binary, NAA, 16 bytes
            6001405                          # NAA 6, IEEE company id 001405h
            c0a80a017f3d4e5b9a8c12345        # the first 25 digits of the serial number
            02 00 00 0F                      # ASCII, vendor specific, 14 + 1 bytes
            """) + "rbd/pool/image\0".utf8

    @Test("VPD 83h without a port")
    func designators() throws {
        let page = try #require(pages().page(0x83))
        let expected = hex("00 83") + [0, UInt8(Self.unitDesignators.count)] + Self.unitDesignators
        #expect(hexText(page) == hexText(expected))
    }

    @Test("VPD 83h with a port")
    func portDesignators() throws {
        let page = try #require(pages(port: Self.port).page(0x83))
        let port =
            hex(
                """
                51 94 00 04 0000 0102  # iSCSI, binary; PIV, target port, relative target port identifier
                51 95 00 04 0000 0003  # iSCSI, binary; PIV, target port, target port group
                53 98 00 28            # iSCSI, UTF-8; PIV, target port, SCSI name string of 37 + 1 bytes
                """) + "iqn.2003-01.org.example:disk,t,0x0001".utf8 + zeros(3)
            + hex("53 A8 00 20")  // PIV, target device, SCSI name string of 28 + 1 bytes
            + "iqn.2003-01.org.example:disk".utf8 + zeros(4)
        let body = Self.unitDesignators + port
        #expect(hexText(page) == hexText(hex("00 83") + [0, UInt8(body.count)] + body))
    }

    struct NameRow: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let serial: String
        let name: [UInt8]

        init(_ title: String, _ serial: String, _ name: String) {
            (testDescription, self.serial, self.name) = (title, serial, hex(name))
        }
    }

    @Test(
        "the NAA name takes the first 25 hexadecimal digits, as the kernel does",
        arguments: [
            NameRow("a UUID", serial, "6001405c 0a80a017 f3d4e5b9 a8c12345"),
            NameRow("capitals", "ABCDEF01-23456789", "6001405a bcdef012 34567890 00000000"),
            NameRow("letters that are no digits", "xyz 1-g-2_h;3", "60014051 23000000 00000000 00000000"),
            NameRow("no digit at all", "---", "60014050 00000000 00000000 00000000"),
            NameRow("exactly 25", "1234567890123456789012345", "60014051 23456789 01234567 89012345"),
            NameRow("26", "12345678901234567890123456", "60014051 23456789 01234567 89012345"),
        ])
    func registeredName(_ row: NameRow) throws {
        let identity = UnitIdentity(serial: row.serial, configString: "")
        let page = VitalProductData(
            identity: identity, limits: BlockLimits(maximumTransferBlocks: 0, optimalTransferBlocks: 0),
            provisioning: .none
        ).bytes(of: .deviceIdentification)
        let start = 4 + 4 + 8 + row.serial.utf8.count + 1 + 4
        #expect(hexText(page[start..<start + 16]) == hexText(row.name))
    }

    @Test("without a serial number there is nothing that another unit without one shares: no name, no page 80h")
    func noName() {
        let port = UnitIdentity.Port(
            relativeIdentifier: 1, protocolIdentifier: 5, targetPortGroup: 16, targetName: "iqn.2003-01.org.x:y",
            portalGroupTag: 1)
        #expect(UnitIdentity.nameDesignator(serial: "") == nil)
        for port in [port, nil] {
            let identity = UnitIdentity(serial: "", configString: "mem/1", port: port)
            #expect(!identity.isNamed)
            let data = VitalProductData(
                identity: identity, limits: BlockLimits(maximumTransferBlocks: 128, optimalTransferBlocks: 128),
                provisioning: .none)
            #expect(data.page(0x80) == nil)
            #expect(data.page(0x00)?.dropFirst(4).contains(0x80) == false)
            var list = data.bytes(of: .deviceIdentification).dropFirst(4)
            var kinds: [UInt8] = []
            while list.count >= 4 {
                let bytes = Array(list.prefix(4))
                kinds.append(bytes[1])
                list = list.dropFirst(4 + Int(bytes[3]))
            }
            #expect(kinds == (port == nil ? [] : [0x94, 0x95, 0x98, 0xA8]), "ports and the target, not the unit")
        }
    }

    @Test("names of any length stay within one-byte length fields and the list is well formed", arguments: 1...600)
    func longNames(_ length: Int) {
        let text = String(repeating: "a", count: length)
        let identity = UnitIdentity(
            serial: text, configString: text,
            port: UnitIdentity.Port(
                relativeIdentifier: 1, protocolIdentifier: 5, targetPortGroup: 1, targetName: text,
                portalGroupTag: 1)
        )
        let pages = VitalProductData(
            identity: identity, limits: BlockLimits(maximumTransferBlocks: 0, optimalTransferBlocks: 0),
            provisioning: .none)
        let page = pages.bytes(of: .deviceIdentification)
        #expect(Int(page[2]) << 8 | Int(page[3]) == page.count - 4)
        var offset = 4
        var designators = 0
        while offset < page.count {
            offset += 4 + Int(page[offset + 3])
            designators += 1
        }
        #expect(offset == page.count)
        #expect(designators == 7)
        #expect(pages.bytes(of: .unitSerialNumber).count == 4 + min(length, 254) + 1)
    }
}
