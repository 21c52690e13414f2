internal import SystemPackage

/// What a loop's thread owns: its poller, its units, and who is due for a turn.
struct LoopState: ~Copyable {
    /// Unit number of the node that announces notes.
    static let nobody = UInt32.max

    let inbox: CompletionInbox
    private let wake: WakeDescriptor
    private var poller: Poller
    private var owner = OwnerCheck()
    var units: [Seat] = []
    /// Numbers of units that are due, each at most once.
    var due: [UInt32] = []
    private var dueNext: [UInt32] = []
    private var hasNotes = false
    /// A turn counts one, and one that had to be watched for more.
    var passesSincePoll = 0
    private var nextDeadlineCheck: Int64 = 0
    private var watchesDeadlines = false
    var isStopping = false
    /// Units that had a turn since the last sleep, where work is most likely to come next. Bound: `hotUnits`.
    var hot: [UInt32] = []
    var spin = SpinControl()
    /// How long the units in `hot` allow the loop to watch, in nanoseconds.
    var spinLimit: Int64 = 0
    /// When the loop last ran out of work; counted only while units allow it to watch.
    var idleSince: Int64 = 0

    /// Turns between two looks at the poller while there is always work. Bound: a unit that became ready waits
    /// for at most this many turns of the others.
    static let passesPerPoll = 8

    /// Units that are looked at before a sleep. Bound: a look costs a few nanoseconds for each.
    static let hotUnits = 8
    /// Looks at memory between two looks at the clock.
    static let looksPerClock = 16

    struct Seat {
        var unit: (any ServiceableUnit)?
        /// Counts the seat's owners, so that an event of the last one is not taken for the next one's.
        var generation: UInt32 = 0
        var isDue = false
        var ringWatched = false
        var isHot = false
    }

    private enum Source: UInt64 {
        case wake = 0
        case ring = 1
        case backend = 2
    }

    init(inbox: CompletionInbox, wake: WakeDescriptor, poller: consuming Poller) {
        self.inbox = inbox
        self.wake = wake
        self.poller = poller
    }

    /// Watches the loop's own eventfd. Before the first turn.
    mutating func watchWake() throws(Errno) {
        let token = LoopState.token(.wake, seat: 0, generation: 0)
        try poller.add(wake.descriptor, token: token, trigger: .level)
    }

    private static func token(_ source: Source, seat: Int, generation: UInt32) -> UInt64 {
        UInt64(generation) << 32 | UInt64(seat) << 2 | source.rawValue
    }

    /// Makes the calling thread the one that all later calls must come from.
    mutating func becomeOwner() {
        owner = OwnerCheck()
    }

    // MARK: - Turns

    /// One pass: completions, notes, each due unit's turn, and sleep if nothing is left.
    ///
    /// - Returns: true when the loop has been asked to stop.
    mutating func turn(notes: () -> [EngineLoop.Note]) -> Bool {
        let now = CoarseClock.milliseconds
        collectCompletions(now: now)
        if hasNotes {
            hasNotes = false
            for note in notes() { note(&self) }
            if isStopping { return true }
        }
        // Before new commands are taken: what was given up while the loop did not run must not be overtaken by them.
        if now >= nextDeadlineCheck { checkDeadlines(now: now) }
        serviceDue(now: now)
        poll()
        return false
    }

    private mutating func collectCompletions(now: Int64) {
        var chain = inbox.takeAll()
        while let node = chain {
            if node.pointee.unit == LoopState.nobody {
                hasNotes = true
                chain = node.pointee.following
                continue
            }
            let seat = Int(node.pointee.unit)
            guard let unit = units[seat].unit else { preconditionFailure("an answer for a unit that has left") }
            chain = unit.takeCompletions(node, now: now)
            markDue(seat)
        }
    }

    private mutating func serviceDue(now: Int64) {
        swap(&due, &dueNext)
        // By position: an unoptimised build allocates for each step of an array's iterator.
        for position in 0..<dueNext.count {
            let seat = Int(dueNext[position])
            units[seat].isDue = false
            guard let unit = units[seat].unit else { continue }
            switch unit.service(now: now) {
            case .idle: break
            case .again: markDue(seat)
            case .ringLost: unwatchRing(seat)
            }
            if unit.watchesDeadlines { watchesDeadlines = true }
            heat(seat, limit: unit.spinLimit)
        }
        dueNext.removeAll(keepingCapacity: true)
    }

    private mutating func poll() {
        passesSincePoll += 1
        if !due.isEmpty || hasNotes {
            if passesSincePoll >= LoopState.passesPerPoll { takeEvents(waiting: 0) }
            return
        }
        // More units are busy than are looked at: of the others only the poller knows.
        if hot.count == LoopState.hotUnits {
            takeEvents(waiting: 0)
            if !due.isEmpty { return }
        }
        if watch() {
            if passesSincePoll >= LoopState.passesPerPoll { takeEvents(waiting: 0) }
            return
        }
        guard inbox.park() else { return }
        takeEvents(waiting: watchesDeadlines ? Int32(EngineLoop.deadlineTick) : -1)
        inbox.unpark()
        slept()
    }

    private mutating func takeEvents(waiting milliseconds: Int32) {
        passesSincePoll = 0
        let count = poller.wait(milliseconds: milliseconds)
        for index in 0..<count {
            let event = poller.event(index)
            let seat = Int(event.token >> 2 & 0x3FFF_FFFF)
            switch Source(rawValue: event.token & 3) {
            case .wake: wake.clear()
            case .ring:
                guard isCurrent(event.token, seat) else { continue }
                units[seat].unit?.ringSignalled(failed: event.failed)
                markDue(seat)
            case .backend:
                if isCurrent(event.token, seat) { markDue(seat) }
            case nil: break
            }
        }
    }

    private func isCurrent(_ token: UInt64, _ seat: Int) -> Bool {
        seat < units.count && units[seat].generation == UInt32(truncatingIfNeeded: token >> 32)
    }

    mutating func markDue(_ seat: Int) {
        if units[seat].isDue { return }
        units[seat].isDue = true
        due.append(UInt32(truncatingIfNeeded: seat))
    }

    private mutating func checkDeadlines(now: Int64) {
        nextDeadlineCheck = now + EngineLoop.deadlineTick
        watchesDeadlines = false
        for seat in units.indices {
            guard let unit = units[seat].unit, unit.watchesDeadlines else { continue }
            unit.checkDeadlines(now: now)
            watchesDeadlines = true
            markDue(seat)
        }
    }

    // MARK: - Units come and go

    mutating func attach(_ unit: any ServiceableUnit) -> Errno? {
        precondition(owner.holds)
        let seat = units.firstIndex { $0.unit == nil } ?? units.count
        if seat == units.count { units.append(Seat()) }
        hot.reserveCapacity(LoopState.hotUnits)
        due.reserveCapacity(units.count)
        dueNext.reserveCapacity(units.count)
        units[seat].generation &+= 1
        units[seat].unit = unit
        guard unit.attach(index: UInt32(truncatingIfNeeded: seat), inbox: inbox) else {
            units[seat].unit = nil
            return .noMemory
        }
        do throws(Errno) {
            if unit.backendDescriptor >= 0 {
                let token = LoopState.token(.backend, seat: seat, generation: units[seat].generation)
                try poller.add(unit.backendDescriptor, token: token, trigger: .level)
            }
        } catch {
            units[seat].unit = nil
            return error
        }
        if let failure = watchRing(of: unit, true) {
            _ = detach(unit)
            return failure
        }
        return nil
    }

    mutating func detach(_ unit: any ServiceableUnit) -> Bool {
        guard let seat = seat(of: unit) else { return false }
        unwatchRing(seat)
        if unit.backendDescriptor >= 0 { poller.remove(unit.backendDescriptor) }
        units[seat].unit = nil
        units[seat].isHot = false
        hot.removeAll { $0 == UInt32(truncatingIfNeeded: seat) }
        return true
    }

    mutating func watchRing(of unit: any ServiceableUnit, _ on: Bool) -> Errno? {
        guard let seat = seat(of: unit) else { return nil }
        unwatchRing(seat)
        guard on, unit.ringDescriptor >= 0 else { return nil }
        let token = LoopState.token(.ring, seat: seat, generation: units[seat].generation)
        do throws(Errno) {
            try poller.add(unit.ringDescriptor, token: token, trigger: .edge)
        } catch {
            return error
        }
        units[seat].ringWatched = true
        // The ring may hold commands whose event came before we watched.
        markDue(seat)
        return nil
    }

    private mutating func unwatchRing(_ seat: Int) {
        guard units[seat].ringWatched, let unit = units[seat].unit else { return }
        units[seat].ringWatched = false
        if unit.ringDescriptor >= 0 { poller.remove(unit.ringDescriptor) }
    }

    /// Gives the unit a turn. Returns false if it is not attached.
    mutating func markReady(_ unit: any ServiceableUnit) -> Bool {
        guard let seat = seat(of: unit) else { return false }
        markDue(seat)
        return true
    }

    private func seat(of unit: any ServiceableUnit) -> Int? {
        units.firstIndex { $0.unit === unit }
    }

    /// The thread ends: whoever still has a unit here has made a mistake.
    func finish() {
        precondition(units.allSatisfy { $0.unit == nil }, "a loop ends with units attached")
    }
}
