internal import CTCMU

// A reset by others while nothing has been published, or just at the wrap: the tail is 0 before and after. Two things in
// shared memory tell of it all the same. The head is behind what was taken already; and where so many commands have come
// since that it is not, the entry at the ring's start is a new one, which the kernel has zeroed and filled, so that the
// mark is gone that was put into the one that was taken. The mark is in `uflags`, which is ours, and is overwritten with
// the response before the kernel looks at it.
extension CommandRing {
    /// Not one of TCMU_UFLAG_*.
    private static let taken: UInt8 = 0x80
    private static let flagsOffset = 7

    /// Marks the entry at the ring's start, which is being taken.
    @inline(never)
    mutating func markStart() {
        ctcmu_store_u8(ring + CommandRing.flagsOffset, CommandRing.taken)
        startIsMarked = true
    }

    private var isMarkGone: Bool {
        startIsMarked && ctcmu_load_u8(ring + CommandRing.flagsOffset) & CommandRing.taken == 0
    }

    /// Looks at the entry at the ring's start for the last time before it is written over.
    @inline(never)
    mutating func leaveStart() {
        if isMarkGone { wasReset = true }
        startIsMarked = false
    }

    /// Whether the ring was reset since entries were taken from its start on. For a tail that is 0.
    @inline(never)
    mutating func isResetAtStart() -> Bool {
        if ctcmu_load_head(region.base) < cursor || isMarkGone { wasReset = true }
        return wasReset
    }
}

/// What became of ``CommandRing/publish()``.
public enum Publication: Sendable {
    /// The tail stays where it was; nothing is due.
    case unchanged
    /// The tail was moved, and the kernel has looked.
    case told
    /// The tail was moved, and the node is gone: nobody will look.
    case gone
}
