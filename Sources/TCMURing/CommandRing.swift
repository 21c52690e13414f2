internal import CTCMU
public import Glibc

/// One TCMU command ring, from the side that serves it.
///
/// Entries are taken in order with ``next()`` and completed in any order with ``complete(_:sense:)``. The kernel
/// walks the entries from its own cursor to our tail and believes only the command id that stands in each; so the
/// first command to finish is written over the oldest open entry, whoever's that was (K:tcmu_handle_completions):
///
///     ring      | A | pad | B | C |          C finishes first:  | c | pad | B | C |
///     tail ------^                           tail ------------------------^
///
/// Two rules follow. Everything needed from an entry is copied out before anything is completed. And what the
/// entries' lengths were is remembered here, so that nothing is read from shared memory a second time.
///
/// Used by the thread that owns the unit, nobody else.
///
/// What is called per command is `mutating` even where it alters nothing: the compiler copies the whole value for a
/// method that only borrows it out of an optional or from another mutating method.
public struct CommandRing: ~Copyable {
    let region: SharedRegion
    let ring: UnsafeMutableRawPointer
    private let ringOffset: Int
    private let ringSize: UInt32
    private let dataOffset: UInt64
    /// What the kernel's side can do.
    public let features: RingFeatures

    /// Head as last loaded, where we take the next entry, where we complete the next one, and what the kernel
    /// was last told. All in bytes from the ring's start.
    private var head: UInt32
    var cursor: UInt32
    private var tail: UInt32
    private var published: UInt32

    /// Lengths of the entries between tail and cursor, oldest first, with `skipFlag` for those that no command
    /// answers. Bound: `openLimit`, taken at open.
    private let lengths: UnsafeMutablePointer<UInt32>
    private let lengthsMask: Int
    private var oldest = 0
    private var newest = 0
    /// The next three, as bits: with a `Bool` among its fields the compiler asks an outlined function for each access whether
    /// an optional ring is there, 30 instructions per command.
    private var marks: UInt8 = 0
    /// The entry at the ring's start was taken and marked, and has not been written over.
    var startIsMarked: Bool {
        get { marks & 1 != 0 }
        set { marks = newValue ? marks | 1 : marks & ~1 }
    }
    /// It is a pad or a notice that the tail has passed, which the kernel has not been shown.
    var startIsPassed: Bool {
        get { marks & 2 != 0 }
        set { marks = newValue ? marks | 2 : marks & ~2 }
    }
    /// The ring was found to have been reset by others; nothing is written to it any more.
    var wasReset: Bool {
        get { marks & 4 != 0 }
        set { marks = newValue ? marks | 4 : marks & ~4 }
    }

    /// How far ahead of the entry being read the memory is asked for: four entries of an ordinary READ or WRITE.
    private static let prefetchDistance = 512

    private static let skipFlag: UInt32 = 1

    /// Attaches to a ring.
    ///
    /// - Parameters:
    ///   - descriptors: taken over, also when this throws.
    ///   - openLimit: how many entries may be open at once; a power of two. More stay in the ring.
    public init(_ descriptors: RingDescriptors, openLimit: Int = 16384) throws(RingError) {
        precondition(openLimit > 1 && openLimit & (openLimit - 1) == 0, "openLimit is a power of two")
        let region = try SharedRegion(descriptors)
        let layout = try Mailbox.layout(of: region)
        ringOffset = Int(layout.ringOffset)
        ring = region.base + ringOffset
        self.region = region
        ringSize = layout.ringSize
        dataOffset = UInt64(layout.ringOffset) + UInt64(layout.ringSize)
        features = layout.features
        tail = layout.tail
        head = layout.tail
        cursor = layout.tail
        published = layout.tail
        lengths = .allocate(capacity: openLimit)
        lengthsMask = openLimit - 1
    }

    deinit {
        lengths.deallocate()
    }

    /// Polls readable when the kernel has news.
    public var notifyDescriptor: CInt { region.descriptors.notify }

    /// Entries taken and not completed, pads and notices among them.
    public var openEntries: Int { newest - oldest }

    /// True if nothing is open and nothing waits.
    public var isEmpty: Bool { oldest == newest && cursor == ctcmu_load_head(region.base) }

    /// `openLimit` entries are open: what the ring still holds is taken once some of them have ended, of which no event
    /// tells.
    public var isFull: Bool { newest - oldest > lengthsMask }

    /// True if the kernel has put something in that ``next()`` would take. Reads memory only.
    @inline(__always)
    public mutating func hasNews() -> Bool {
        newest - oldest <= lengthsMask && cursor != ctcmu_load_head(region.base)
    }

    /// Takes the next entry; pads are passed over.
    ///
    /// - Returns: nil when the ring holds no more, or when `openLimit` entries are open.
    /// - Throws: what makes the ring impossible. It must then be given up: reset and attached anew.
    public mutating func next() throws(RingError) -> RingItem? {
        while true {
            if cursor == head {
                // Ordering: one acquire per batch; the entries up to this head are whole.
                head = ctcmu_load_head(region.base)
                if cursor == head { return nil }
                guard head < ringSize, head & 7 == 0 else { throw .head(head, ringSize: ringSize) }
                try checkTail()
            }
            if newest - oldest > lengthsMask { return nil }
            let entry = ring + Int(cursor)
            // SAFETY: a hint, which never faults; beyond the ring's end it is for nothing.
            ctcmu_prefetch(ring + (Int(cursor) + CommandRing.prefetchDistance))
            let available = (head > cursor ? head : ringSize) - cursor
            let lengthAndOperation = ctcmu_load_u32(entry)
            let length = lengthAndOperation & ~UInt32(CTCMU_OP_MASK)
            let operation = UInt8(truncatingIfNeeded: lengthAndOperation & UInt32(CTCMU_OP_MASK))
            let minimum = Int(operation) == CTCMU_OP_PAD ? CTCMU_HEADER_SIZE : CTCMU_TMR_SIZE
            guard length >= UInt32(minimum), length <= available else {
                throw .entryLength(at: cursor, operation: operation, length: length, available: available)
            }
            switch Int(operation) {
            case CTCMU_OP_PAD:
                take(length, answered: false)
                skipUnanswered()
            case CTCMU_OP_TMR:
                let notice = try checkedNotice(entry, length: length)
                take(length, answered: false)
                skipUnanswered()
                return .taskManagement(notice)
            case CTCMU_OP_CMD:
                let command = try checkedCommand(entry, length: length)
                take(length, answered: true)
                return .command(command)
            default:
                // Completing it writes a whole response over some entry of at least its size or not at all.
                guard length >= UInt32(CTCMU_RESPONSE_SIZE) else {
                    throw .entryLength(at: cursor, operation: operation, length: length, available: available)
                }
                let commandID = ctcmu_load_u16(entry + 4)
                take(length, answered: true)
                return .unknown(commandID: commandID, operation: operation)
            }
        }
    }

    /// Copies the CDB of an entry just taken into `buffer`.
    ///
    /// - Returns: bytes copied.
    ///
    /// The entry does not say how long its CDB is; what follows the CDB up to the entry's end may come along.
    @inline(__always)
    public mutating func copyCommandBlock(_ entry: RingEntry, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let count = min(buffer.count, entry.commandBlockLimit)
        let source = UnsafeRawBufferPointer(start: region.base + entry.commandBlockOffset, count: count)
        buffer.copyMemory(from: source)
        return count
    }

    /// The number of a command that a notice just taken names; nil beyond ``TaskManagementNotice/commandCount``.
    public func commandID(_ index: Int, of notice: TaskManagementNotice) -> UInt16? {
        guard index >= 0, index < notice.commandCount else { return nil }
        return ctcmu_load_u16(ring + Int(notice.offset) + Int(CTCMU_TMR_SIZE) + 2 * index)
    }

    /// Copies the iovecs of an entry just taken, as pointers into the mapping.
    ///
    /// - Parameter buffer: room for `entry.segmentCount` iovecs.
    /// - Returns: how many there are (empty ones are left out) and their bytes together.
    /// - Throws: `segmentBounds` if one does not lie in the data area.
    public mutating func copySegments(
        _ entry: RingEntry, into buffer: UnsafeMutablePointer<iovec>
    ) throws(RingError) -> (count: Int, bytes: UInt64) {
        var source = ring + Int(entry.offset) + CTCMU_REQUEST_SIZE
        let limit = UInt64(truncatingIfNeeded: region.size)
        var target = buffer
        var bytes: UInt64 = 0
        var left = entry.segmentCount
        while left > 0 {
            left &-= 1
            let offset = ctcmu_load_u64(source)
            let length = ctcmu_load_u64(source + 8)
            guard offset >= dataOffset, offset <= limit, length <= limit &- offset else {
                throw .segmentBounds(at: entry.offset, offset: offset, length: length)
            }
            source += CTCMU_IOVEC_SIZE
            if length == 0 { continue }
            // SAFETY: offset + length <= the mapping's size, which is an Int, checked above; the fields were read once.
            target.pointee = iovec(
                iov_base: region.base + Int(truncatingIfNeeded: offset), iov_len: Int(truncatingIfNeeded: length))
            target += 1
            // Bound: at most 2^28 segments of at most the mapping's size each cannot overflow 64 bits.
            bytes &+= length
        }
        return (target - buffer, bytes)
    }

    /// Writes a response over the oldest open entry. Nothing is visible before ``publish()``.
    ///
    /// - Parameters:
    ///   - response: for a command that is open; completing another one breaks the ring in the kernel.
    ///   - sense: up to 96 bytes; looked at by the kernel only for status CHECK CONDITION.
    public mutating func complete(_ response: RingResponse, sense: UnsafeRawBufferPointer? = nil) {
        precondition(oldest < newest, "a command is completed that was never taken")
        if tail == 0 { leaveStart() }
        let entry = ring + Int(tail)
        var flags: UInt8 = response.isUnknownOperation ? UInt8(CTCMU_UFLAG_UNKNOWN_OP) : 0
        if response.readLength != nil && features.contains(.readLength) { flags |= UInt8(CTCMU_UFLAG_READ_LEN) }
        ctcmu_write_response(entry, response.commandID, flags, response.status, response.readLength ?? 0)
        if let sense { ctcmu_write_sense(entry, sense.baseAddress, sense.count) }
        advanceTail()
        skipUnanswered()
    }

    /// Makes sure that nobody has reset the ring since the last ``publish()``. To be called before entries are taken:
    /// those up to a head that was loaded before a reset are commands that the kernel has answered itself.
    @inline(__always)
    public mutating func checkTail() throws(RingError) {
        let found = ctcmu_load_tail(region.base)
        guard found == published else { throw .tailMoved(found, expected: published) }
        // A reset leaves the tail at 0, which is also where it was.
        if found == 0, isResetAtStart() { throw .resetAtStart(head: ctcmu_load_head(region.base), taken: cursor) }
    }

    /// Shows the kernel how far entries are done with, and rings for it where that is further than before: completed
    /// commands, and as well pads and notices that nobody answers. Until it is rung for, the kernel counts their room as
    /// taken (`cmdr_last_cleaned` moves in tcmu_handle_completions alone), and a ring full of them lets no command in.
    ///
    /// Nothing is published on a ring that others have reset, where completions are answers to commands of long ago and
    /// the next ``checkTail()`` throws.
    public mutating func publish() -> Publication {
        guard tail != published else { return .unchanged }
        guard ctcmu_load_tail(region.base) == published else { return .unchanged }
        if published == 0, isResetAtStart() { return .unchanged }
        ctcmu_store_tail(region.base, tail)
        published = tail
        if startIsPassed { (startIsPassed, startIsMarked) = (false, false) }
        return ringDoorbell() ? .told : .gone
    }

    /// Makes the kernel take what was published. It does the whole work, copies included, inside this call.
    ///
    /// - Returns: false if the node is gone (EIO after the device was removed).
    private func ringDoorbell() -> Bool {
        var value: UInt32 = 0
        while write(region.descriptors.doorbell, &value, 4) != 4 {
            if errno == EINTR { continue }
            return errno == EAGAIN
        }
        return true
    }

    /// Reads the node's event counter. Needed once in less than 2^32 events: the poll compares the counter with
    /// the last one read, and equal after a wrap-around would be a lost event.
    public func clearNotification() {
        var counter: UInt64 = 0
        _ = read(region.descriptors.notify, &counter, 4)
    }

    // MARK: - Bookkeeping

    @inline(__always)
    private mutating func take(_ length: UInt32, answered: Bool) {
        if cursor == 0 { markStart() }
        lengths[newest & lengthsMask] = answered ? length : length | CommandRing.skipFlag
        newest += 1
        cursor += length
        if cursor == ringSize { cursor = 0 }
    }

    private mutating func advanceTail() {
        tail += lengths[oldest & lengthsMask] & ~CommandRing.skipFlag
        if tail == ringSize { tail = 0 }
        oldest += 1
    }

    /// Moves the tail past pads and notices that have come to be the oldest.
    @inline(__always)
    private mutating func skipUnanswered() {
        while oldest < newest, lengths[oldest & lengthsMask] & CommandRing.skipFlag != 0 {
            if tail == 0 { startIsPassed = true }
            advanceTail()
        }
    }

    @inline(__always)
    private mutating func checkedCommand(
        _ entry: UnsafeMutableRawPointer, length: UInt32
    ) throws(RingError) -> RingEntry {
        guard length >= UInt32(CTCMU_RESPONSE_SIZE) else {
            throw .entryLength(
                at: cursor, operation: UInt8(CTCMU_OP_CMD), length: length, available: ringSize - cursor)
        }
        let segments = ctcmu_load_u32(entry + 8)
        let bidirectional = ctcmu_load_u32(entry + 12)
        let protection = ctcmu_load_u32(entry + 16)
        let total = UInt64(segments) + UInt64(bidirectional) + UInt64(protection)
        guard total <= UInt64(length - UInt32(CTCMU_REQUEST_SIZE)) / UInt64(CTCMU_IOVEC_SIZE) else {
            throw .segmentCount(at: cursor, count: total, length: length)
        }
        let commandBlock = ctcmu_load_u64(entry + 24)
        let start = UInt64(ringOffset) + UInt64(cursor)
        let end = start + UInt64(length)
        guard commandBlock >= start + UInt64(CTCMU_REQUEST_SIZE), commandBlock < end else {
            throw .commandBlock(at: cursor, offset: commandBlock)
        }
        return RingEntry(
            commandID: ctcmu_load_u16(entry + 4), segmentCount: Int(segments),
            isBidirectional: bidirectional > 0, offset: cursor,
            commandBlockOffset: Int(commandBlock), commandBlockLimit: Int(end - commandBlock))
    }

    private mutating func checkedNotice(
        _ entry: UnsafeMutableRawPointer, length: UInt32
    ) throws(RingError) -> TaskManagementNotice {
        let count = ctcmu_load_u32(entry + 12)
        guard UInt64(count) * 2 <= UInt64(length) - UInt64(CTCMU_TMR_SIZE) else {
            throw .taskManagementCount(at: cursor, count: count, length: length)
        }
        return TaskManagementNotice(
            function: ctcmu_load_u8(entry + 8), commandCount: Int(count), offset: cursor)
    }
}
