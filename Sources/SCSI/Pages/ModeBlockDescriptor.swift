/// The block descriptor of mode parameters (SBC-3 6.4.2): how many blocks the unit has, and how long they are.
///
/// One, or none. It names what is so and changes nothing: the capacity is the backstore's, and the block length what the
/// kernel was configured with.
public enum ModeBlockDescriptor: Sendable, Equatable, BitwiseCopyable {
    /// The short LBA mode parameter block descriptor, 8 bytes.
    case short
    /// The long LBA mode parameter block descriptor, 16 bytes: LONGLBA in the header of the 10-byte form.
    case long

    /// Its length in bytes.
    var length: Int { self == .short ? 8 : 16 }

    /// The descriptor of a unit of `capacity`, as MODE SENSE returns it. More blocks than its field has room for are
    /// FFFFFFFFh (SBC-3 6.4.2.2).
    func bytes(_ capacity: Capacity) -> [UInt8] {
        var data = [UInt8].zeros(length)
        switch self {
        case .short:
            // LOGICAL BLOCK LENGTH has three bytes; the one before it is reserved, and zero for any length there is.
            data.store(capacity.blockSize & 0xFF_FFFF, at: 4)
            data.store(UInt32(clamping: capacity.blocks), at: 0)
        case .long:
            data.store(capacity.blocks, at: 0)
            data.store(capacity.blockSize, at: 12)
        }
        return data
    }

    /// The bytes of the NUMBER OF LOGICAL BLOCKS field.
    private var countField: Range<Int> { self == .short ? 0..<4 : 0..<8 }

    /// The first byte of a descriptor in a MODE SELECT list that is not as the unit is, or nil where all is. Zero blocks
    /// stand for what there is (SBC-3 6.4.2.2: no change); Windows sends that.
    ///
    /// - Parameter given: as many bytes as ``length``.
    func firstDifference(_ given: Slice<UnsafeRawBufferPointer>, _ capacity: Capacity) -> Int? {
        let present = bytes(capacity)
        let isUnchanged = countField.allSatisfy { given[given.startIndex + $0] == 0 }
        let wrong = present.indices.first {
            given[given.startIndex + $0] != present[$0] && !(isUnchanged && countField.contains($0))
        }
        guard let wrong else { return nil }
        // Numbers are pointed at by their first byte.
        let lengthField = self == .short ? 5..<8 : 12..<16
        if countField.contains(wrong) { return countField.lowerBound }
        return lengthField.contains(wrong) ? lengthField.lowerBound : wrong
    }
}
