/// A unit's question to configfs. A reading that begins after it was asked answers it and all before it.
public struct FactsRequest: Sendable, Equatable, BitwiseCopyable {
    /// Counts the unit's questions from 1; 0 is a reading that no command asked for.
    public var number: UInt64
    /// Whether somebody has to know whom LIO excludes (``BackstoreFacts/exclusion``), which is dear to find out.
    public var wantsExclusion: Bool

    public init(number: UInt64, wantsExclusion: Bool) {
        self.number = number
        self.wantsExclusion = wantsExclusion
    }

    /// One reading that answers both.
    public func joined(_ other: FactsRequest) -> FactsRequest {
        FactsRequest(
            number: max(number, other.number), wantsExclusion: wantsExclusion || other.wantsExclusion)
    }
}

/// Commands that wait for a reading of configfs that began after they arrived.
///
/// Those that come while a reading is under way wait for the next one, together: there is one reading at a time, and
/// however many commands come, each waits for two at the most.
struct FactsQueue {
    /// A command, and the question whose answer it takes.
    private struct Waiting {
        let slot: Int
        let number: UInt64
        let wantsExclusion: Bool
    }

    private var waiting: [Waiting] = []
    /// The newest question asked, and the newest one answered.
    private var asked: UInt64 = 0
    private var answered: UInt64 = 0
    /// Coarse milliseconds at which the newest one was asked.
    private var askedAt = Int64.min
    /// Milliseconds after which an answer is no longer waited for.
    private let patience: Int64

    var isEmpty: Bool { waiting.isEmpty }

    init(patience: Int64) {
        self.patience = patience
        // First insertions allocate; they belong to open, not to a command.
        waiting.reserveCapacity(16)
    }

    /// Lets a command wait. Returns the question to ask now; nil while one is under way.
    mutating func add(_ slot: Int, wantsExclusion: Bool, now: Int64) -> FactsRequest? {
        waiting.append(Waiting(slot: slot, number: asked + 1, wantsExclusion: wantsExclusion))
        // Bound: an answer that does not come may have been lost, and keeps no later command from asking.
        guard answered == asked || now &- askedAt > patience else { return nil }
        return ask(now)
    }

    /// A reading has ended. Returns the commands that it answers, oldest first, and the question to ask next.
    mutating func take(_ number: UInt64, now: Int64) -> (ready: [Int], next: FactsRequest?) {
        let ready = waiting.filter { $0.number <= number }.map(\.slot)
        waiting.removeAll { $0.number <= number }
        answered = max(answered, min(number, asked))
        return (ready, answered == asked && !waiting.isEmpty ? ask(now) : nil)
    }

    /// Takes out the commands for which `isOver`.
    mutating func expire(_ isOver: (Int) -> Bool) -> [Int] {
        let over = waiting.map(\.slot).filter(isOver)
        if !over.isEmpty { waiting.removeAll { over.contains($0.slot) } }
        return over
    }

    private mutating func ask(_ now: Int64) -> FactsRequest {
        asked += 1
        askedAt = now
        return FactsRequest(number: asked, wantsExclusion: waiting.contains(where: \.wantsExclusion))
    }
}
