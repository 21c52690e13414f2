/// What tells one unit from another: the source of VPD pages 80h and 83h.
///
/// Multipath ids, `/dev/disk/by-id` names and EXTENDED COPY all hang on these bytes; they are those of the
/// original.
public struct UnitIdentity: Sendable, Equatable {
    /// The target port through which the unit is reached.
    ///
    /// The kernel does not tell which port a command came through; there is one where exactly one port group
    /// is enabled on this host.
    public struct Port: Sendable, Equatable {
        /// RELATIVE TARGET PORT IDENTIFIER.
        public var relativeIdentifier: UInt16
        /// PROTOCOL IDENTIFIER (SPC-4 7.6.1): 5 is iSCSI; four bits.
        public var protocolIdentifier: UInt8
        /// TARGET PORT GROUP: the id of the ALUA group.
        public var targetPortGroup: UInt16
        /// The name of the target: an iqn, naa or eui name.
        public var targetName: String
        /// The tag of the fabric's portal group: the number in `tpgt_1`.
        public var portalGroupTag: UInt16

        public init(
            relativeIdentifier: UInt16, protocolIdentifier: UInt8, targetPortGroup: UInt16, targetName: String,
            portalGroupTag: UInt16
        ) {
            self.relativeIdentifier = relativeIdentifier
            self.protocolIdentifier = protocolIdentifier
            self.targetPortGroup = targetPortGroup
            self.targetName = targetName
            self.portalGroupTag = portalGroupTag
        }
    }

    /// The unit serial number that configfs has in `wwn/vpd_unit_serial`, at most 254 characters; empty while none is set.
    /// Nothing then tells the unit from others, and nothing is said: no page 80h, and in page 83h ports alone. Names that
    /// two units share are worse than none, since multipath makes one disk of them.
    public var serial: String
    /// The config string that initiators see, e.g. `rbd/pool/image`: options for the daemon alone removed.
    public var configString: String
    /// The port, if one is known.
    public var port: Port?

    public init(serial: String, configString: String, port: Port? = nil) {
        self.serial = serial
        self.configString = configString
        self.port = port
    }

    /// Page 80h after its header: the serial number with a NUL, as the original sends it.
    var serialText: [UInt8] {
        Self.terminated(serial, upTo: Self.longestDesignator)
    }

    /// Page 83h after its header: the designation descriptors (SPC-4 7.8.6) in the original's order.
    var designators: [UInt8] {
        var list: [UInt8] = []
        if let name = Self.nameDesignator(serial: serial) {
            Self.append(.t10Vendor, terminatedVendorAndSerial, to: &list)
            Self.append(.naa, name, to: &list)
            Self.append(.vendorSpecific, Self.terminated(configString, upTo: Self.longestDesignator), to: &list)
        }
        if let port {
            Self.append(.relativePort, Self.padded(port.relativeIdentifier), of: port, to: &list)
            Self.append(.portGroup, Self.padded(port.targetPortGroup), of: port, to: &list)
            Self.append(.portName, Self.nameString(port.portName), of: port, to: &list)
            Self.append(.deviceName, Self.nameString(port.targetName), of: port, to: &list)
        }
        return list
    }

    /// NAA 6, IEEE company id 001405h, then the first 25 hexadecimal digits of the serial number, whatever
    /// stands between them, filled with zeros: the kernel's own scheme for its other backstores. 16 bytes, which
    /// EXTENDED COPY names the unit by; nil without a serial number.
    public static func nameDesignator(serial: String) -> [UInt8]? {
        if serial.isEmpty { return nil }
        var name = [UInt8].zeros(16)
        name.replaceSubrange(0..<4, with: [0x60, 0x01, 0x40, 0x50])
        var nibble = 7
        for character in serial.utf8 where nibble < 32 {
            guard let digit = hexDigit(character) else { continue }
            name[nibble / 2] |= nibble.isMultiple(of: 2) ? digit << 4 : digit
            nibble += 1
        }
        return name
    }

    /// The unit has a name of its own.
    public var isNamed: Bool { !serial.isEmpty }

    private var terminatedVendorAndSerial: [UInt8] {
        Self.terminated(StandardInquiry.vendor + serial, upTo: Self.longestDesignator)
    }
}

extension UnitIdentity {
    /// The first two bytes of a designation descriptor: code set, and association with designator type.
    private enum Kind {
        case t10Vendor, naa, vendorSpecific, relativePort, portGroup, portName, deviceName

        var codeSetAndType: (UInt8, UInt8) {
            switch self {
            case .t10Vendor: (0x02, 0x01)
            case .naa: (0x01, 0x03)
            case .vendorSpecific: (0x02, 0x00)
            case .relativePort: (0x01, 0x94)  // PIV, target port
            case .portGroup: (0x01, 0x95)  // PIV, target port
            case .portName: (0x03, 0x98)  // PIV, target port, UTF-8
            case .deviceName: (0x03, 0xA8)  // PIV, target device, UTF-8
            }
        }
    }

    /// Bound: DESIGNATOR LENGTH is one byte. The original lets it wrap and runs past its buffer.
    private static let longestDesignator = 255
    /// Bound: a SCSI name string is NUL-padded to a multiple of four, so 252 is the longest that fits.
    private static let longestNameString = 252

    private static func append(
        _ kind: Kind, _ designator: [UInt8], of port: Port? = nil, to list: inout [UInt8]
    ) {
        let (codeSet, type) = kind.codeSetAndType
        list.append((port?.protocolIdentifier ?? 0) << 4 | codeSet)
        list.append(type)
        list.append(0)
        list.append(UInt8(clamping: designator.count))
        list += designator
    }

    private static func terminated(_ text: String, upTo limit: Int) -> [UInt8] {
        text.utf8.prefix(limit - 1) + [0]
    }

    private static func nameString(_ text: String) -> [UInt8] {
        let name = terminated(text, upTo: longestNameString)
        return name + zeros((4 - name.count % 4) % 4)
    }

    private static func zeros(_ count: Int) -> [UInt8] { .zeros(count) }

    /// Two reserved bytes and a 16-bit number.
    private static func padded(_ number: UInt16) -> [UInt8] {
        var designator: [UInt8] = [0, 0]
        designator.append(bigEndian: number)
        return designator
    }

    private static func hexDigit(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

extension UnitIdentity.Port {
    /// The SCSI port name of an iSCSI target port: `<name>,t,0x<tag>` (RFC 7143 4.2.7.4's form, four digits).
    var portName: String {
        let digits = String(portalGroupTag, radix: 16)
        return targetName + ",t,0x" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
    }
}
