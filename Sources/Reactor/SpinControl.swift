/// Decides for how long a loop that has nothing to do watches for work before it sleeps.
///
/// Waking a sleeping thread costs about 3 µs and delays a lone command by as much. A loop that watches memory for a few
/// microseconds instead catches a command that comes soon after the last one; what comes later only costs CPU. So the
/// budget follows what the last waits would have needed: it grows while work comes within ``maximum`` but after the
/// budget, and shrinks to nothing while work comes later. A loop that is pushed off its CPU while it watches has taken
/// that CPU from somebody, perhaps from the very threads it waits for, and stops watching for a while.
///
/// Times are nanoseconds. Pure: the caller reads the clock.
public struct SpinControl: Sendable, Equatable {
    /// The longest budget: 32 µs. Longer waits are not worth a CPU (QEMU's iothreads stop at the same length).
    public static let maximum: Int64 = 32_000
    /// What a budget that was nothing grows to first.
    static let first: Int64 = 4_000
    /// A gap between two looks at the clock beyond this is time on somebody else's behalf: interrupts are shorter.
    static let gap: Int64 = 50_000
    /// How long watching stops after the first such gap; doubled by each further one, up to `longestPause`.
    static let firstPause: Int64 = 10_000_000
    static let longestPause: Int64 = 1_000_000_000

    /// For how long to watch, if not paused.
    public private(set) var budget: Int64 = 0
    private var pause = SpinControl.firstPause
    private var pausedUntil = Int64.min

    /// Not watching yet.
    public init() {}

    /// The budget at time `now` for units that allow at most `limit`.
    public func budget(at now: Int64, limit: Int64) -> Int64 {
        now < pausedUntil ? 0 : min(budget, limit)
    }

    /// Work came after `wait`, by watching or by waking, for units that allow at most `limit`.
    public mutating func workCame(after wait: Int64, limit: Int64) {
        if wait <= budget { return }
        if wait > limit {
            budget = budget > Self.first / 4 ? budget / 2 : 0
        } else {
            budget = min(max(budget * 2, Self.first), min(limit, Self.maximum))
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
