public import BlockBackend
public import Reactor
internal import SCSI
public import TCMURing

/// A unit as the control plane handles it, whatever its backend.
///
/// Every member is for the loop's thread: call through ``EngineLoop/run(_:_:)``, or when the unit is not attached.
public protocol ControlledUnit: ServiceableUnit {
    /// Takes no more commands from the ring.
    func stopTaking()

    /// Commands that have not been answered.
    var commandsInFlight: Int { get }

    /// True if nothing is in flight and nothing waits in the ring.
    var isQuiet: Bool { get }

    /// Unmaps the ring and closes its node. Nothing is in flight, and the loop no longer watches it.
    func dropRing()

    /// Gives the unit a new ring.
    func install(_ ring: consuming CommandRing)

    /// Takes what configfs says, or nil if that could not be read.
    ///
    /// - Parameter number: of the newest question that was asked before the reading began; 0 if none was.
    func deliver(_ facts: BackstoreFacts?, for number: UInt64)

    /// A change of access states that the unit asked for was carried out, or failed.
    ///
    /// - Parameters:
    ///   - succeeded: all states are as the plan has them.
    ///   - facts: what configfs says since; nil if it could not be read.
    func accessStatesChanged(_ succeeded: Bool, _ facts: BackstoreFacts?)

    /// Mode parameters that the unit wants kept are kept, or cannot be.
    ///
    /// - Parameter isShared: more than one initiator uses the unit.
    func modeParametersKept(_ succeeded: Bool, isShared: Bool)

    /// The word on an erasure that the unit wants kept is kept, or cannot be.
    func erasureKept(_ succeeded: Bool)

    /// Reads or writes for another unit of the copy group.
    func serve(_ request: PeerRequest)

    /// What looks after the backend; nil for a backend without one. May be read anywhere.
    var keeper: (any BackendKeeper)? { get }

    /// Takes the keeper's word on whether the storage can be used.
    func storage(is availability: BackendAvailability)

    /// The backend has another size: exports `bytes`, and initiators get a unit attention.
    func resize(bytes: UInt64)

    /// Whether initiators are told of a write cache (WCE), as MODE SELECT has left it; nil before the unit is attached.
    var hasWriteCache: Bool? { get }

    /// What the unit has done so far.
    var counters: UnitCounters { get }

    /// Closes the backend. May block: call off the loop, after detach and with nothing in flight.
    func closeBackend()
}

/// One logical unit and its identity: a thin shell around ``LogicalUnit``, which is a value without locks.
///
/// The class exists so that loops and control plane can point at the unit; it has no state of its own on the data
/// path and is entered once per turn.
public final class EngineUnit<Backend: BlockBackend & ~Copyable>: @unchecked Sendable {
    // SAFETY: all of this is touched by the loop's thread only, from attach to detach, and by the one owner before
    // and after.
    private var openedBackend: Backend?
    private var openedRing: CommandRing?
    /// The unit at work: allocated at attach, freed when its backend is closed.
    private var unit: UnsafeMutablePointer<LogicalUnit<Backend>>?
    private let profile: UnitProfile
    private let report: UnitReporter
    /// Taken from the backend before it is in use, so that any thread may read it.
    public let keeper: (any BackendKeeper)?

    /// The ways into the data path. Swift never specialises the witnesses of a generic class, so that a call
    /// through the protocol would run the whole engine as unspecialised code; these are made where the backend's
    /// type is known, and are specialised there (docs/adr/0003).
    private let serve: (inout LogicalUnit<Backend>, Int64) -> ServiceResult
    private let look: (inout LogicalUnit<Backend>) -> Bool
    private let take:
        (
            inout LogicalUnit<Backend>, UnsafeMutablePointer<CompletionNode>, Int64
        ) -> UnsafeMutablePointer<CompletionNode>?

    /// A unit from an open backend and an attached ring. `report` is called on the loop's thread.
    public init(
        profile: UnitProfile, backend: consuming Backend, ring: consuming CommandRing,
        report: @escaping UnitReporter
    ) {
        keeper = backend.keeper
        openedBackend = consume backend
        openedRing = consume ring
        self.profile = profile
        self.report = report
        serve = { unit, now in unit.service(now: now) }
        look = { unit in unit.hasWork() }
        take = { unit, chain, now in unit.takeCompletions(chain, now: now) }
    }

    deinit {
        precondition(unit == nil, "\(name) is dropped without closeBackend()")
    }
}

extension EngineUnit: ServiceableUnit where Backend: ~Copyable {
    public var name: String { profile.name }

    public var ringDescriptor: CInt { unit?.pointee.ring?.notifyDescriptor ?? -1 }

    public var backendDescriptor: CInt { unit?.pointee.backend.completionDescriptor ?? -1 }

    public func attach(index: UInt32, inbox: CompletionInbox) -> Bool {
        // Before the backend is taken: where there is no room for slots it stays here, to be closed.
        guard let slots = SlotTable(capacity: Limits.commandsInFlight, unit: index, inbox: inbox) else {
            return false
        }
        guard let backend = openedBackend.take(), let ring = openedRing.take() else {
            preconditionFailure("\(name) is attached twice")
        }
        let made = LogicalUnit(
            profile: profile, backend: backend, ring: ring, slots: slots, index: index, report: report)
        let place = UnsafeMutablePointer<LogicalUnit<Backend>>.allocate(capacity: 1)
        place.initialize(to: made)
        unit = place
        return true
    }

    public func ringSignalled(failed: Bool) {
        unit?.pointee.ringSignalled(failed: failed)
    }

    public func takeCompletions(
        _ chain: UnsafeMutablePointer<CompletionNode>, now: Int64
    ) -> UnsafeMutablePointer<CompletionNode>? {
        guard let unit else { preconditionFailure("an answer for \(name), which is closed") }
        return take(&unit.pointee, chain, now)
    }

    public func service(now: Int64) -> ServiceResult {
        guard let unit else { return .idle }
        return serve(&unit.pointee, now)
    }

    public var hasWork: Bool {
        guard let unit else { return false }
        return look(&unit.pointee)
    }

    public var spinLimit: Int64 { profile.spinLimit }

    public var watchesDeadlines: Bool { unit?.pointee.watchesDeadlines ?? false }

    public func checkDeadlines(now: Int64) {
        unit?.pointee.checkDeadlines(now: now)
    }
}

extension EngineUnit: ControlledUnit where Backend: ~Copyable {
    public func stopTaking() {
        if unit?.pointee.mode == .serving { unit?.pointee.mode = .draining }
    }

    public var commandsInFlight: Int { unit?.pointee.slots.inUse ?? 0 }

    public var isQuiet: Bool {
        guard let unit else { return true }
        // Long commands are not waited for: told to stop, each ends with its step. Nothing else is taken beside an erasure.
        guard commandsInFlight <= unit.pointee.longCommands else { return false }
        if unit.pointee.condition.erasure != nil { return true }
        return (unit.pointee.mode == .ringless || unit.pointee.ring?.isEmpty ?? true)
    }

    public func dropRing() {
        unit?.pointee.dropRing()
    }

    public func install(_ ring: consuming CommandRing) {
        unit?.pointee.install(ring)
    }

    public func deliver(_ facts: BackstoreFacts?, for number: UInt64) {
        unit?.pointee.deliver(facts, for: number, now: CoarseClock.milliseconds)
    }

    public func accessStatesChanged(_ succeeded: Bool, _ facts: BackstoreFacts?) {
        unit?.pointee.accessStatesChanged(succeeded, facts, now: CoarseClock.milliseconds)
    }

    public func modeParametersKept(_ succeeded: Bool, isShared: Bool) {
        unit?.pointee.modeParametersKept(succeeded, isShared: isShared)
    }

    public func erasureKept(_ succeeded: Bool) {
        unit?.pointee.erasureKept(succeeded)
    }

    public func serve(_ request: PeerRequest) {
        guard let unit else { return request.ticket.post(.goneAway) }
        unit.pointee.serve(request)
    }

    public func storage(is availability: BackendAvailability) {
        unit?.pointee.storage(is: availability, now: CoarseClock.milliseconds)
    }

    public func resize(bytes: UInt64) {
        unit?.pointee.resize(bytes: bytes)
    }

    public var hasWriteCache: Bool? { unit?.pointee.modes.writeCacheEnabled }

    public var counters: UnitCounters { unit?.pointee.counters ?? UnitCounters() }

    public func closeBackend() {
        precondition(commandsInFlight == 0, "\(name) is closed with commands in flight")
        // The node first, where no loop ever had the unit: closing may take three time-outs of a cluster, and who adds the device
        // again meanwhile would find its node taken.
        openedRing = nil
        if let unit {
            unit.pointee.backend.close()
            unit.deinitialize(count: 1)
            unit.deallocate()
        }
        unit = nil
        openedBackend?.close()
        openedBackend = nil
    }
}
