public import ALUA
public import BlockBackend
public import SCSI
public import TCMURing

/// What a unit has to tell its control plane. Rare things only; nothing per command.
public enum UnitEvent: Sendable {
    /// The ring is impossible. The unit takes no more commands and waits to be given a new ring.
    case ringFailed(RingError)
    /// The kernel's side of the ring has gone: the device is being removed.
    case ringGone
    /// Commands wait for configfs to be read, by a reading that begins after this: tell
    /// ``ControlledUnit/deliver(_:for:)``, whether it succeeded or not.
    case factsNeeded(FactsRequest)
    /// MODE SELECT changes these: keep them as long as the device lives and tell
    /// ``ControlledUnit/modeParametersKept(_:isShared:)``, whether it succeeded or not.
    case modeParametersChanged(ModeParameters)
    /// A FORMAT UNIT or SANITIZE begins, or the medium is what it was before or should be again (nil): keep that as long as the
    /// device lives and tell ``ControlledUnit/erasureKept(_:)``, whether it succeeded or not.
    case erasureChanged(KeptErasure?)
    /// Access states of target port groups are to change: write them to configfs and tell
    /// ``ControlledUnit/accessStatesChanged(_:_:)``, whether it succeeded or not.
    case accessStatesWanted(AccessStatePlan)
    /// The kernel passed on a task management function that hit so many commands in flight.
    case taskManagement(String, commands: Int)
    /// So many commands, with this one the first, have not been answered by the backend within the time limit.
    case commandsLate(CDB, count: Int, milliseconds: Int64)
    /// Every late command has been answered after all.
    case lateCommandsAnswered
    /// An initiator sent an operation code that is not served; told once per code.
    case unsupportedOperation(CDB)
    /// The data buffer is shorter than the CDB says, in bytes; told once per unit.
    case shortBuffer(CDB, expected: UInt64, delivered: UInt64)
    /// A command has more pieces than one vectored operation takes; told once per unit.
    case tooManySegments(Int)
    /// FORMAT UNIT or SANITIZE did not reach its end: the medium holds neither what it did nor what it should.
    case erasureFailed(CDB, errno: Int32)
    /// The backend has less space left than the soft threshold, in bytes; told when it falls below.
    case spaceLow(availableBytes: UInt64, thresholdBytes: UInt64)
    /// How much space is left could not be found out; told when it first fails, and again after it has succeeded.
    case spaceUnknown(errno: Int32)
    /// The backend's keeper has something to say. The one event that may come from any thread.
    case backend(BackendNotice)
    /// The backend failed a command with this errno; told at most once per second.
    case backendError(CDB, errno: Int32)
}

/// Receives a unit's events, on the loop's thread: it must return at once.
public typealias UnitReporter = @Sendable (UnitEvent) -> Void

/// What a unit has done since it was opened.
public struct UnitCounters: Sendable, Equatable {
    /// Commands answered, of all kinds.
    public var commands: UInt64 = 0
    /// READ commands carried out, and their bytes.
    public var reads: UInt64 = 0
    /// See ``reads``.
    public var readBytes: UInt64 = 0
    /// WRITE commands carried out, and their bytes.
    public var writes: UInt64 = 0
    /// See ``writes``.
    public var writeBytes: UInt64 = 0
    /// Commands ended with CHECK CONDITION.
    public var checkConditions: UInt64 = 0
    /// Commands ended with BUSY or TASK SET FULL.
    public var busy: UInt64 = 0
    /// Commands reported as late.
    public var late: UInt64 = 0
    /// Doorbells rung.
    public var doorbells: UInt64 = 0

    /// All zero.
    public init() {}
}
