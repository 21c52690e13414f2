internal import LogicalUnit

/// How many lines of each kind a unit may put into the log: initiators choose how often most of them are told.
///
/// A value without a clock: the caller says what time it is.
struct LogMeasure {
    /// Bound: lines of a kind in a window.
    static let linesInAWindow = 10
    /// How long a window is.
    static let window = Duration.seconds(60)

    private struct Window {
        let begin: ContinuousClock.Instant
        var lines = 0
        var missed = 0
    }

    private var windows: [UnitEvent.Line: Window] = [:]

    /// What is to be done with one more line.
    enum Verdict: Equatable {
        case log
        /// The first one of its window that is left out: ``close(_:)`` the window when it ends, and tell.
        case leaveOutFirst(until: ContinuousClock.Instant)
        case leaveOut
    }

    mutating func admit(_ line: UnitEvent.Line, at now: ContinuousClock.Instant) -> Verdict {
        var window = windows[line] ?? Window(begin: now)
        // One with lines left out is closed by who was told to, so that its count is not lost.
        if window.missed == 0, now - window.begin >= Self.window { window = Window(begin: now) }
        defer { windows[line] = window }
        guard window.lines >= Self.linesInAWindow else {
            window.lines += 1
            return .log
        }
        window.missed += 1
        return window.missed == 1 ? .leaveOutFirst(until: window.begin + Self.window) : .leaveOut
    }

    /// Counts lines that were left out before anybody asked.
    mutating func add(_ missed: Int, to line: UnitEvent.Line, at now: ContinuousClock.Instant) -> Verdict {
        var window = windows[line] ?? Window(begin: now)
        defer { windows[line] = window }
        let isFirst = window.missed == 0
        window.missed += missed
        return isFirst ? .leaveOutFirst(until: max(now, window.begin + Self.window)) : .leaveOut
    }

    /// Ends a kind's window. Returns how many lines it has not.
    mutating func close(_ line: UnitEvent.Line) -> Int {
        windows.removeValue(forKey: line)?.missed ?? 0
    }

    /// Ends all of them. Returns the kinds with lines left out, and how many.
    mutating func closeAll() -> [(line: UnitEvent.Line, missed: Int)] {
        UnitEvent.Line.allCases.compactMap { line in
            let missed = close(line)
            return missed > 0 ? (line, missed) : nil
        }
    }
}
