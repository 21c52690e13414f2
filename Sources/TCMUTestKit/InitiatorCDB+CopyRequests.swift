internal import SCSI

/// A segment of an EXTENDED COPY as an initiator asks for it; units by their place in the list.
public struct CopyRequestSegment: Sendable {
    let source: UInt16
    let destination: UInt16
    let sourceLBA: UInt64
    let destinationLBA: UInt64
    let blocks: UInt16
    let countsDestination: Bool

    /// `blocks` from `sourceLBA` of unit `source` to `destinationLBA` of unit `destination`.
    public init(
        _ sourceLBA: UInt64, _ destinationLBA: UInt64, _ blocks: UInt16, source: UInt16 = 0,
        destination: UInt16 = 0,
        countsDestination: Bool = false
    ) {
        self.source = source
        self.destination = destination
        self.sourceLBA = sourceLBA
        self.destinationLBA = destinationLBA
        self.blocks = blocks
        self.countsDestination = countsDestination
    }
}

// Third-party copies.
extension InitiatorCDB {
    /// The NAA designator in VPD page 83h of a unit with this serial number.
    public static func designator(serial: String) -> [UInt8] { UnitIdentity.nameDesignator(serial: serial) ?? [] }

    /// EXTENDED COPY, LID1 or LID4, for a parameter list of `length` bytes.
    public static func extendedCopy(parameterListLength length: Int, lid4: Bool = false) -> [UInt8] {
        [0x83, lid4 ? 1 : 0] + [UInt8](repeating: 0, count: 8) + bigEndian(UInt32(length)) + [0, 0]
    }

    /// The parameter list of EXTENDED COPY (LID1).
    ///
    /// - Parameter units: designators, each with DISK BLOCK LENGTH.
    public static func copyParameters(
        units: [([UInt8], UInt32)], _ segments: [CopyRequestSegment], identifier: UInt8 = 0, usage: UInt8 = 0
    ) -> [UInt8] {
        [identifier, usage << 3] + bigEndian(UInt16(units.count * 32)) + [0, 0, 0, 0]
            + bigEndian(UInt32(segments.count * 28)) + [0, 0, 0, 0] + descriptors(units, segments)
    }

    /// The parameter list of EXTENDED COPY (LID4).
    public static func copyParameters4(
        units: [([UInt8], UInt32)], _ segments: [CopyRequestSegment], identifier: UInt32, immediate: Bool = false
    ) -> [UInt8] {
        var header = [UInt8](repeating: 0, count: 48)
        header[0] = 0x01
        header[3] = 0x20
        header[15] = immediate ? 0x01 : 0x00
        header[16] = 0xFF
        header.replaceSubrange(20..<24, with: bigEndian(identifier))
        header.replaceSubrange(42..<44, with: bigEndian(UInt16(units.count * 32)))
        header.replaceSubrange(44..<46, with: bigEndian(UInt16(segments.count * 28)))
        return header + descriptors(units, segments)
    }

    /// RECEIVE COPY STATUS (LID1).
    public static func receiveCopyStatus(_ identifier: UInt8) -> [UInt8] {
        receiveCopy(0x00, [identifier, 0, 0, 0])
    }

    /// RECEIVE COPY FAILURE DETAILS (LID1).
    public static func receiveCopyFailureDetails(_ identifier: UInt8) -> [UInt8] {
        receiveCopy(0x04, [identifier, 0, 0, 0])
    }

    /// RECEIVE COPY STATUS (LID4).
    public static func receiveCopyStatus4(_ identifier: UInt32) -> [UInt8] {
        receiveCopy(0x05, bigEndian(identifier))
    }

    /// RECEIVE COPY OPERATING PARAMETERS.
    public static let receiveCopyOperatingParameters = receiveCopy(0x03, [0, 0, 0, 0])

    private static func receiveCopy(_ action: UInt8, _ identifier: [UInt8]) -> [UInt8] {
        [0x84, action] + identifier + [0, 0, 0, 0] + bigEndian(UInt32(1024)) + [0, 0]
    }

    private static func descriptors(_ units: [([UInt8], UInt32)], _ segments: [CopyRequestSegment]) -> [UInt8] {
        units.flatMap(unit) + segments.flatMap(segment)
    }

    private static func unit(_ designator: [UInt8], _ blockSize: UInt32) -> [UInt8] {
        [0xE4, 0, 0, 0, 1, 3, 0, UInt8(designator.count)] + designator + [0, 0, 0, 0, 0]
            + bigEndian(blockSize).dropFirst()
    }

    private static func segment(_ segment: CopyRequestSegment) -> [UInt8] {
        [0x02, segment.countsDestination ? 0x02 : 0x00] + bigEndian(UInt16(24)) + bigEndian(segment.source)
            + bigEndian(segment.destination) + [0, 0] + bigEndian(segment.blocks) + bigEndian(segment.sourceLBA)
            + bigEndian(segment.destinationLBA)
    }
}
