import Reactor
import Testing

@Suite("Spin control")
struct SpinControlTests {
    private let microsecond: Int64 = 1000
    private let limit: Int64 = 32_000

    @Test("work that comes a little too late makes the budget grow, up to the limit")
    func grows() {
        var control = SpinControl()
        #expect(control.budget == 0)
        var budgets: [Int64] = []
        for _ in 0..<5 {
            control.workCame(after: limit - 1, limit: limit)
            budgets.append(control.budget)
        }
        #expect(budgets == [4_000, 8_000, 16_000, 32_000, 32_000])
    }

    @Test("work that comes while the loop watches changes nothing")
    func keeps() {
        var control = grown()
        for wait: Int64 in [0, 1, 5_000, control.budget] { control.workCame(after: wait, limit: limit) }
        #expect(control.budget == 32_000)
    }

    @Test("work that comes later than watching is worth shrinks the budget to nothing")
    func shrinks() {
        var control = grown()
        var budgets: [Int64] = []
        for _ in 0..<7 {
            control.workCame(after: 1_000_000, limit: limit)
            budgets.append(control.budget)
        }
        #expect(budgets == [16_000, 8_000, 4_000, 2_000, 1_000, 0, 0])
    }

    @Test("a unit's own limit bounds growth and use", arguments: [0, 1_000, 8_000, 32_000] as [Int64])
    func limits(_ own: Int64) {
        var control = SpinControl()
        for _ in 0..<10 { control.workCame(after: own, limit: own) }
        #expect(control.budget <= own)
        #expect(grown().budget(at: 0, limit: own) == own)
    }

    @Test("work that comes in time, and is seen late because of a wake-up, is caught after four waits")
    func wakeUps() {
        var control = SpinControl()
        // 20 µs after the last answer, and 25 until a sleeper is awake.
        var caught = 0
        for _ in 0..<100 {
            let isCaught = control.budget >= 20_000
            control.workCame(after: isCaught ? 20_000 : 45_000, limit: limit)
            caught += isCaught ? 1 : 0
        }
        #expect(caught == 96)
    }

    @Test("work that comes a little later than watching is worth is tried ever more rarely")
    func misses() {
        var control = SpinControl()
        var watched = 0
        var tries: [Int] = []
        for _ in 0..<20_000 {
            if control.budget > 0 {
                watched += 1
            } else if watched > 0 {
                tries.append(watched)
                watched = 0
            }
            control.workCame(after: 40_000, limit: limit)
        }
        #expect(tries.allSatisfy { $0 <= 6 }, "\(tries)")
        #expect(tries.count <= 12 && tries.count > 2, "\(tries)")
    }

    @Test("no limit is beyond the longest budget")
    func bounded() {
        var control = SpinControl()
        for _ in 0..<4 { control.workCame(after: SpinControl.maximum + 1, limit: 1_000_000) }
        #expect(control.budget == SpinControl.maximum)
    }

    @Test("pushed off the CPU it pauses, each time for longer, and forgives after a quiet spell")
    func pauses() {
        var control = grown()
        let millisecond = 1000 * microsecond
        control.preempted(at: 0)
        #expect(control.budget(at: 9 * millisecond, limit: limit) == 0)
        #expect(control.budget(at: 10 * millisecond, limit: limit) == 32_000)
        control.preempted(at: 10 * millisecond)
        #expect(control.budget(at: 29 * millisecond, limit: limit) == 0)
        #expect(control.budget(at: 30 * millisecond, limit: limit) == 32_000)
        var now = 30 * millisecond
        for _ in 0..<12 {
            control.preempted(at: now)
            now += 1000 * millisecond
        }
        #expect(control.budget(at: now - 1, limit: limit) == 0, "the longest pause is a second")
        #expect(control.budget(at: now, limit: limit) == 32_000)
        now += 1001 * millisecond
        control.preempted(at: now)
        #expect(control.budget(at: now + 10 * millisecond, limit: limit) == 32_000, "forgiven")
    }

    @Test(
        "a gap in time is one beyond 50 microseconds",
        arguments: [(0, 50_000, false), (0, 50_001, true), (7, 8, false), (1_000_000, 1_900_000, true)])
    func gaps(earlier: Int64, later: Int64, was: Bool) {
        #expect(SpinControl.wasPreempted(between: earlier, and: later) == was)
    }

    private func grown() -> SpinControl {
        var control = SpinControl()
        for _ in 0..<5 { control.workCame(after: limit, limit: limit) }
        return control
    }
}
