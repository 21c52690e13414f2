internal import BlockBackend

/// Makes a multi-step command atomic against everything else that touches its blocks.
///
/// COMPARE AND WRITE on a backend without a native one reads, compares and writes; SBC-3 5.2 wants no other
/// command's effect between. Commands that overlap it wait, in their order. While nothing of the kind runs, the
/// gate costs one test per command.
struct ExclusionGate {
    /// Exclusive commands that may wait at once. Bound: each end of a command looks at all that wait, and these are
    /// what others wait for.
    static let exclusiveLimit = 128

    /// Slots of running exclusive commands.
    private(set) var running: [Int] = []
    /// Slots of commands that wait, oldest first.
    private(set) var waiting: [Int] = []
    private var exclusiveWaiting = 0

    /// Nothing exclusive runs or waits.
    var isIdle: Bool { running.isEmpty && waiting.isEmpty }

    /// Whether a command for `extent` must wait.
    ///
    /// - Parameters:
    ///   - position: how many of the waiting commands are older than it.
    ///   - exclusive: it must not overlap anything in flight, either.
    func mustWait(
        _ extent: ByteExtent, exclusive: Bool, behind position: Int, slots: borrowing SlotTable
    ) -> Bool {
        if running.contains(where: { slots[$0].pointee.extent.overlaps(extent) }) { return true }
        if waiting.prefix(position).contains(where: { slots[$0].pointee.extent.overlaps(extent) }) { return true }
        guard exclusive else { return false }
        for index in 0..<slots.initialised where slots[index].pointee.extent.overlaps(extent) {
            // A long command between two steps has begun just as well.
            let state = slots[index].pointee.state
            if state == .inFlight || state == .yielded { return true }
        }
        return false
    }

    mutating func start(_ slot: Int) {
        running.append(slot)
    }

    /// A command has ended. Returns whether one that waits may have waited for it.
    mutating func ended(_ slot: Int, slots: borrowing SlotTable) -> Bool {
        if let position = running.firstIndex(of: slot) {
            running.remove(at: position)
            return true
        }
        let extent = slots[slot].pointee.extent
        return waiting.contains { slots[$0].pointee.extent.overlaps(extent) }
    }

    /// Puts a command at the end of the queue. Returns false if the queue has no room for it.
    mutating func wait(_ slot: Int, exclusive: Bool) -> Bool {
        guard !exclusive || exclusiveWaiting < Self.exclusiveLimit else { return false }
        if exclusive { exclusiveWaiting += 1 }
        waiting.append(slot)
        return true
    }

    mutating func leaveQueue(at position: Int, exclusive: Bool) {
        if exclusive { exclusiveWaiting -= 1 }
        waiting.remove(at: position)
    }
}

extension ByteExtent {
    /// Whether the two have a byte in common.
    func overlaps(_ other: ByteExtent) -> Bool {
        length > 0 && other.length > 0 && offset < other.offset + other.length && other.offset < offset + length
    }
}
