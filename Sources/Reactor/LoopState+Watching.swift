// What a loop does between having nothing to do and sleeping: it looks at the memory where work would show. A look
// costs nothing to speak of and saves the system call that would say the same; watching for a while saves the sleep.
extension LoopState {
    /// Looks for work once, and then, where units allow it, for as long as it is likely to come.
    ///
    /// - Returns: true if there is some; the units that have it are due.
    mutating func watch() -> Bool {
        if look() { return true }
        guard spinLimit > 0 else { return false }
        idleSince = FineClock.nanoseconds
        let budget = spin.budget(at: idleSince, limit: spinLimit)
        var last = idleSince
        while last - idleSince < budget {
            for _ in 0..<LoopState.looksPerClock {
                FineClock.relax()
                if look() {
                    // Bound: other units wait for at most two such watches.
                    passesSincePoll += LoopState.passesPerPoll / 2
                    spin.caught()
                    return true
                }
            }
            let now = FineClock.nanoseconds
            if SpinControl.wasPreempted(between: last, and: now) {
                spin.preempted(at: now)
                return look()
            }
            last = now
        }
        return false
    }

    /// One look at the inbox and at the rings of units that were busy a moment ago.
    private mutating func look() -> Bool {
        var found = !inbox.isEmpty
        for position in 0..<hot.count {
            let seat = Int(hot[position])
            if let unit = units[seat].unit, unit.hasWork {
                markDue(seat)
                found = true
            }
        }
        return found
    }

    /// The loop has slept: tells the spin control how long work took to come, and forgets who was busy before.
    mutating func slept() {
        // The event of a command that was found by watching is still in the poller and ends the next sleep at once.
        if spinLimit > 0 && hasWorkAtHand {
            spin.workCame(after: FineClock.nanoseconds - idleSince, limit: spinLimit)
        }
        for position in 0..<hot.count { units[Int(hot[position])].isHot = false }
        hot.removeAll(keepingCapacity: true)
        spinLimit = 0
    }

    private var hasWorkAtHand: Bool {
        if !inbox.isEmpty { return true }
        for position in 0..<due.count where units[Int(due[position])].unit?.hasWork ?? false { return true }
        return false
    }

    /// The unit has had a turn: more may come soon.
    mutating func heat(_ seat: Int, limit: Int64) {
        if units[seat].isHot || hot.count >= LoopState.hotUnits { return }
        units[seat].isHot = true
        hot.append(UInt32(truncatingIfNeeded: seat))
        spinLimit = max(spinLimit, limit)
    }
}
