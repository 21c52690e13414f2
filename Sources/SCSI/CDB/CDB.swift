/// A command descriptor block: at most 32 bytes, held inline.
///
/// Every read is total. A byte beyond ``count`` reads as zero, and a field that reaches beyond the block is
/// completed with zeros, so that a block of any length with any content can be looked at without a trap.
/// Multi-byte fields are big-endian, as in all of SCSI (SPC-4 4.2.5).
public struct CDB: Sendable, Equatable, BitwiseCopyable {
    /// The longest block kept, in bytes. LIO passes none longer than this to TCMU for a disk.
    public static let capacity = 32

    /// The bytes that were given, at most ``capacity``.
    public let count: Int

    /// Bytes 0...7, 8...15, 16...23 and 24...31, the first byte of each in the most significant position.
    private let words: (UInt64, UInt64, UInt64, UInt64)

    /// Copies the first ``capacity`` bytes; what lies beyond them is ignored.
    @inline(__always)
    public init(_ bytes: UnsafeRawBufferPointer) {
        count = min(bytes.count, Self.capacity)
        words = (
            Self.word(of: bytes, at: 0), Self.word(of: bytes, at: 8),
            Self.word(of: bytes, at: 16), Self.word(of: bytes, at: 24)
        )
    }

    /// Copies the first ``capacity`` bytes; what lies beyond them is ignored.
    public init(_ bytes: [UInt8]) {
        self = bytes.withUnsafeBytes { CDB($0) }
    }

    /// Byte `index`, or zero beyond ``count``.
    ///
    /// This and the fields below are inlined always: with a constant index, as in every decoder, one or two shifts
    /// remain of each, and a third of the decoder's instructions were calls of them.
    @inline(__always)
    public subscript(index: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: u64(at: index) >> 56)
    }

    /// The 16-bit field that starts at byte `index`.
    @inline(__always)
    public func u16(at index: Int) -> UInt16 {
        UInt16(truncatingIfNeeded: u64(at: index) >> 48)
    }

    /// The 24-bit field that starts at byte `index`.
    @inline(__always)
    public func u24(at index: Int) -> UInt32 {
        UInt32(truncatingIfNeeded: u64(at: index) >> 40)
    }

    /// The 32-bit field that starts at byte `index`.
    @inline(__always)
    public func u32(at index: Int) -> UInt32 {
        UInt32(truncatingIfNeeded: u64(at: index) >> 32)
    }

    /// The 64-bit field that starts at byte `index`.
    @inline(__always)
    public func u64(at index: Int) -> UInt64 {
        guard index >= 0, index < Self.capacity else { return 0 }
        // The shifts of Swift's `<<` and `>>` may be 64: they give zero then, and do not trap.
        let shift = (index & 7) * 8
        return word(index >> 3) << shift | word((index >> 3) + 1) >> (64 - shift)
    }

    @inline(__always)
    private func word(_ number: Int) -> UInt64 {
        switch number {
        case 0: words.0
        case 1: words.1
        case 2: words.2
        case 3: words.3
        default: 0
        }
    }

    @inline(__always)
    private static func word(of bytes: UnsafeRawBufferPointer, at offset: Int) -> UInt64 {
        let available = bytes.count &- offset
        if available <= 0 { return 0 }
        if available < 8 { return lastWord(of: bytes, at: offset) }
        // SAFETY: eight bytes from `offset` lie within the buffer, as just checked.
        return UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// Fewer than eight bytes, completed with zeros. Never so in a ring, which pads every block to eight.
    @inline(never)
    private static func lastWord(of bytes: UnsafeRawBufferPointer, at offset: Int) -> UInt64 {
        var word: UInt64 = 0
        for index in offset..<bytes.count { word |= UInt64(bytes[index]) << (56 - 8 * (index - offset)) }
        return word
    }

    /// Two blocks are equal when they hold the same bytes.
    public static func == (left: CDB, right: CDB) -> Bool {
        left.count == right.count && left.words == right.words
    }
}

extension CDB {
    /// The OPERATION CODE field, byte 0.
    public var operationCode: UInt8 { self[0] }

    /// The SERVICE ACTION field where the operation code has one: bytes 8 and 9 of a variable-length
    /// block (SPC-4 4.2.3), else the low five bits of byte 1.
    public var serviceAction: UInt16 {
        operationCode == 0x7F ? u16(at: 8) : UInt16(self[1] & 0x1F)
    }

    /// The length in bytes that the operation code asks for (SPC-4 4.2.5.1): 6, 10, 12 or 16 by group code,
    /// `8 + ADDITIONAL CDB LENGTH` for 7Fh, and all the bytes given for vendor-specific and reserved groups.
    ///
    /// The original had no answer for the last kind and lost such commands for ever.
    public var expectedLength: Int {
        switch operationCode >> 5 {
        case 0: 6
        case 1, 2: 10
        case 3: operationCode == 0x7F ? 8 + Int(self[7]) : count
        case 4: 16
        case 5: 12
        default: count
        }
    }

    /// The bytes of the block that belong to the command: ``expectedLength``, but never more than ``count``.
    public var length: Int { min(expectedLength, count) }

    /// Whether fewer bytes were given than the operation code asks for. Such a block is never carried out:
    /// its missing fields would read as zero.
    @inline(__always)
    public var isTruncated: Bool { count < expectedLength || count == 0 }

    /// The CONTROL byte: byte 1 of a variable-length block, else the last byte (SAM-5 5.2).
    @inline(__always)
    public var control: UInt8 {
        // Constant places for the usual lengths.
        switch controlOffset {
        case 5: self[5]
        case 9: self[9]
        case 15: self[15]
        case let offset: self[offset]
        }
    }

    /// Where the CONTROL byte stands.
    var controlOffset: Int { operationCode == 0x7F ? 1 : max(length - 1, 0) }
}

extension CDB: CustomStringConvertible {
    /// The bytes of the command in hexadecimal, as logs show them: `28 00 00 00 10 00 00 00 08 00`.
    public var description: String {
        var text = ""
        for index in 0..<length {
            if index > 0 { text += " " }
            let digits = String(self[index], radix: 16)
            text += digits.utf8.count == 1 ? "0" + digits : digits
        }
        return text
    }
}
