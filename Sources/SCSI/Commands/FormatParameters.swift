/// The parameter list of FORMAT UNIT (SBC-3 5.3.2).
///
/// ```
///     short header                       long header
///  0  PROTECTION FIELD USAGE (2:0)     0  PROTECTION FIELD USAGE (2:0)
///  1  FOV DPRY DCRT STPF IP - IMMED    1  FOV DPRY DCRT STPF IP - IMMED
///  2  DEFECT LIST LENGTH (2)           3  P_I_INFORMATION, PROTECTION INTERVAL EXPONENT
///                                      4  DEFECT LIST LENGTH (4)
///     initialization pattern descriptor, with IP
///  0  IP MODIFIER (7:6), SI (5)
///  1  INITIALIZATION PATTERN TYPE
///  2  INITIALIZATION PATTERN LENGTH (2)
///  4  INITIALIZATION PATTERN
/// ```
///
/// SI asks for a pattern also where no LBA leads any more. Behind a backend nobody can promise that, so it is refused.
/// DPRY, DCRT and STPF are accepted: there is no defect list to disable, and nothing that certification could find.
public struct FormatParameters: Sendable, Equatable {
    /// IMMED: status comes once the command has been checked, and the format goes on behind it.
    public let immediate: Bool
    /// What each logical block holds afterwards, 1 byte to a block, starting anew in each block; `nil` is the default
    /// pattern: zeros.
    public let pattern: [UInt8]?

    /// What a command without FMTDATA asks for: zeros, and status at the end.
    public static let `default` = FormatParameters(immediate: false, pattern: nil)

    private init(immediate: Bool, pattern: [UInt8]?) {
        self.immediate = immediate
        self.pattern = pattern
    }

    /// Reads the data-out bytes that were delivered: the CDB has no PARAMETER LIST LENGTH, they are the list. Without
    /// FMTDATA they are not looked at.
    ///
    /// Bytes behind the list are ignored.
    /// - Parameter blockSize: the length of a logical block, in bytes.
    /// - Throws: PARAMETER LIST LENGTH ERROR where the delivered bytes end within the header or the pattern
    ///   descriptor; INVALID FIELD IN PARAMETER LIST for all else.
    public init(
        _ delivered: UnsafeRawBufferPointer, for command: FormatUnit, blockSize: UInt32
    ) throws(Sense) {
        guard command.hasParameterList else {
            self = .default
            return
        }
        let header = try FormatListHeader(delivered, isLong: command.longList)
        let pattern =
            header.hasPattern
            ? try Self.pattern(delivered, at: header.length, blockSize: blockSize) : nil
        self.init(immediate: header.immediate, pattern: pattern)
    }

    /// Makes one logical block as the format leaves it.
    public func fill(_ block: UnsafeMutableRawBufferPointer) {
        block.repeatPattern(pattern ?? [], inverted: false)
    }

    /// The initialization pattern descriptor at `start` (SBC-3 5.3.2.3).
    private static func pattern(
        _ delivered: UnsafeRawBufferPointer, at start: Int, blockSize: UInt32
    ) throws(Sense) -> [UInt8]? {
        guard let length = delivered.bigEndian(UInt16.self, at: start + 2) else {
            throw .parameterListLengthError
        }
        // IP MODIFIER wants an address in each block: doing without would put wrong data on the medium.
        guard delivered[start] & 0xC0 == 0 else {
            throw .invalidFieldInParameterList(byte: UInt16(clamping: start), bit: 7)
        }
        guard delivered[start] & 0x20 == 0 else {
            throw .invalidFieldInParameterList(byte: UInt16(clamping: start), bit: 5)
        }
        let wrongLength = Sense.invalidFieldInParameterList(byte: UInt16(clamping: start + 2))
        switch delivered[start + 1] {
        case 0x00:
            guard length == 0 else { throw wrongLength }
            return nil
        case 0x01:
            guard length != 0, UInt32(length) <= blockSize else { throw wrongLength }
            guard let pattern = delivered.bytes(at: start + 4, length: Int(length)) else {
                throw .parameterListLengthError
            }
            return pattern
        default:
            throw .invalidFieldInParameterList(byte: UInt16(clamping: start + 1))
        }
    }
}

/// The short or the long header of the list (SBC-3 5.3.2.2).
private struct FormatListHeader {
    let length: Int
    let immediate: Bool
    let hasPattern: Bool

    init(_ delivered: UnsafeRawBufferPointer, isLong: Bool) throws(Sense) {
        length = isLong ? 8 : 4
        guard delivered.count >= length else { throw .parameterListLengthError }
        guard delivered[0] & 0x07 == 0 else { throw .invalidFieldInParameterList(byte: 0, bit: 2) }

        let flags = delivered[1]
        immediate = flags & 0x02 != 0
        hasPattern = flags & 0x08 != 0
        // Without FOV the five bits below it say nothing, and must not seem to.
        if flags & 0x80 == 0 {
            for bit: UInt8 in [6, 5, 4, 3, 2] where flags & (1 << bit) != 0 {
                throw .invalidFieldInParameterList(byte: 1, bit: bit)
            }
        }
        if isLong, delivered[3] != 0 { throw .invalidFieldInParameterList(byte: 3) }
        let defects =
            isLong
            ? delivered.bigEndian(UInt32.self, at: 4) : delivered.bigEndian(UInt16.self, at: 2).map(UInt32.init)
        guard defects == 0 else { throw .invalidFieldInParameterList(byte: isLong ? 4 : 2) }
    }
}
