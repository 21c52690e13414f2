internal import BlockBackend
internal import LogicalUnit
internal import Reactor
internal import SCSI
internal import TCMURing

/// One scenario on one unit: plays kernel, backend, clock and configfs, a step at a time.
final class UnitScenarioRun {
    private let scenario: UnitScenario
    private let kernel: RingSimulator
    private let unit: any ControlledUnit
    private let events: ScenarioEvents
    private let script: BackendScript?
    private let inbox = CompletionInbox(wakeDescriptor: -1)
    /// What Data-In buffers hold when a command is posted.
    private let marker: UInt8
    /// Milliseconds. Far steps only: the unit dates what it is told of configfs by the true clock.
    private var now = CoarseClock.milliseconds
    /// Commands that are not answered, oldest first; true for entries of an unknown operation.
    private var open: [(id: UInt16, isUnknown: Bool)] = []
    private var result = UnitScenarioRunner.Outcome()
    /// By block of the medium: whether a command has named it as its to change.
    private var claimed: [Bool]

    init(
        _ scenario: UnitScenario, _ kernel: RingSimulator, _ unit: any ControlledUnit, _ events: ScenarioEvents,
        _ script: BackendScript?, marker: UInt8
    ) {
        self.scenario = scenario
        self.kernel = kernel
        self.unit = unit
        self.events = events
        self.script = script
        self.marker = marker
        claimed = [Bool](repeating: false, count: UnitScenario.mediumBytes / scenario.blockSize)
        require(unit.attach(index: 0, inbox: inbox), "no address space for a unit")
    }

    /// Carries out every step, brings all to its end, and looks at what is left.
    func outcome() -> UnitScenarioRunner.Outcome {
        script?.answer(scenario.holdsAtFirst ? .held : .immediate)
        for step in scenario.steps { take(step) }
        settle()
        require(kernel.reapCompletions(withoutDoorbell: true).isEmpty, "an answer without a doorbell")
        require(kernel.lastCleaned == kernel.head, "the tail is at \(kernel.tail), the head at \(kernel.head)")
        require(unit.isQuiet, "\(unit.commandsInFlight) commands are in flight that nobody sent")
        let answers = result.completions.count
        result.medium = script?.content ?? readMedium()
        result.completions.removeLast(result.completions.count - answers)
        checkMedium()
        if let stray = kernel.firstStrayByte() {
            fatalError("byte \(stray) of the data area was written, which is in no command's buffer")
        }
        unit.closeBackend()
        inbox.destroy()
        return result
    }

    // MARK: - Steps

    private func take(_ step: UnitScenario.Step) {
        switch step {
        case .command(let command): post(command)
        case .turn: turn()
        case .answerAtOnce: script?.answer(.immediate)
        case .hold: script?.answer(.held)
        case .releaseOldestFirst: release { $0.release(.oldestFirst) }
        case .releaseNewestFirst: release { $0.release(.newestFirst) }
        case .releaseOne(let number):
            var random = SeededRandom(seed: UInt64(number))
            release { _ = $0.releaseOne(using: &random) }
        case .fail(let kind, let errno):
            let kinds = BackendScript.Kind.allCases
            // 133 is the last errno there is.
            let code = Int32(errno % 134)
            script?.fail(kinds[Int(kind) % kinds.count], with: code == 0 ? nil : code)
        case .deliverFacts:
            unit.deliver(scenario.backstoreFacts)
            turn()
        case .wait: wait()
        case .taskManagement(let function, let count):
            let ids = open.prefix(Int(count % 32)).map(\.id)
            if kernel.postTaskManagement(type: function, ids: ids) { turn() }
        case .unknownOperation(let operation):
            // Of the eight, 0 to 2 are known.
            if let id = kernel.post(cdb: [0, 0, 0, 0, 0, 0], operation: 3 + operation % 5) {
                open.append((id, true))
            }
        }
    }

    private func post(_ command: UnitScenario.Command) {
        let asked = Int(command.length) * (command.countsBlocks ? scenario.blockSize : 1)
        let length = min(asked, scenario.geometry.dataBlocks * scenario.geometry.blockSize)
        var dataOut: [UInt8] = []
        if command.direction == .dataOut || command.direction == .both {
            dataOut.reserveCapacity(length)
            let pattern = command.pattern.isEmpty ? [0] : command.pattern
            dataOut += pattern.prefix(length)
            // Twice as much with every round, in phase with the pattern until the last one.
            while dataOut.count < length { dataOut += dataOut.prefix(length - dataOut.count) }
        }
        let isRead = command.direction == .dataIn || command.direction == .both
        // What a command sends from a buffer that was meant for the other way is then at least the same in each run.
        kernel.poison = UnitScenario.sendsData(command.cdb) && command.direction == .dataIn ? 0 : marker
        // Room for what waits in a full ring comes with a turn, if at all.
        for _ in 0..<2 {
            if let id = kernel.post(cdb: command.cdb, dataOut: dataOut, dataInLength: isRead ? length : 0) {
                open.append((id, false))
                UnitScenario.claim(&claimed, cdb: command.cdb, data: dataOut)
                break
            }
            turn()
        }
        if command.turns { turn() }
    }

    private func release(_ body: (BackendScript) -> Void) {
        guard let script else { return }
        body(script)
        turn()
    }

    private func wait() {
        now += 10_000
        if unit.watchesDeadlines { unit.checkDeadlines(now: now) }
        turn()
    }

    // MARK: - Turns

    /// What a loop does for a unit until there is nothing left to do.
    private func turn() {
        // Bound: a few dozen commands of a few dozen steps each.
        for _ in 0..<10_000 {
            if let chain = inbox.takeAll() {
                require(unit.takeCompletions(chain, now: now) == nil, "an answer for another unit")
            }
            let next = unit.service(now: now)
            require(next != .ringLost, "the unit gave up a sound ring: \(events.description)")
            reap()
            if events.takeFactsWanted(), scenario.facts != .byStep {
                unit.deliver(scenario.facts == .unreadable ? nil : scenario.backstoreFacts)
            } else if events.takeStatesWanted() {
                unit.accessStatesChanged(scenario.facts != .unreadable, scenario.backstoreFacts)
            } else if events.takeModesChanged() {
                unit.modeParametersKept(scenario.facts != .unreadable, isShared: scenario.facts == .withPort)
            } else if events.takeErasureChanged() {
                unit.erasureKept(scenario.facts != .unreadable)
            } else if next == .idle {
                return
            }
        }
        fatalError("a unit that is never idle")
    }

    private func reap() {
        for completion in kernel.reapCompletions() {
            guard let place = open.firstIndex(where: { $0.id == completion.id }) else {
                fatalError("command \(completion.id) is answered, but was not sent")
            }
            completion.check(ofUnknownOperation: open.remove(at: place).isUnknown)
            result.completions.append(completion)
        }
        require(kernel.violations.isEmpty, "the ring: \(kernel.violations)")
    }

    /// Lets everything that was begun come to its end.
    private func settle() {
        script?.answer(.immediate)
        turn()
        // Bound: what waits for facts or for others needs a wait or two; each release may start the next step.
        for _ in 0..<1000 where !isSettled {
            release { $0.release() }
            if !isSettled { wait() }
        }
        require(
            isSettled, "commands \(open.map(\.id)) are never answered, or \(unit.commandsInFlight) go on for ever")
    }

    /// Nothing waits for its answer, and nothing goes on behind an answer (IMMED).
    private var isSettled: Bool { open.isEmpty && unit.commandsInFlight == 0 }

    // MARK: - The medium

    /// Reads the medium through the unit; nil if it will not let it be read.
    private func readMedium() -> [UInt8]? {
        var content: [UInt8] = []
        let step = 8192
        for offset in stride(from: 0, to: UnitScenario.mediumBytes, by: step) {
            kernel.poison = 0
            let cdb = InitiatorCDB.read16(
                UInt64(offset / scenario.blockSize), UInt32(step / scenario.blockSize))
            guard let id = kernel.post(cdb: cdb, dataInLength: step) else { fatalError("no room in an empty ring") }
            open.append((id, false))
            settle()
            guard let answer = result.completions.last, answer.status == 0 else { return nil }
            content += answer.dataIn
        }
        return content
    }

    private func checkMedium() {
        guard let medium = result.medium else { return }
        for block in claimed.indices where !claimed[block] {
            let range = block * scenario.blockSize..<(block + 1) * scenario.blockSize
            require(
                areSame(medium, UnitScenario.initialMedium, range),
                "block \(block) has changed, which no command named"
            )
        }
    }
}

/// What the unit reports.
final class ScenarioEvents: @unchecked Sendable {
    // SAFETY: a run has one thread.
    private var factsWanted = false
    private var statesWanted = false
    private var modesChanged = false
    private var erasureChanged = false
    private(set) var description = ""

    func take(_ event: UnitEvent) {
        switch event {
        case .factsNeeded: factsWanted = true
        case .accessStatesWanted: statesWanted = true
        case .modeParametersChanged: modesChanged = true
        case .erasureChanged: erasureChanged = true
        case .ringFailed(let error): description = "\(error)"
        default: break
        }
    }

    func takeStatesWanted() -> Bool {
        defer { statesWanted = false }
        return statesWanted
    }

    func takeModesChanged() -> Bool {
        defer { modesChanged = false }
        return modesChanged
    }

    func takeErasureChanged() -> Bool {
        defer { erasureChanged = false }
        return erasureChanged
    }

    func takeFactsWanted() -> Bool {
        defer { factsWanted = false }
        return factsWanted
    }
}
