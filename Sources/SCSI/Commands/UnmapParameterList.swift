/// UNMAP (SBC-3 5.28).
public struct UnmapCommand: Sendable, Equatable, BitwiseCopyable {
    /// PARAMETER LIST LENGTH, in bytes; zero is GOOD and unmaps nothing.
    public var parameterListLength: UInt16

    public init(parameterListLength: UInt16) {
        self.parameterListLength = parameterListLength
    }

    /// ANCHOR is refused since VPD B2h says ANC_SUP = 0.
    init(_ cdb: CDB) throws(Sense) {
        guard cdb[1] & 0x01 == 0 else { throw .invalidFieldInCDB(byte: 1, bit: 0) }
        self.init(parameterListLength: cdb.u16(at: 7))
    }
}

/// The block descriptors of an UNMAP command (SBC-3 5.28.2), in place.
///
/// ```
///  0  UNMAP DATA LENGTH (2)            8 + 16n  UNMAP LOGICAL BLOCK ADDRESS (8)
///  2  BLOCK DESCRIPTOR DATA LENGTH (2)     + 8  NUMBER OF LOGICAL BLOCKS (4)
///  4  reserved (4)                         + 12 reserved (4)
/// ```
///
/// The list is a view: the bytes given must stay, unchanged, for as long as it is used. Bytes that somebody else
/// may still write to have to be copied first, or what was checked is not what is done.
public struct UnmapParameterList {
    private let descriptors: UnsafeRawBufferPointer

    /// The number of whole descriptors.
    public let count: Int

    private static let headerLength = 8
    private static let descriptorLength = 16

    /// Finds the descriptors in the data-out bytes that were delivered.
    ///
    /// A descriptor that ends beyond BLOCK DESCRIPTOR DATA LENGTH or beyond the parameter list is ignored, as
    /// SBC-3 has it; the original believes the former and reads on beyond the list.
    /// - Throws: PARAMETER LIST LENGTH ERROR where the list is shorter than its header, or fewer bytes were
    ///   delivered than the CDB says; INVALID FIELD IN PARAMETER LIST for too many descriptors.
    public init(
        _ delivered: UnsafeRawBufferPointer, for command: UnmapCommand, limits: BlockLimits.Unmap
    ) throws(Sense) {
        let length = Int(command.parameterListLength)
        guard length > 0 else {
            descriptors = UnsafeRawBufferPointer(start: nil, count: 0)
            count = 0
            return
        }
        guard length >= Self.headerLength, delivered.count >= length,
            let claimed = delivered.bigEndian(UInt16.self, at: 2)
        else { throw .parameterListLengthError }

        // `limits` count what is claimed, so that a list too long is not quietly cut to one that fits.
        guard Int(claimed) / Self.descriptorLength <= Int(limits.maximumDescriptors) else {
            throw .invalidFieldInParameterList(byte: 2)
        }
        let available = min(Int(claimed), length - Self.headerLength)
        count = available / Self.descriptorLength
        descriptors = UnsafeRawBufferPointer(
            rebasing: delivered[Self.headerLength..<Self.headerLength + count * Self.descriptorLength])
    }

    /// The blocks that descriptor `index` names; an empty run beyond ``count``.
    public subscript(index: Int) -> BlockRange {
        guard index >= 0, index < count,
            let lba = descriptors.bigEndian(UInt64.self, at: index * Self.descriptorLength),
            let blocks = descriptors.bigEndian(UInt32.self, at: index * Self.descriptorLength + 8)
        else { return BlockRange(lba: 0, blocks: 0) }
        return BlockRange(lba: lba, blocks: UInt64(blocks))
    }

    /// Why nothing of the list may be carried out, or `nil`: the first descriptor that names more blocks than
    /// MAXIMUM UNMAP LBA COUNT, or blocks that the unit does not have.
    public func refusal(limits: BlockLimits.Unmap, capacity: Capacity) -> Sense? {
        for index in 0..<count {
            let range = self[index]
            if range.blocks > UInt64(limits.maximumBlocks) {
                let byte = Self.headerLength + index * Self.descriptorLength + 8
                return .invalidFieldInParameterList(byte: UInt16(clamping: byte))
            }
            if range.byteRange(in: capacity) == nil {
                return .logicalBlockAddressOutOfRange
            }
        }
        return nil
    }
}
