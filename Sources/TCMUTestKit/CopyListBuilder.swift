/// The parameter list of EXTENDED COPY as an initiator builds it (SPC-4), byte by byte and independent of the SCSI
/// module under test. Fresh from ``init(_:listIdentifier:usage:)`` and its helpers it is valid; a test then spoils it.
public struct CopyListBuilder: Sendable {
    /// Which of the two list formats.
    public enum Form: UInt8, Sendable, CaseIterable {
        /// EXTENDED COPY(LID1).
        case lid1 = 0
        /// EXTENDED COPY(LID4).
        case lid4 = 1

        /// The length of the header, in bytes.
        public var headerLength: Int { self == .lid1 ? 16 : 48 }
    }

    /// The list format.
    public var form: Form
    /// LIST IDENTIFIER; the low byte alone goes into a LID1 list.
    public var listIdentifier: UInt32
    /// LIST ID USAGE: 0 hold, 2 discard, 3 none.
    public var usage: UInt8
    /// IMMED, in a LID4 list alone.
    public var immediate = false
    /// The CSCD descriptors.
    public var units: [[UInt8]] = []
    /// The segment descriptors.
    public var segments: [[UInt8]] = []
    /// The inline data.
    public var inline: [UInt8] = []

    /// A list without descriptors.
    public init(_ form: Form, listIdentifier: UInt32 = 1, usage: UInt8 = 0) {
        self.form = form
        self.listIdentifier = listIdentifier
        self.usage = usage
    }

    /// A list with one unit and one segment, which copies within the unit.
    public static func within(
        _ designator: [UInt8], blockSize: UInt32 = 512, from source: UInt64, to destination: UInt64,
        blocks: UInt16, form: Form = .lid1
    ) -> CopyListBuilder {
        var list = CopyListBuilder(form)
        list.units = [unit(designator, blockSize: blockSize)]
        list.segments = [segment(from: source, to: destination, blocks: blocks)]
        return list
    }

    /// An identification descriptor CSCD descriptor (E4h) with a binary NAA designator of a logical unit.
    /// - Parameters:
    ///   - designator: at most 20 bytes.
    ///   - blockSize: DISK BLOCK LENGTH; 24 bits.
    public static func unit(_ designator: [UInt8], blockSize: UInt32 = 512) -> [UInt8] {
        precondition(designator.count <= 20, "a CSCD descriptor holds 20 bytes of a designator")
        let padding = [UInt8](repeating: 0, count: 20 - designator.count)
        let identification = [0x01, 0x03, 0x00, UInt8(designator.count)] + designator + padding
        return [0xE4, 0, 0, 0] + identification + InitiatorCDB.bigEndian(blockSize)
    }

    /// A block device to block device segment descriptor (02h); `flags` is byte 1: 02h DC, 01h CAT.
    public static func segment(
        _ unit: UInt16 = 0, from source: UInt64, _ other: UInt16 = 0, to destination: UInt64, blocks: UInt16,
        flags: UInt8 = 0
    ) -> [UInt8] {
        let units = InitiatorCDB.bigEndian(unit) + InitiatorCDB.bigEndian(other)
        let count = [0, 0] + InitiatorCDB.bigEndian(blocks)
        return [0x02, flags, 0, 24] + units + count + InitiatorCDB.bigEndian(source)
            + InitiatorCDB.bigEndian(destination)
    }

    /// Where CSCD descriptor `index` starts in ``bytes``.
    public func unitStart(_ index: Int) -> Int {
        form.headerLength + units.prefix(index).reduce(0) { $0 + $1.count }
    }

    /// Where segment descriptor `index` starts in ``bytes``.
    public func segmentStart(_ index: Int) -> Int {
        unitStart(units.count) + segments.prefix(index).reduce(0) { $0 + $1.count }
    }

    /// The whole list.
    public var bytes: [UInt8] {
        header + units.joined() + segments.joined() + inline
    }

    /// The command for the whole list.
    public var cdb: [UInt8] {
        InitiatorCDB.extendedCopy(form, parameterListLength: UInt32(bytes.count))
    }

    private var header: [UInt8] {
        let unitsLength = UInt16(units.joined().count)
        let segmentsLength = UInt32(segments.joined().count)
        var header = [UInt8](repeating: 0, count: form.headerLength)
        func put(_ field: [UInt8], at offset: Int) {
            header.replaceSubrange(offset..<offset + field.count, with: field)
        }
        header[1] = usage << 3
        switch form {
        case .lid1:
            header[0] = UInt8(truncatingIfNeeded: listIdentifier)
            put(InitiatorCDB.bigEndian(unitsLength), at: 2)
            put(InitiatorCDB.bigEndian(segmentsLength), at: 8)
            put(InitiatorCDB.bigEndian(UInt32(inline.count)), at: 12)
        case .lid4:
            header[0] = 0x01
            header[3] = 0x20
            header[15] = immediate ? 1 : 0
            header[16] = 0xFF
            put(InitiatorCDB.bigEndian(listIdentifier), at: 20)
            put(InitiatorCDB.bigEndian(unitsLength), at: 42)
            put(InitiatorCDB.bigEndian(UInt16(segmentsLength)), at: 44)
            put(InitiatorCDB.bigEndian(UInt16(inline.count)), at: 46)
        }
        return header
    }
}
