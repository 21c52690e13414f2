internal import Synchronization
public import SystemPackage

/// One thread that serves a number of logical units, each of them alone.
///
/// Everyone else leaves a note: backends push completions into the inbox, the control plane calls
/// ``perform(_:)``. Either wakes the loop only if it is parked.
public final class EngineLoop: Sendable {
    /// Milliseconds between two looks for commands that take too long, by ``ServiceableUnit/checkDeadlines(now:)``.
    public static let deadlineTick: Int64 = 250

    /// A piece of work for the loop's thread.
    typealias Note = @Sendable (inout LoopState) -> Void

    let inbox: CompletionInbox
    private let wake: WakeDescriptor
    private let notes = Mutex<[Note]>([])
    /// True while the note node is in the inbox; a node may be in there once.
    private let noteQueued = Atomic<Bool>(false)
    private let noteNode: NoteNode
    private let unitCount = Atomic<Int>(0)

    /// Starts the loop's thread.
    ///
    /// - Parameters:
    ///   - name: of the thread, at most 15 bytes.
    ///   - cpu: the CPU that the thread stays on; nil leaves it to the scheduler, and so does one that it may not use.
    /// - Throws: EMFILE, ENFILE, ENOMEM, or EAGAIN when no thread can be had.
    public static func start(name: String, cpu: Int? = nil) throws(Errno) -> EngineLoop {
        let loop = EngineLoop(wake: try WakeDescriptor())
        var state = LoopState(inbox: loop.inbox, wake: loop.wake, poller: try Poller())
        try state.watchWake()
        let box = StateBox(state)
        let thread = OwnedThread(name: name, cpu: cpu) {
            var state = box.take()
            state.becomeOwner()
            while !state.turn(notes: { loop.takeNotes() }) {}
            state.finish()
        }
        guard let thread else { throw .resourceTemporarilyUnavailable }
        thread.detach()
        return loop
    }

    private init(wake: consuming WakeDescriptor) {
        let wake = wake
        inbox = CompletionInbox(wakeDescriptor: wake.descriptor)
        noteNode = NoteNode(inbox: inbox)
        self.wake = wake
    }

    /// Units attached now.
    public var attachedUnits: Int { unitCount.load(ordering: .relaxed) }

    /// Hands a unit over to the loop and waits until it is served.
    ///
    /// - Throws: ENOSPC, ENOMEM or EPERM from epoll; the unit is then not attached.
    public func attach(_ unit: any ServiceableUnit) async throws(Errno) {
        unitCount.add(1, ordering: .relaxed)
        let failure = await perform { state in state.attach(unit) }
        if let failure {
            unitCount.subtract(1, ordering: .relaxed)
            throw failure
        }
    }

    /// Takes a unit off the loop. It has no command in flight; from here on its caller owns it.
    public func detach(_ unit: any ServiceableUnit) async {
        if await perform({ state in state.detach(unit) }) { unitCount.subtract(1, ordering: .relaxed) }
    }

    /// Stops or resumes watching a unit's ring, as its ring is given up or replaced.
    public func watchRing(of unit: any ServiceableUnit, _ on: Bool) async throws(Errno) {
        if let failure = await perform({ state in state.watchRing(of: unit, on) }) { throw failure }
    }

    /// Runs `body` on the loop's thread between two turns, and gives `unit` a turn after it.
    ///
    /// - Returns: nil, without having run `body`, if the unit is not attached here (any longer): it then belongs to
    ///   somebody else.
    public func run<Result: Sendable>(
        _ unit: any ServiceableUnit, _ body: @escaping @Sendable () -> Result
    ) async -> Result? {
        await perform { state in state.markReady(unit) ? body() : nil }
    }

    /// As ``run(_:_:)`` for callers that do not wait, from any thread.
    public func post(_ unit: any ServiceableUnit, _ body: @escaping @Sendable () -> Void) {
        leave { state in
            if state.markReady(unit) { body() }
        }
    }

    /// As ``post(_:_:)``, and `otherwise` instead of `body` if the unit is not attached here: exactly one of the two
    /// runs, on the loop's thread.
    public func ask(
        _ unit: any ServiceableUnit, _ body: @escaping @Sendable () -> Void,
        otherwise: @escaping @Sendable () -> Void
    ) {
        leave { state in
            if state.markReady(unit) { body() } else { otherwise() }
        }
    }

    /// Ends the loop's thread. No unit is attached any longer.
    public func stop() async {
        await perform { state in state.isStopping = true }
    }

    // MARK: - Notes

    private func perform<Result: Sendable>(
        _ body: @escaping @Sendable (inout LoopState) -> Result
    ) async -> Result {
        await withCheckedContinuation { continuation in
            leave { state in continuation.resume(returning: body(&state)) }
        }
    }

    private func leave(_ note: @escaping Note) {
        notes.withLock { $0.append(note) }
        // Ordering: the note is in the list before the flag is set; the loop clears the flag before it takes
        // the list, so a note is never left behind with its flag down.
        if !noteQueued.exchange(true, ordering: .acquiringAndReleasing) { inbox.push(noteNode.pointer) }
    }

    private func takeNotes() -> [Note] {
        noteQueued.store(false, ordering: .sequentiallyConsistent)
        return notes.withLock { list in
            let taken = list
            list = []
            return taken
        }
    }
}

/// The eventfd of a loop, shared between its thread and those who wake it.
final class WakeDescriptor: @unchecked Sendable {
    // SAFETY: an immutable descriptor number; eventfd reads and writes are atomic.
    private let signal: WakeSignal

    init() throws(Errno) {
        signal = try WakeSignal()
    }

    var descriptor: CInt { signal.descriptor }

    func clear() {
        signal.clear()
    }
}

/// Carries the loop's state into the thread that will own it.
private final class StateBox: @unchecked Sendable {
    // SAFETY: written before the thread starts, taken once by it.
    private var state: LoopState?

    init(_ state: consuming LoopState) {
        self.state = consume state
    }

    func take() -> LoopState {
        guard let state = state.take() else { preconditionFailure("a loop's state is taken once") }
        return state
    }
}

/// The inbox node that says "there are notes"; its unit number is nobody's.
private final class NoteNode: @unchecked Sendable {
    // SAFETY: only pushed and taken by the inbox; never freed while the loop lives.
    let pointer: UnsafeMutablePointer<CompletionNode>

    init(inbox: CompletionInbox) {
        pointer = .allocate(capacity: 1)
        pointer.initialize(to: CompletionNode(unit: LoopState.nobody, slot: 0, inbox: inbox))
    }
}
