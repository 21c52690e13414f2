public import BlockBackend
public import Reactor
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
    func deliver(_ facts: BackstoreFacts?)

    /// What the unit has done so far.
    var counters: UnitCounters { get }

    /// Closes the backend. May block: call off the loop, after detach and with nothing in flight.
    func closeBackend()
}

/// One logical unit and its identity: a thin shell around ``LogicalUnit``, which is a value without locks.
///
/// The class exists so that loops and control plane can point at the unit; it has no state of its own on the data
/// path and is entered once per turn.
public final class EngineUnit<Backend: BlockBackend & ~Copyable>: ControlledUnit, @unchecked Sendable {
    // SAFETY: `stage` is touched by the loop's thread only, from attach to detach, and by its one owner before
    // and after.
    private var stage: Stage
    private let profile: UnitProfile
    private let report: UnitReporter

    private enum Stage: ~Copyable {
        /// Opened, not yet attached.
        case ready(Backend, CommandRing)
        case working(LogicalUnit<Backend>)
        case closed
    }

    /// A unit from an open backend and an attached ring. `report` is called on the loop's thread.
    public init(
        profile: UnitProfile, backend: consuming Backend, ring: consuming CommandRing,
        report: @escaping UnitReporter
    ) {
        stage = .ready(backend, ring)
        self.profile = profile
        self.report = report
    }
}
