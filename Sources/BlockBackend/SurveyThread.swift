internal import Glibc
internal import Reactor
internal import Synchronization

/// Answers a unit's surveys on a thread that lives while there are any, one survey after the other.
///
/// For backends whose answers take blocking calls. There is at most one thread per unit, so that a unit which is
/// asked for ever cannot take the machine's threads.
public final class SurveyThread: Sendable {
    /// Bound: surveys waiting for their turn; one more is answered EAGAIN, which the initiator sees as BUSY.
    public static let maximumWaiting = 32

    private struct Job: Sendable {
        let survey: Survey
        let ticket: IOTicket
    }

    private struct State {
        var waiting: [Job] = []
        /// Tickets that are out.
        var inFlight = 0
        /// True until the thread has seen that nothing waits.
        var isRunning = false
        /// The thread started last.
        var thread: OwnedThread?
    }

    private let state = Mutex(State())
    private let answer: @Sendable (Survey) -> IOResult

    /// A thread not started yet.
    ///
    /// - Parameter answer: fills in a survey's answer; may block. What it uses must stay valid until ``finish()``.
    public init(answer: @escaping @Sendable (Survey) -> IOResult) {
        self.answer = answer
    }

    deinit {
        state.withLock { $0.thread?.detach() }
    }

    /// Takes a survey on: its ticket is posted from the thread. `.done` with EAGAIN where no thread can be had or
    /// too many surveys wait already.
    public func submit(_ survey: Survey, ticket: IOTicket) -> Submission {
        state.withLock { state in
            guard state.waiting.count < SurveyThread.maximumWaiting else { return .done(IOResult(code: -EAGAIN)) }
            if !state.isRunning {
                // The thread before may not have ended yet, though all it has left to do is to return. Its
                // successor waits for it: a loop thread must not.
                let before = state.thread
                let thread = OwnedThread(name: "tcmud-survey") { [self] in
                    before?.join()
                    run()
                }
                guard let thread else { return .done(IOResult(code: -EAGAIN)) }
                state.thread = thread
                state.isRunning = true
            }
            state.waiting.append(Job(survey: survey, ticket: ticket))
            state.inFlight += 1
            return .pending
        }
    }

    /// Waits until the thread has ended; no ticket may be out. Afterwards nothing uses what the answers needed,
    /// nor the inbox they were posted to.
    public func finish() {
        let thread = state.withLock { state in
            precondition(state.inFlight == 0, "close with \(state.inFlight) surveys in flight")
            defer { state.thread = nil }
            return state.thread
        }
        thread?.join()
    }

    /// Waits until every survey submitted so far is answered; none may follow. For an owner who leaves this thread for
    /// another one while tickets are out.
    public func join() {
        let thread = state.withLock { state in
            defer { state.thread = nil }
            return state.thread
        }
        thread?.join()
    }

    private func run() {
        while let job = next() {
            let result = answer(job.survey)
            // Ordering: counted before the ticket is posted, since its receiver may close at once.
            state.withLock { $0.inFlight -= 1 }
            job.ticket.post(result)
        }
    }

    private func next() -> Job? {
        state.withLock { state in
            guard !state.waiting.isEmpty else {
                state.isRunning = false
                return nil
            }
            return state.waiting.removeFirst()
        }
    }
}
