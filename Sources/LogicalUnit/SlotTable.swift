internal import BlockBackend
internal import Glibc
internal import Reactor

/// The commands of one unit: a fixed slab of slots, each with room for its iovecs.
///
/// Slots are initialised when first used and reused last-in first-out, so that a unit that never has more than 32
/// commands in flight touches the memory of 32 slots only.
struct SlotTable: ~Copyable {
    private let slots: UnsafeMutablePointer<CommandSlot>
    private let segmentSlab: UnsafeMutablePointer<iovec>
    let capacity: Int
    private let unit: UInt32
    private let inbox: CompletionInbox
    /// Slots below this index are initialised.
    private(set) var initialised = 0
    private var firstFree: Int32 = -1
    private(set) var inUse = 0

    /// Iovecs per slot: a whole data buffer, and one for memory of the unit's own.
    private static let segmentRoom = Limits.segments + 1

    /// Bytes of address space for all iovecs; only pages in use take memory.
    private static func slabBytes(_ capacity: Int) -> Int {
        capacity * segmentRoom * MemoryLayout<iovec>.stride
    }

    /// A table for unit number `unit` of the loop whose inbox is `inbox`; nil if address space is short.
    init?(capacity: Int, unit: UInt32, inbox: CompletionInbox) {
        let slab = mmap(
            nil, SlotTable.slabBytes(capacity), PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let slab, slab != MAP_FAILED else { return nil }
        self.capacity = capacity
        self.unit = unit
        self.inbox = inbox
        slots = .allocate(capacity: capacity)
        segmentSlab = slab.bindMemory(to: iovec.self, capacity: capacity * SlotTable.segmentRoom)
    }

    deinit {
        precondition(inUse == 0, "\(inUse) commands are in flight on a unit that ends")
        slots.deinitialize(count: initialised)
        slots.deallocate()
        munmap(segmentSlab, SlotTable.slabBytes(capacity))
    }

    /// Takes a free slot; nil when all are in use.
    @inline(__always)
    mutating func acquire() -> PendingCommand? {
        let index: Int
        if firstFree >= 0 {
            index = Int(firstFree)
            firstFree = slots[index].nextFree
        } else {
            guard initialised < capacity else { return nil }
            index = initialise()
        }
        inUse += 1
        slots[index].state = .held
        return PendingCommand(slot: index)
    }

    /// Makes one more slot. Not inlined: it is large, and done once for each.
    @inline(never)
    private mutating func initialise() -> Int {
        let index = initialised
        let node = CompletionNode(unit: unit, slot: UInt32(index), inbox: inbox)
        (slots + index).initialize(to: CommandSlot(node: node))
        initialised += 1
        return index
    }

    /// Frees the slot of an answered command.
    mutating func release(_ command: consuming PendingCommand) {
        let index = command.relinquish()
        slots[index].state = .free
        slots[index].nextFree = firstFree
        firstFree = Int32(truncatingIfNeeded: index)
        inUse -= 1
    }

    /// Lays a command aside until `resume`.
    mutating func park(_ command: consuming PendingCommand, as state: SlotState) {
        let index = command.relinquish()
        slots[index].state = state
    }

    /// Takes a parked command up again. It must be in the state it was parked in: an answer that comes twice, or
    /// for a slot without a command, stops here.
    mutating func resume(_ index: Int, from state: SlotState) -> PendingCommand {
        precondition(index < initialised, "slot \(index) is resumed, which was never used")
        precondition(
            slots[index].state == state,
            "slot \(index) is resumed in state \(slots[index].state), expected \(state)")
        slots[index].state = .held
        return PendingCommand(slot: index)
    }

    /// The slot's record, at its fixed address.
    @inline(__always)
    subscript(index: Int) -> UnsafeMutablePointer<CommandSlot> { slots + index }

    /// Where the slot's iovecs are: room for `Limits.segments`.
    @inline(__always)
    func iovecs(_ index: Int) -> UnsafeMutablePointer<iovec> { segmentSlab + index * SlotTable.segmentRoom }

    /// One iovec behind the slot's data buffer, for memory of the unit's own, set to `bytes`.
    func spare(_ index: Int, _ bytes: UnsafeMutableRawBufferPointer) -> SegmentList {
        let spare = iovecs(index) + Limits.segments
        spare.pointee = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
        return SegmentList(base: spare, count: 1)
    }

    /// The slot's data buffer.
    @inline(__always)
    func segments(_ index: Int) -> SegmentList {
        SegmentList(base: iovecs(index), count: slots[index].segmentCount)
    }

    /// The ticket for the slot's next backend operation.
    @inline(__always)
    func ticket(_ index: Int) -> IOTicket {
        // SAFETY: the node is a stored property of a slab element: one address for the table's life.
        withUnsafeMutablePointer(to: &slots[index].node) { IOTicket($0) }
    }

    /// Cuts the slot's data buffer down to its first `length` bytes.
    mutating func trim(_ index: Int, to length: UInt64) {
        let vectors = iovecs(index)
        var left = length
        var count = 0
        while count < slots[index].segmentCount && left > 0 {
            let piece = UInt64(vectors[count].iov_len)
            if piece >= left { vectors[count].iov_len = Int(left) }
            left -= min(piece, left)
            count += 1
        }
        slots[index].segmentCount = count
        slots[index].segmentBytes = length - left
    }
}
