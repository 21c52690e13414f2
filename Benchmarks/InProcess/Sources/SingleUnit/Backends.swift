internal import BlockBackend

/// A backend that moves no data and answers at once: what is left is the daemon's own work.
struct InstantBackend: BlockBackend, ~Copyable {
    /// Size of both backends in bytes.
    static let bytes: UInt64 = 1 << 30

    var capabilities: BackendCapabilities { BackendCapabilities() }
    var size: UInt64 { Self.bytes }

    mutating func read(_ extent: ByteExtent, into segments: SegmentList, ticket: IOTicket) -> Submission {
        .done(.success)
    }

    mutating func write(
        _ extent: ByteExtent, from segments: SegmentList, durable: Bool, ticket: IOTicket
    ) -> Submission { .done(.success) }

    mutating func flush(ticket: IOTicket) -> Submission { .done(.success) }

    mutating func close() {}
}

/// The tickets that a ``HoldingBackend`` has not answered, in a fixed array: taking one in allocates nothing.
struct HeldTickets {
    private let places: UnsafeMutablePointer<IOTicket>
    private let count: UnsafeMutablePointer<Int>

    /// Bound: tickets out at once.
    static let capacity = 4096

    init() {
        places = .allocate(capacity: Self.capacity)
        count = .allocate(capacity: 1)
        count.initialize(to: 0)
    }

    @inline(__always)
    func hold(_ ticket: IOTicket) {
        precondition(count.pointee < Self.capacity, "more commands are held than there is room for")
        (places + count.pointee).initialize(to: ticket)
        count.pointee += 1
    }

    func answerAll() {
        for place in 0..<count.pointee { places[place].post(.success) }
        count.pointee = 0
    }

    func free() {
        places.deallocate()
        count.deallocate()
    }
}

/// A backend whose answers come later and through the inbox, as librbd's do.
struct HoldingBackend: BlockBackend, ~Copyable, @unchecked Sendable {
    // SAFETY: backend and tickets are used by one thread.
    private let held: HeldTickets

    init(_ held: HeldTickets) {
        self.held = held
    }

    var capabilities: BackendCapabilities { BackendCapabilities() }
    var size: UInt64 { InstantBackend.bytes }

    mutating func read(_ extent: ByteExtent, into segments: SegmentList, ticket: IOTicket) -> Submission {
        hold(ticket)
    }

    mutating func write(
        _ extent: ByteExtent, from segments: SegmentList, durable: Bool, ticket: IOTicket
    ) -> Submission { hold(ticket) }

    mutating func flush(ticket: IOTicket) -> Submission { hold(ticket) }

    mutating func close() {
        held.free()
    }

    private func hold(_ ticket: IOTicket) -> Submission {
        held.hold(ticket)
        return .pending
    }
}
