/// Decides for how long a loop that has nothing to do watches for work before it sleeps.
///
/// Waking a sleeping thread costs 3 µs, in a virtual machine 10 to 30, and delays a lone command by as much. A loop that
/// watches memory for a few microseconds instead catches a command that comes soon after the last one; what comes later only
/// costs CPU. So the budget follows what the last waits would have needed: it grows while work seems to come within
/// ``maximum`` but after the budget, and shrinks to nothing while work comes later. How long a sleeper had to wait is known
/// only with its wake-up, so what seems to come a little late is given a try, and given up for a while if three tries in a row
/// catch nothing. A loop that is pushed off its CPU while it watches has taken that CPU from somebody, perhaps from the
/// very threads it waits for, and stops watching for a while.
///
/// Times are nanoseconds. Pure: the caller reads the clock.
public struct SpinControl: Sendable, Equatable {
    /// The longest budget: 32 µs. Longer waits are not worth a CPU (QEMU's iothreads stop at the same length).
    public static let maximum: Int64 = 32_000
    /// What a budget that was nothing grows to first.
    static let first: Int64 = 4_000
    /// Part of a sleeper's wait that may have been its wake-up.
    static let wakeUp: Int64 = 32_000
    /// Watches of the whole limit in a row that catch nothing, after which the work does come later.
    static let mostMisses = 3
    /// Waits without a further try after that; doubled each time, up to `mostRest`.
    static let firstRest = 64
    static let mostRest = 4096
    /// A gap between two looks at the clock beyond this is time on somebody else's behalf: interrupts are shorter.
    static let gap: Int64 = 50_000
    /// How long watching stops after the first such gap; doubled by each further one, up to `longestPause`.
    static let firstPause: Int64 = 10_000_000
    static let longestPause: Int64 = 1_000_000_000

    /// For how long to watch, if not paused.
    public private(set) var budget: Int64 = 0
    private var misses = 0
    private var rest = SpinControl.firstRest
    private var resting = 0
    private var pause = SpinControl.firstPause
    private var pausedUntil = Int64.min

    /// Not watching yet.
    public init() {}

    /// The budget at time `now` for units that allow at most `limit`.
    public func budget(at now: Int64, limit: Int64) -> Int64 {
        now < pausedUntil ? 0 : min(budget, limit)
    }

    /// Work came while the loop watched.
    public mutating func caught() {
        misses = 0
        rest = Self.firstRest
    }

    /// Work came after `wait`, by watching or by waking, for units that allow at most `limit`.
    public mutating func workCame(after wait: Int64, limit: Int64) {
        let longest = min(limit, Self.maximum)
        if wait <= budget {
            caught()
        } else if wait > longest + Self.wakeUp {
            misses = 0
            budget = budget > Self.first / 4 ? budget / 2 : 0
        } else if resting > 0 {
            resting -= 1
        } else if budget < longest {
            budget = min(max(budget * 2, Self.first), longest)
        } else {
            misses += 1
            guard misses >= Self.mostMisses else { return }
            (misses, budget, resting) = (0, 0, rest)
            rest = min(rest * 2, Self.mostRest)
        }
    }

    /// Whether the time between two looks at the clock says that the thread was off its CPU.
    public static func wasPreempted(between earlier: Int64, and later: Int64) -> Bool { later - earlier > gap }

    /// The thread was off its CPU while it watched, and came back at `now`.
    public mutating func preempted(at now: Int64) {
        // A quiet spell as long as the last pause means that the crowd has gone.
        if pausedUntil != .min && now - pausedUntil > Self.longestPause { pause = Self.firstPause }
        pausedUntil = now + pause
        pause = min(pause * 2, Self.longestPause)
    }
}
