internal import Glibc
internal import Synchronization

/// Where a backend's threads leave finished commands for the loop that owns the unit.
///
/// Many producers, one consumer. A node is pushed on an intrusive stack with one compare-exchange; the consumer
/// takes the whole stack with one exchange. The producer makes a system call only if the consumer is parked.
///
/// The value is a plain pointer to storage that the loop owns, so that a C callback can hold it without
/// reference counting. It must not be used after the loop has ended; units are detached before that.
public struct CompletionInbox: @unchecked Sendable {
    // SAFETY: the core is only reached through atomics; its storage outlives every unit of the loop.
    private let core: UnsafeMutablePointer<Core>

    private struct Core: ~Copyable {
        let top = Atomic<UInt>(0)
        let parked = Atomic<Bool>(false)
        let wake: CInt
    }

    /// Makes an inbox whose owner sleeps on `wakeDescriptor`, an eventfd that outlives the inbox.
    public init(wakeDescriptor: CInt) {
        core = .allocate(capacity: 1)
        core.initialize(to: Core(wake: wakeDescriptor))
    }

    /// Frees the storage. Only after the last producer is gone.
    public func destroy() {
        core.deinitialize(count: 1)
        core.deallocate()
    }

    /// Leaves `node` for the owner and wakes it if it sleeps. Callable from any thread.
    @inlinable
    public func push(_ node: UnsafeMutablePointer<CompletionNode>) {
        link(node)
        wakeOwner()
    }

    /// Leaves `node` for the owner without waking it; somebody pushes another one soon.
    @inlinable
    public func leave(_ node: UnsafeMutablePointer<CompletionNode>) {
        link(node)
    }

    @usableFromInline
    func link(_ node: UnsafeMutablePointer<CompletionNode>) {
        let address = UInt(bitPattern: node)
        var top = core.pointee.top.load(ordering: .relaxed)
        while true {
            node.pointee.next.store(top, ordering: .relaxed)
            // Ordering: sequentially consistent, because wakeOwner loads `parked` after this store and park()
            // does the two the other way round; anything weaker loses a wake-up. It also releases the result.
            let outcome = core.pointee.top.compareExchange(
                expected: top, desired: address, ordering: .sequentiallyConsistent)
            if outcome.exchanged { return }
            top = outcome.original
        }
    }

    /// Wakes the owner if it is parked, at most one system call per sleep however many producers see it.
    public func wakeOwner() {
        if core.pointee.parked.load(ordering: .sequentiallyConsistent),
            core.pointee.parked.exchange(false, ordering: .sequentiallyConsistent)
        {
            WakeSignal.raise(core.pointee.wake)
        }
    }

    /// Owner only: whether nothing has been left, as far as a look without ordering can tell.
    public var isEmpty: Bool { core.pointee.top.load(ordering: .relaxed) == 0 }

    /// Owner only: takes everything left so far, oldest first; nil when there is nothing.
    public func takeAll() -> UnsafeMutablePointer<CompletionNode>? {
        // A look before the exchange keeps the cache line shared while nothing arrives.
        if core.pointee.top.load(ordering: .relaxed) == 0 { return nil }
        // Ordering: acquire pairs with the producers' pushes, so every node's result is visible.
        var rest = core.pointee.top.exchange(0, ordering: .acquiring)
        var oldest: UInt = 0
        while let node = UnsafeMutablePointer<CompletionNode>(bitPattern: rest) {
            rest = node.pointee.next.load(ordering: .relaxed)
            node.pointee.next.store(oldest, ordering: .relaxed)
            oldest = UInt(bitPattern: node)
        }
        return UnsafeMutablePointer(bitPattern: oldest)
    }

    /// Owner only, before it sleeps: announces the sleep.
    ///
    /// - Returns: false when something arrived meanwhile; then the owner is not parked and must not sleep.
    public func park() -> Bool {
        core.pointee.parked.store(true, ordering: .sequentiallyConsistent)
        if core.pointee.top.load(ordering: .sequentiallyConsistent) != 0 {
            core.pointee.parked.store(false, ordering: .sequentiallyConsistent)
            return false
        }
        return true
    }

    /// Owner only, after its sleep.
    public func unpark() {
        core.pointee.parked.store(false, ordering: .relaxed)
    }
}

/// One command's place for a backend's answer; lives in the unit's slot table, at one address for the unit's life.
public struct CompletionNode: ~Copyable {
    /// Address of the next node while in an inbox or in a taken chain, else 0.
    let next = Atomic<UInt>(0)
    /// Index of the unit in its loop.
    public let unit: UInt32
    /// Index of the command's slot in its unit.
    public let slot: UInt32
    /// The owner's inbox.
    public let inbox: CompletionInbox
    /// 0 or a negative errno, written before the push.
    public var result: Int32 = 0
    /// Second result; for a miscompare the byte offset of the first difference.
    public var detail: UInt64 = 0

    /// A node for slot `slot` of unit `unit`, answered through `inbox`.
    public init(unit: UInt32, slot: UInt32, inbox: CompletionInbox) {
        self.unit = unit
        self.slot = slot
        self.inbox = inbox
    }

    /// Owner only: the node after this one in a chain that ``CompletionInbox/takeAll()`` returned.
    public var following: UnsafeMutablePointer<CompletionNode>? {
        UnsafeMutablePointer(bitPattern: next.load(ordering: .relaxed))
    }
}
