/// The life of one device, as a machine without threads: events in, one action out; whoever calls performs it.
///
///     opening ──opened──▶ serving ──ringLost──▶ recovering ──recovered──▶ serving
///        │ │ ▲               │                      │
///        │ │ └─retryDue─ waiting ◀─openFailed─┘ (existing devices only)
///        │ └──deadline──▶ overdue ──opened──▶ gone (closed again: the kernel was told ETIMEDOUT)
///        └──removed──▶ abandoned ──opened──▶ gone
///
/// A device leaves by `removed` from any state; the kernel is always answered within a bounded time, whatever the
/// backend does.
struct DeviceLife: Equatable {
    /// Where a device stands.
    enum State: Equatable {
        /// Its backend is being opened.
        case opening
        /// As before, but the kernel has been told ETIMEDOUT.
        case overdue
        /// Being opened or recovered, but the device has been removed: closed when that ends.
        case abandoned
        /// A device of an earlier daemon whose backend could not be opened: tried again later, blocked until then.
        case waiting
        /// At work.
        case serving
        /// Its ring is being replaced.
        case recovering
        /// Being drained and closed.
        case closing
        /// No more.
        case gone
    }

    /// How the device came to us.
    enum Origin: Equatable {
        /// The kernel announced it and waits for an answer.
        case added
        /// It was there when the daemon started, or another daemon has served it since it was announced; no process waits, and it
        /// stays configured whatever happens.
        case existing
    }

    /// What to do next.
    enum Action: Equatable {
        case none
        /// Hand the opened unit to a loop, and tell the kernel that all is well if it waits.
        case serve
        /// The same, and then replace its ring at once.
        case serveAndRecover
        /// Close the opened unit again; nobody wants it.
        case discard
        /// Tell the kernel why it cannot be opened, and forget the device.
        case refuse
        /// Try to open again after a while.
        case retry
        /// Tell the kernel ETIMEDOUT; the open goes on, to be discarded.
        case timeOut
        /// Drain, take off the loop, answer, close.
        case drain
        /// Answer at once: there is nothing to drain.
        case answer
        /// Block, drain, reset the ring, attach anew, unblock.
        case recover
        /// Start opening.
        case open
    }

    private(set) var origin: Origin
    private(set) var state = State.opening
    /// The ring broke between being attached and the word that it is at work.
    private var lostEarly = false

    init(origin: Origin) {
        self.origin = origin
    }

    /// Another daemon has answered for the device since it was announced: no process waits for it, and its ring may hold commands
    /// that were begun.
    mutating func servedBefore() {
        if state == .opening { origin = .existing }
    }

    /// The backend is open and the ring mapped.
    mutating func opened() -> Action {
        switch state {
        case .opening:
            defer { lostEarly = false }
            state = lostEarly ? .recovering : .serving
            return lostEarly ? .serveAndRecover : .serve
        case .overdue, .abandoned, .closing:
            state = .closing
            return .discard
        case .waiting, .serving, .recovering, .gone: return .discard
        }
    }

    /// The backend, or the ring, could not be opened.
    mutating func openFailed() -> Action {
        switch state {
        case .opening where origin == .existing:
            state = .waiting
            return .retry
        case .opening:
            state = .gone
            return .refuse
        case .overdue, .abandoned, .closing:
            state = .gone
            return .none
        case .waiting, .serving, .recovering, .gone: return .none
        }
    }

    /// The time for the kernel's answer is up.
    mutating func deadlinePassed() -> Action {
        guard state == .opening, origin == .added else { return .none }
        state = .overdue
        return .timeOut
    }

    /// The time between two attempts is over.
    mutating func retryDue() -> Action {
        guard state == .waiting else { return .none }
        state = .opening
        return .open
    }

    /// The kernel removes the device.
    mutating func removed() -> Action {
        switch state {
        case .serving:
            state = .closing
            return .drain
        case .opening, .overdue, .recovering:
            // A recovery may be inside configfs, which the removal holds locked until it is answered.
            state = .abandoned
            return .answer
        case .waiting:
            state = .gone
            return .answer
        case .abandoned, .closing, .gone: return .answer
        }
    }

    /// The ring became impossible.
    mutating func ringLost() -> Action {
        if state == .opening || state == .recovering { lostEarly = true }
        guard state == .serving else { return .none }
        state = .recovering
        return .recover
    }

    /// A new ring is attached.
    ///
    /// - Returns: `.serve`; `.recover` if that one has broken already; `.none` if the device was removed meanwhile.
    mutating func recovered() -> Action {
        guard state == .recovering else { return .none }
        defer { lostEarly = false }
        if lostEarly { return .recover }
        state = .serving
        return .serve
    }

    /// True from the word that it has to go until everything of it is closed.
    var isEnding: Bool { [.overdue, .abandoned, .closing].contains(state) }

    /// Everything of the device is closed.
    mutating func closed() {
        state = .gone
    }
}
