/// The parameter list of SANITIZE with the service action OVERWRITE (SBC-3 5.24.2.2).
///
/// ```
///  0  INVERT (bit 7), TEST (6:5), OVERWRITE COUNT (4:0)
///  1  reserved
///  2  INITIALIZATION PATTERN LENGTH (2)
///  4  INITIALIZATION PATTERN
/// ```
public struct OverwriteParameters: Sendable, Equatable {
    /// OVERWRITE COUNT: how often the medium is written from end to end, 1...31.
    public let passes: Int
    /// INVERT: each pass writes the complement of what the one before it wrote.
    public let inverts: Bool
    /// INITIALIZATION PATTERN: 1 byte to a logical block. It starts anew in each block.
    public let pattern: [UInt8]

    private static let headerLength = 4

    /// Reads the data-out bytes that were delivered.
    ///
    /// Bytes behind the pattern are ignored.
    /// - Parameter blockSize: the length of a logical block, in bytes.
    /// - Throws: INVALID FIELD IN CDB where PARAMETER LIST LENGTH leaves no room for a pattern, or room for more than
    ///   a block; PARAMETER LIST LENGTH ERROR where fewer bytes were delivered; INVALID FIELD IN PARAMETER LIST for
    ///   TEST, a count of zero, and a pattern that is empty, longer than a block or longer than the list.
    public init(
        _ delivered: UnsafeRawBufferPointer, for command: Sanitize, blockSize: UInt32
    ) throws(Sense) {
        let length = Int(command.parameterListLength)
        guard length > Self.headerLength, length <= Int(blockSize) + Self.headerLength else {
            throw .invalidFieldInCDB(byte: 7)
        }
        guard delivered.count >= length, let patternLength = delivered.bigEndian(UInt16.self, at: 2) else {
            throw .parameterListLengthError
        }
        let flags = delivered[0]
        guard flags & 0x60 == 0 else { throw .invalidFieldInParameterList(byte: 0, bit: 6) }
        guard flags & 0x1F != 0 else { throw .invalidFieldInParameterList(byte: 0, bit: 4) }
        guard patternLength != 0, Int(patternLength) <= length - Self.headerLength,
            let pattern = delivered.bytes(at: Self.headerLength, length: Int(patternLength))
        else { throw .invalidFieldInParameterList(byte: 2) }
        passes = Int(flags & 0x1F)
        inverts = flags & 0x80 != 0
        self.pattern = pattern
    }

    /// Whether pass `pass`, counted from 0, writes the complement of the pattern: with INVERT every second pass does,
    /// and the first never.
    public func isInverted(pass: Int) -> Bool {
        inverts && !pass.isMultiple(of: 2)
    }

    /// Makes one logical block: the pattern from its first byte, repeated to the end of the block and cut there.
    /// - Parameter inverted: writes the complement of each byte; see ``isInverted(pass:)``.
    public func fill(_ block: UnsafeMutableRawBufferPointer, inverted: Bool) {
        block.repeatPattern(pattern, inverted: inverted)
    }
}
