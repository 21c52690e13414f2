/// A unit that an EXTENDED COPY reads from or writes to: an identification descriptor CSCD descriptor (SPC-4 6.4.5).
///
/// ```
///  0  DESCRIPTOR TYPE CODE, E4h
///  1  LU ID TYPE (7:6), NUL (5), PERIPHERAL DEVICE TYPE (4:0)
///  2  RELATIVE INITIATOR PORT IDENTIFIER (2)
///  4  CODE SET (3:0)
///  5  ASSOCIATION (5:4), DESIGNATOR TYPE (3:0)
///  7  DESIGNATOR LENGTH
///  8  DESIGNATOR (20)
/// 28  PAD (2)
/// 29  DISK BLOCK LENGTH (3)
/// ```
///
/// The relative port is for a unit elsewhere, and PAD for units whose blocks differ in length.
public struct CopyUnit: Sendable, Equatable {
    /// The NAA 6 designator of the unit, 16 bytes: as VPD page 83h has it.
    public var designator: [UInt8]
    /// DISK BLOCK LENGTH: the length of a logical block, in bytes; 0 where it is not given.
    public var blockSize: UInt32

    static let typeCode: UInt8 = 0xE4
    static let descriptorLength = 32
    private static let designatorLength = 16

    /// The descriptor at `start` of the list.
    ///
    /// LU ID TYPE is refused where it is not 00b, and NUL is taken for a null device, as SPC-3 has both: it is the
    /// version that INQUIRY claims.
    init(_ list: UnsafeRawBufferPointer, at start: Int) throws(Sense) {
        guard let descriptor = list.bytes(at: start, length: Self.descriptorLength) else {
            throw .parameterListLengthError
        }
        func invalid(_ byte: Int, bit: UInt8? = nil) -> Sense {
            .invalidFieldInParameterList(byte: UInt16(clamping: start + byte), bit: bit)
        }
        guard descriptor[0] == Self.typeCode else { throw .unsupportedTargetDescriptorTypeCode }
        guard descriptor[1] & 0xC0 == 0 else { throw invalid(1, bit: 7) }
        guard descriptor[1] & 0x20 == 0 else { throw .copyTargetDeviceNotReachable }
        guard descriptor[1] & 0x1F == 0 else { throw .incorrectCopyTargetDeviceType }
        // A binary NAA designator of the logical unit, of the one form that page 83h has.
        guard descriptor[4] & 0x0F == 0x01 else { throw invalid(4, bit: 3) }
        guard descriptor[5] & 0x30 == 0x00 else { throw invalid(5, bit: 5) }
        guard descriptor[5] & 0x0F == 0x03 else { throw invalid(5, bit: 3) }
        guard Int(descriptor[7]) == Self.designatorLength else { throw invalid(7) }
        guard descriptor[8] >> 4 == 0x6 else { throw invalid(8, bit: 7) }
        designator = Array(descriptor[8..<8 + Self.designatorLength])
        blockSize = UInt32(descriptor[29]) << 16 | UInt32(descriptor[30]) << 8 | UInt32(descriptor[31])
    }
}

/// Blocks that an EXTENDED COPY copies: a block device to block device segment descriptor (SPC-4 6.4.6).
///
/// ```
///  0  DESCRIPTOR TYPE CODE, 02h          8  reserved (2)
///  1  DC (1), CAT (0)                   10  BLOCK DEVICE NUMBER OF BLOCKS (2)
///  2  DESCRIPTOR LENGTH (2), 0018h      12  SOURCE BLOCK DEVICE LOGICAL BLOCK ADDRESS (8)
///  4  SOURCE CSCD DESCRIPTOR ID (2)     20  DESTINATION BLOCK DEVICE LOGICAL BLOCK ADDRESS (8)
///  6  DESTINATION CSCD DESCRIPTOR ID (2)
/// ```
///
/// CAT says where the rest of an incomplete block goes: there is none between units with blocks of one length.
public struct CopySegment: Sendable, Equatable, BitwiseCopyable {
    /// The unit that is read, an index of ``CopyList/units``.
    public var source: Int
    /// The unit that is written, an index of ``CopyList/units``.
    public var destination: Int
    /// The first block that is read.
    public var sourceLBA: UInt64
    /// The first block that is written.
    public var destinationLBA: UInt64
    /// How many blocks are copied, 0...65 535; zero copies nothing.
    public var blocks: UInt32
    /// DC: ``blocks`` are blocks of the destination, not of the source.
    public var isCountInDestinationBlocks: Bool

    static let typeCode: UInt8 = 0x02
    static let descriptorLength = 28

    /// The descriptor at `start` of a list that ends with its last descriptor.
    init(_ list: UnsafeRawBufferPointer, at start: Int) throws(Sense) {
        // The type comes first: that of a foreign descriptor says how long it would be.
        guard let type = list.bytes(at: start, length: 1) else { throw .parameterListLengthError }
        guard type == [Self.typeCode] else { throw .unsupportedSegmentDescriptorTypeCode }
        guard start <= list.count - Self.descriptorLength,
            let length = list.bigEndian(UInt16.self, at: start + 2),
            let source = list.bigEndian(UInt16.self, at: start + 4),
            let destination = list.bigEndian(UInt16.self, at: start + 6),
            let blocks = list.bigEndian(UInt16.self, at: start + 10),
            let sourceLBA = list.bigEndian(UInt64.self, at: start + 12),
            let destinationLBA = list.bigEndian(UInt64.self, at: start + 20)
        else { throw .parameterListLengthError }
        guard Int(length) == Self.descriptorLength - 4 else {
            throw .invalidFieldInParameterList(byte: UInt16(clamping: start + 2))
        }
        (self.source, self.destination) = (Int(source), Int(destination))
        (self.sourceLBA, self.destinationLBA) = (sourceLBA, destinationLBA)
        self.blocks = UInt32(blocks)
        isCountInDestinationBlocks = list[start + 1] & 0x02 != 0
    }

    /// That both units are there, and the segment is no longer than may be where the length of a block is given.
    func check(_ units: [CopyUnit], at start: Int, limits: CopyLimits) throws(Sense) {
        guard units.indices.contains(source), units.indices.contains(destination) else {
            throw .copyTargetDeviceNotReachable
        }
        let counted = units[isCountInDestinationBlocks ? destination : source]
        let bytes = UInt64(blocks) * UInt64(counted.blockSize)
        guard limits.maximumSegmentBytes == 0 || bytes <= UInt64(limits.maximumSegmentBytes) else {
            throw .invalidFieldInParameterList(byte: UInt16(clamping: start + 10))
        }
    }
}
