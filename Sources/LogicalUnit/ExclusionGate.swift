internal import BlockBackend

/// Makes a multi-step command atomic against everything else that touches its blocks.
///
/// COMPARE AND WRITE on a backend without a native one reads, compares and writes; SBC-4 5.3 wants no other
/// command's effect between. Commands that overlap it wait, in their order. While nothing of the kind runs, the
/// gate costs one test per command.
struct ExclusionGate {
    /// Slots of running exclusive commands.
    private(set) var running: [Int] = []
    /// Slots of commands that wait, oldest first.
    private(set) var waiting: [Int] = []

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
        for index in 0..<slots.initialised
        where slots[index].pointee.state == .inFlight && slots[index].pointee.extent.overlaps(extent) {
            return true
        }
        return false
    }

    mutating func start(_ slot: Int) {
        running.append(slot)
    }

    mutating func end(_ slot: Int) {
        running.removeAll { $0 == slot }
    }

    mutating func wait(_ slot: Int) {
        waiting.append(slot)
    }

    mutating func leaveQueue(at position: Int) -> Int {
        waiting.remove(at: position)
    }
}

extension ByteExtent {
    /// Whether the two have a byte in common.
    func overlaps(_ other: ByteExtent) -> Bool {
        length > 0 && other.length > 0 && offset < other.offset + other.length && other.offset < offset + length
    }
}
