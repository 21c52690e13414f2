public import SystemPackage

/// Why a ring cannot be used, or not any longer.
///
/// What the mailbox or an entry says is never trusted: a value that cannot be is one of these, and the unit is
/// blocked, its ring reset and its node reopened; the process goes on.
public enum RingError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The node could not be opened.
    case open(path: String, Errno)
    /// The node has another device by now, or none, or has been let go of.
    case otherDevice(node: String)
    /// The node could not be mapped; `size` in bytes.
    case map(size: Int, Errno)
    /// The mapping is too small to hold a mailbox and a ring; `size` in bytes.
    case mappingTooSmall(size: Int)
    /// The mailbox's version is not 2.
    case version(UInt16)
    /// The kernel does not take completions out of order.
    case inOrderOnly
    /// Ring offset and size (bytes) do not lie in the mapping, or are not multiples of 8.
    case ringBounds(offset: UInt32, size: UInt32, mapping: Int)
    /// The head (bytes from the ring's start) is outside the ring or not a multiple of 8.
    case head(UInt32, ringSize: UInt32)
    /// The tail found at attach is outside the ring or not a multiple of 8.
    case tail(UInt32, ringSize: UInt32)
    /// The tail, which is ours, is not where it was left: somebody has reset the ring (`action/reset_ring`) while it was
    /// served. What stands between our place and the new head may be commands of long ago.
    case tailMoved(UInt32, expected: UInt32)
    /// The same with the tail at 0, where a reset leaves it, too: the head is behind what was taken (both in bytes from the
    /// ring's start), or other entries stand there.
    case resetAtStart(head: UInt32, taken: UInt32)
    /// An entry's length (bytes) is too short for its kind or runs past the head or the ring's end.
    case entryLength(at: UInt32, operation: UInt8, length: UInt32, available: UInt32)
    /// An entry's iovecs do not fit into it.
    case segmentCount(at: UInt32, count: UInt64, length: UInt32)
    /// An iovec (bytes from the mapping's start) does not lie in the data area.
    case segmentBounds(at: UInt32, offset: UInt64, length: UInt64)
    /// The CDB's offset (bytes from the mapping's start) does not lie in its entry.
    case commandBlock(at: UInt32, offset: UInt64)
    /// A TMR entry lists more commands than fit into it.
    case taskManagementCount(at: UInt32, count: UInt32, length: UInt32)

    /// One line for the log.
    public var description: String {
        switch self {
        case .open(let path, let errno): "cannot open \(path): \(errno)"
        case .otherDevice(let node): "\(node) is not that device's node any longer"
        case .map(let size, let errno): "cannot map \(size) bytes of the ring: \(errno)"
        case .mappingTooSmall(let size): "the mapping of \(size) bytes has no room for a mailbox and a ring"
        case .version(let version): "mailbox version \(version), expected 2"
        case .inOrderOnly: "the kernel lacks out-of-order completion (mailbox flag 1); Linux 4.3 or later is needed"
        case .ringBounds(let offset, let size, let mapping):
            "ring of \(size) bytes at \(offset) does not fit into the mapping of \(mapping) bytes"
        case .head(let head, let size): "head \(head) is no entry boundary of a ring of \(size) bytes"
        case .tail(let tail, let size): "tail \(tail) is no entry boundary of a ring of \(size) bytes"
        case .tailMoved(let tail, let expected):
            "the tail is at \(tail), expected \(expected) as it was left: the ring was reset while it was served"
        case .resetAtStart(let head, let taken):
            "entries up to \(taken) were taken and are open, and the ring begins anew with its head at \(head): it was reset while it was served"
        case .entryLength(let at, let operation, let length, let available):
            "entry at \(at) (operation \(operation)) is \(length) bytes long where \(available) are possible"
        case .segmentCount(let at, let count, let length):
            "entry at \(at) of \(length) bytes cannot hold its \(count) segments"
        case .segmentBounds(let at, let offset, let length):
            "entry at \(at) has a segment of \(length) bytes at \(offset), outside the data area"
        case .commandBlock(let at, let offset): "entry at \(at) has its CDB at \(offset), outside the entry"
        case .taskManagementCount(let at, let count, let length):
            "task management entry at \(at) of \(length) bytes cannot list \(count) commands"
        }
    }
}
