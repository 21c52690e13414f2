/// A logical unit as its loop sees it: the one place where backends of all kinds look alike.
///
/// The loop makes one call per wake-up and unit, not per command; behind it the unit is specialised for its
/// backend. All members but `name` are for the loop's thread alone.
public protocol ServiceableUnit: AnyObject, Sendable {
    /// `<subtype>/<device>`, for the log.
    var name: String { get }

    /// Polls readable when the kernel has put something into the ring; -1 while the unit has no ring.
    var ringDescriptor: CInt { get }

    /// Polls readable when the backend has answers; -1 if they come through the inbox alone.
    var backendDescriptor: CInt { get }

    /// Tells the unit its number in the loop and where its backend's answers go. Once, before all else.
    ///
    /// - Returns: false when address space for the unit's commands is short.
    func attach(index: UInt32, inbox: CompletionInbox) -> Bool

    /// The kernel signalled the ring, or, with `failed`, that its side is gone (uio_poll after the device went).
    func ringSignalled(failed: Bool)

    /// Takes the answers at the head of a chain that belong to this unit. Returns the rest of the chain.
    ///
    /// - Parameter now: coarse milliseconds, read once per pass of the loop.
    func takeCompletions(
        _ chain: UnsafeMutablePointer<CompletionNode>, now: Int64
    ) -> UnsafeMutablePointer<CompletionNode>?

    /// One turn: takes commands, submits, collects, publishes, rings. Returns what comes next.
    ///
    /// - Parameter now: coarse milliseconds, read once per pass of the loop.
    func service(now: Int64) -> ServiceResult

    /// Whether a turn would find something, by a look at memory alone.
    var hasWork: Bool { get }

    /// For how long a loop may watch for this unit's work before it sleeps, in nanoseconds; 0 is not at all.
    var spinLimit: Int64 { get }

    /// True while commands are in flight for which a time limit or a wait for identity runs.
    var watchesDeadlines: Bool { get }

    /// Looks for commands that take too long.
    ///
    /// - Parameter now: coarse milliseconds.
    func checkDeadlines(now: Int64)
}

/// What a unit's turn left.
public enum ServiceResult: Sendable {
    /// Nothing to do before the next event.
    case idle
    /// More waits; another turn is due.
    case again
    /// The kernel's side of the ring is gone or impossible: the descriptor is not to be watched any longer.
    case ringLost
}
