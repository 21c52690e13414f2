public import BlockBackend
public import LogicalUnit
public import Reactor
public import SCSI
internal import Synchronization
internal import TCMURing

/// A logical unit served by a real engine loop, with the simulated kernel at the other end of its ring.
///
/// The test's thread plays kernel and initiator; the loop has its own thread.
public final class UnitRig<Backend: BlockBackend & ~Copyable> {
    /// The other side of the ring.
    public let kernel: RingSimulator
    /// The loop that serves the unit.
    public let loop: EngineLoop
    /// The unit.
    public let unit: EngineUnit<Backend>
    /// What the unit has reported.
    public let events: UnitEventLog
    /// Bytes per block.
    public let blockSize: Int
    private let ownsLoop: Bool
    /// Takes the unit out of its copy group, as its end does.
    public let leaveGroup: () -> Void
    /// Puts the unit into its copy group with another capacity, in blocks, as the end of a resize does.
    public let joinGroup: (_ blocks: UInt64) -> Void

    private init(
        kernel: RingSimulator, loop: EngineLoop, unit: EngineUnit<Backend>, events: UnitEventLog, blockSize: Int,
        ownsLoop: Bool, leaveGroup: @escaping () -> Void, joinGroup: @escaping (UInt64) -> Void
    ) {
        self.kernel = kernel
        self.loop = loop
        self.unit = unit
        self.events = events
        self.blockSize = blockSize
        self.ownsLoop = ownsLoop
        self.leaveGroup = leaveGroup
        self.joinGroup = joinGroup
    }

    /// Opens a unit over the whole of `backend` and serves it.
    ///
    /// - Parameters:
    ///   - facts: what configfs says when it is asked; nil leaves the unit without an answer.
    ///   - maximumTransferBlocks: the kernel's `hw_max_sectors`.
    ///   - commandTimeout: milliseconds until a command is reported as late.
    ///   - isGivenUpByKernel: `cmd_time_out` counts. A busy machine may hold up a test for longer than its default.
    ///   - name: tells it from other units of a copy group.
    ///   - loop: serves it; nil for a loop of its own. A loop that is given outlives the rig.
    ///   - spin: nanoseconds for which the loop may watch for work.
    ///   - heldToExclusion: changes of the medium without Data-Out wait for `facts`, which say whom LIO excludes. Off, no
    ///     LIO is there, and they begin at once.
    ///   - keptModes: what MODE SELECT left before the unit was opened.
    ///   - keptErasure: what was cut off before the unit was opened.
    ///   - factsPatience: milliseconds for which commands wait for `facts`.
    ///   - group: units that copy to each other; the unit is known there at once.
    /// - Throws: what the simulator, the ring or the loop cannot get from the system.
    public static func start(
        _ backend: consuming Backend, geometry: RingGeometry = RingGeometry(), blockSize: UInt32 = 512,
        maximumTransferBlocks: UInt32 = 8192, facts: BackstoreFacts? = BackstoreFacts(serial: "0123456789abcdef"),
        commandTimeout: Int64? = nil, isGivenUpByKernel: Bool = false,
        name: String = "test/unit", loop shared: EngineLoop? = nil, group: CopyGroup? = nil,
        spin: Int64 = 0, heldToExclusion: Bool = false,
        factsPatience: Int64 = Limits.identityPatience, rightPatience: Int64 = Limits.rightPatience,
        keptModes: ModeParameters? = nil,
        keptErasure: KeptErasure? = nil
    ) async throws -> UnitRig {
        let kernel = try RingSimulator(geometry)
        let capacity = Capacity(blocks: backend.size / UInt64(blockSize), blockSize: blockSize)
        var profile = UnitProfile(
            name: name, capacity: capacity, maximumTransferBlocks: maximumTransferBlocks, configString: name,
            commandTimeout: commandTimeout, copyGroup: group)
        // A test need not write for long.
        profile.bytesBeforeSpaceLook = 0
        profile.millisecondsBetweenSpaceLooks = 0
        profile.spinLimit = spin
        profile.isHeldToExclusion = heldToExclusion
        profile.factsPatience = factsPatience
        profile.rightPatience = rightPatience
        profile.isGivenUpByKernel = isGivenUpByKernel
        profile.keptModes = keptModes
        profile.keptErasure = keptErasure
        let events = UnitEventLog(facts: facts)
        let ring = try CommandRing(kernel.ringDescriptors())
        let unit = EngineUnit(profile: profile, backend: backend, ring: ring) { events.take($0) }
        let loop = if let shared { shared } else { try EngineLoop.start(name: "test-loop") }
        // The existential: a closure that crosses threads may not capture the backend's type.
        let controlled: any ControlledUnit = unit
        events.deliver = { facts in loop.post(controlled) { controlled.deliver(facts) } }
        events.tellChanged = { succeeded, facts in
            loop.post(controlled) { controlled.accessStatesChanged(succeeded, facts) }
        }
        events.tellKept = { succeeded, isShared in
            loop.post(controlled) { controlled.modeParametersKept(succeeded, isShared: isShared) }
        }
        events.tellErasureKept = { succeeded in
            loop.post(controlled) { controlled.erasureKept(succeeded) }
        }
        try await loop.attach(unit)
        if let group {
            group.join(profile, unit: unit, loop: loop)
            await loop.run(controlled) { controlled.deliver(facts) }
        }
        return UnitRig(
            kernel: kernel, loop: loop, unit: unit, events: events, blockSize: Int(blockSize),
            ownsLoop: shared == nil, leaveGroup: { group?.leave(profile) },
            joinGroup: { blocks in
                var grown = profile
                grown.capacity = Capacity(blocks: blocks, blockSize: blockSize)
                group?.join(grown, unit: controlled, loop: loop)
            })
    }

    /// Sends one command and waits for its end.
    ///
    /// - Returns: nil if the ring is full or nothing comes back.
    public func perform(cdb: [UInt8], dataOut: [UInt8] = [], dataInLength: Int = 0) -> RingCompletion? {
        guard let id = kernel.post(cdb: cdb, dataOut: dataOut, dataInLength: dataInLength) else { return nil }
        kernel.notify()
        return kernel.completion(of: id)
    }

    /// Stops the unit from taking commands and waits until none is in flight.
    ///
    /// - Returns: false if that takes longer than about 20 s.
    public func drain() async -> Bool {
        let unit: any ControlledUnit = unit
        await loop.run(unit) { unit.stopTaking() }
        return await waitUntilIdle()
    }

    /// Waits until no command is in flight.
    ///
    /// - Returns: false if that takes longer than about 20 s.
    public func waitUntilIdle() async -> Bool {
        let unit: any ControlledUnit = unit
        for _ in 0..<4000 {
            if await loop.run(unit, { unit.commandsInFlight }) == 0 { return true }
            try? await Task.sleep(for: .milliseconds(5))
        }
        return false
    }

    /// Detaches the unit, which must have no command in flight, closes its backend and ends the loop.
    public func stop() async {
        leaveGroup()
        await loop.detach(unit)
        unit.closeBackend()
        if ownsLoop { await loop.stop() }
        (events.deliver, events.tellChanged, events.tellKept) = (nil, nil, nil)
        events.tellErasureKept = nil
    }
}

/// A unit's reports, kept; answers the unit's questions for facts.
public final class UnitEventLog: Sendable {
    private struct State {
        var events: [UnitEvent] = []
        var deliver: (@Sendable (BackstoreFacts?) -> Void)?
        var tellChanged: (@Sendable (Bool, BackstoreFacts?) -> Void)?
        var tellKept: (@Sendable (Bool, Bool) -> Void)?
        /// Whether mode parameters can be kept; nil leaves the unit without an answer.
        var keepsModes: Bool? = true
        var tellErasureKept: (@Sendable (Bool) -> Void)?
        /// Whether a word on erasures can be kept; nil leaves the unit without an answer.
        var keepsErasures: Bool? = true
        /// The last one that was.
        var keptErasure: KeptErasure?
        /// Several initiators use the unit.
        var isShared = false
        /// How the next change of access states goes, and what configfs says then; nil leaves it without an answer.
        var change: (succeeded: Bool, facts: BackstoreFacts?)?
        var facts: BackstoreFacts?
    }

    private let state: Mutex<State>

    init(facts: BackstoreFacts?) {
        state = Mutex(State(facts: facts))
    }

    /// Where facts go when the unit asks; set once the unit exists.
    var deliver: (@Sendable (BackstoreFacts?) -> Void)? {
        get { state.withLock { $0.deliver } }
        set { state.withLock { $0.deliver = newValue } }
    }

    /// Where the end of a change of access states is told; set once the unit exists.
    var tellChanged: (@Sendable (Bool, BackstoreFacts?) -> Void)? {
        get { state.withLock { $0.tellChanged } }
        set { state.withLock { $0.tellChanged = newValue } }
    }

    /// Where it is told that mode parameters are kept; set once the unit exists.
    var tellKept: (@Sendable (Bool, Bool) -> Void)? {
        get { state.withLock { $0.tellKept } }
        set { state.withLock { $0.tellKept = newValue } }
    }

    /// Where it is told that a word on erasures is kept; set once the unit exists.
    var tellErasureKept: (@Sendable (Bool) -> Void)? {
        get { state.withLock { $0.tellErasureKept } }
        set { state.withLock { $0.tellErasureKept = newValue } }
    }

    func take(_ event: UnitEvent) {
        let answer = state.withLock { state -> (@Sendable () -> Void)? in
            state.events.append(event)
            if case .modeParametersChanged = event, let tell = state.tellKept, let succeeded = state.keepsModes {
                let isShared = state.isShared
                return { tell(succeeded, isShared) }
            }
            if case .erasureChanged(let erasure) = event, let tell = state.tellErasureKept,
                let succeeded = state.keepsErasures
            {
                if succeeded { state.keptErasure = erasure }
                return { tell(succeeded) }
            }
            if case .accessStatesWanted = event, let tell = state.tellChanged, let change = state.change {
                state.change = nil
                state.facts = change.facts
                return { tell(change.succeeded, change.facts) }
            }
            guard case .factsNeeded = event, let deliver = state.deliver, let facts = state.facts else {
                return nil
            }
            return { deliver(facts) }
        }
        answer?()
    }

    /// Everything reported so far, oldest first.
    public var all: [UnitEvent] { state.withLock { $0.events } }

    /// The questions to configfs so far, oldest first.
    public var requests: [FactsRequest] {
        all.compactMap { if case .factsNeeded(let request) = $0 { request } else { nil } }
    }

    /// From now on configfs says so.
    public func answerFacts(_ facts: BackstoreFacts?) {
        state.withLock { $0.facts = facts }
    }

    /// Whether mode parameters can be kept from now on, nil leaves the unit without an answer; and whether several
    /// initiators use it.
    public func keepModes(_ succeeded: Bool?, isShared: Bool = false) {
        state.withLock { ($0.keepsModes, $0.isShared) = (succeeded, isShared) }
    }

    /// Whether words on erasures can be kept from now on; nil leaves the unit without an answer.
    public func keepErasures(_ succeeded: Bool?) {
        state.withLock { $0.keepsErasures = succeeded }
    }

    /// What the next daemon would be told of erasures.
    public var keptErasure: KeptErasure? { state.withLock { $0.keptErasure } }

    /// The next change of access states goes so, at once, and configfs says `facts` from then on.
    public func answerChange(_ succeeded: Bool, _ facts: BackstoreFacts?) {
        state.withLock { $0.change = (succeeded, facts) }
    }

    /// How many reports satisfy `matches`.
    public func count(where matches: (UnitEvent) -> Bool) -> Int { all.count(where: matches) }

    /// Waits for a report that satisfies `matches`.
    ///
    /// - Returns: false if none comes within about 20 s.
    public func wait(for matches: (UnitEvent) -> Bool) async -> Bool {
        for _ in 0..<4000 {
            if count(where: matches) > 0 { return true }
            try? await Task.sleep(for: .milliseconds(5))
        }
        return false
    }
}

extension ControlledUnit {
    /// Takes what configfs says, from a reading that began after everything that the unit has asked so far.
    public func deliver(_ facts: BackstoreFacts?) {
        deliver(facts, for: .max)
    }
}
