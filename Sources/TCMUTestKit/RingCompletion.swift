/// A finished command as the initiator would see it.
public struct RingCompletion: Sendable, Equatable {
    /// The command's id, free for reuse from now on.
    public let id: UInt16
    /// SAM status byte.
    public let status: UInt8
    /// The 96 bytes of the sense field for CHECK CONDITION, else empty: the kernel looks at it for no other status.
    public let sense: [UInt8]
    /// Data-In, cut to READ_LEN where the daemon set it; empty for CHECK CONDITION without READ_LEN.
    public let dataIn: [UInt8]
    /// Bytes that the initiator expected and does not get: its Data-In length less READ_LEN.
    public let residual: Int
    /// UNKNOWN_OP was set: the kernel reports CHECK CONDITION and no sense.
    public let isUnknownOpcode: Bool

    /// Sense key, ASC and ASCQ of fixed-format (70h) or descriptor (72h) sense; nil where there is none.
    public var senseTriple: (key: UInt8, asc: UInt8, ascq: UInt8)? {
        guard sense.count >= 14 else { return nil }
        switch sense[0] & 0x7F {
        case 0x70, 0x71: return (sense[2] & 0x0F, sense[12], sense[13])
        case 0x72, 0x73: return (sense[1] & 0x0F, sense[2], sense[3])
        default: return nil
        }
    }
}

/// Something the daemon did to the ring that the protocol does not allow.
///
/// The kernel notices only the first case ("ring is broken"); the simulator is stricter, because the others end
/// there sooner or later.
public enum RingViolation: Sendable, Equatable, CustomStringConvertible {
    /// The slot names a command that is not in flight (or one whose buffer is kept, completed again).
    case unknownCommandID(UInt16, slot: UInt32)
    /// The tail is not a position in the ring, or it has passed the head.
    case tailOutOfRange(UInt32)
    /// The tail stopped inside an entry.
    case tailInsideEntry(UInt32, entryLength: UInt32)
    /// Length or opcode of an entry was overwritten.
    case entryHeaderChanged(slot: UInt32)
    /// The CDB behind an entry's request was overwritten.
    case cdbChanged(slot: UInt32)
    /// A flag was used that the mailbox does not offer.
    case flagNotOffered(UInt8, slot: UInt32)
    /// Doorbell writes did not add up to 4 bytes each.
    case tornDoorbell(bytes: Int)

    /// What happened, where.
    public var description: String {
        switch self {
        case .unknownCommandID(let id, let slot): "slot \(slot): cmd_id \(id) not found, ring is broken"
        case .tailOutOfRange(let tail): "tail \(tail) is outside the entries between the last one cleaned and head"
        case .tailInsideEntry(let tail, let length): "tail \(tail) lies inside an entry of \(length) bytes"
        case .entryHeaderChanged(let slot): "slot \(slot): length or opcode of the entry was overwritten"
        case .cdbChanged(let slot): "slot \(slot): the CDB was overwritten"
        case .flagNotOffered(let flags, let slot): "slot \(slot): uflags \(flags) without the mailbox's capability"
        case .tornDoorbell(let bytes): "doorbell writes of \(bytes) bytes in all, not a multiple of 4"
        }
    }
}
