internal import BlockBackend
internal import Reactor
internal import SCSI

/// Where a command stands.
enum SlotState: UInt8 {
    /// No command.
    case free
    /// Being worked on by the loop, held by a `PendingCommand`.
    case held
    /// With the backend; its ticket is out.
    case inFlight
    /// Waits for overlapping commands to end (`ExclusionGate`).
    case excluded
    /// Waits for identity from configfs.
    case awaitingIdentity
    /// Waits for the right to write.
    case awaitingRight
    /// A long command between two of its steps: others have their turn first.
    case yielded
}

/// What the backend's next answer means for a command, and what comes after it.
enum Stage: UInt8 {
    case read
    /// READ with FUA: a volatile cache is written back first, and the medium is read then.
    case readFlush
    case write
    /// WRITE with FUA on a backend without it: a flush follows.
    case writeThenFlush
    case flush
    /// MODE SELECT has left WCE at 0: what was answered before is made durable.
    case modeFlush
    /// COMPARE AND WRITE by the backend in one step.
    case nativeCompareAndWrite
    /// COMPARE AND WRITE by the unit: the present content is being read, then the new one written, and made durable.
    case compareRead
    case compareWrite
    case compareFlush
    /// ORWRITE: the present content is being read; its write is `write`.
    case orRead
    /// PRE-FETCH.
    case prefetch
    /// GET LBA STATUS or LOG SENSE: the backend counts.
    case survey
    /// A step of a long command, or what is between two of them; see ``LongRun``.
    case step
    /// A long command waits to have its blocks for itself.
    case stepAlone
    /// FORMAT UNIT or SANITIZE waits to have the medium for itself.
    case erase

    /// A command at this stage must not overlap anything in flight.
    var isExclusive: Bool {
        switch self {
        case .compareRead, .orRead, .stepAlone, .erase: true
        case .read, .readFlush, .write, .writeThenFlush, .flush, .modeFlush, .nativeCompareAndWrite, .compareWrite,
            .compareFlush, .prefetch, .survey, .step:
            false
        }
    }

    /// It counts among the exclusive commands that may wait; of erasures there is never more than one.
    var isLimited: Bool { isExclusive && self != .erase }

    /// The operation under way reads the medium.
    var isRead: Bool {
        switch self {
        case .read, .readFlush, .compareRead, .orRead, .survey, .prefetch: true
        case .write, .writeThenFlush, .flush, .modeFlush, .nativeCompareAndWrite, .compareWrite, .compareFlush,
            .step, .stepAlone, .erase:
            false
        }
    }

    /// The operation under way may leave the medium different; nil where its step says so.
    var changesMedium: Bool? {
        switch self {
        case .write, .writeThenFlush, .nativeCompareAndWrite, .compareWrite: true
        case .read, .readFlush, .flush, .modeFlush, .compareRead, .compareFlush, .orRead, .prefetch, .survey: false
        case .step, .stepAlone, .erase: nil
        }
    }
}

/// One command in flight: everything copied out of its ring entry. One address for the unit's life.
struct CommandSlot: ~Copyable {
    var node: CompletionNode
    var state = SlotState.free
    var stage = Stage.read
    // The four marks lie side by side, so that beginning a command clears them with one store.
    /// Set once the command has been reported as late.
    var isLate = false
    /// WRITE or COMPARE AND WRITE with FUA.
    var durable = false
    /// No ring entry waits for the answer: it was given already (IMMED), or there never was one.
    var isDetached = false
    /// A task management function has hit the command: nothing more of it is begun.
    var isAborted = false
    var commandID: UInt16 = 0
    var nextFree: Int32 = -1
    var cdb = CDB(UnsafeRawBufferPointer(start: nil, count: 0))
    /// Data buffer: pieces in the slot's iovec array, and their bytes together.
    var segmentCount = 0
    var segmentBytes: UInt64 = 0
    /// The bytes of the medium that the command touches; nothing if it touches none.
    var extent = ByteExtent(offset: 0, length: 0)
    /// Milliseconds of the coarse clock after which the operation under way is late.
    var deadline = Int64.max
    /// Milliseconds of the coarse clock after which the kernel has given the command up.
    var expiry = Int64.max
    /// Bytes of the data buffer as the kernel gave it, before it was cut to what the CDB says.
    var bufferBytes: UInt64 = 0
    /// Memory of a multi-step command.
    var bounce: BounceBuffer?
    /// What follows when a write has been flushed.
    var afterFlush = Stage.write
    /// What rare commands need besides; nil for others, so nothing is allocated.
    var extras: CommandExtras?
    /// The unit of another ring that waits for the answer instead.
    var reply: IOTicket?
    /// The backend's `writeGeneration` when a command of several steps began.
    var writeGeneration: UInt64 = 0

    /// Forgets the command that had the slot before.
    @inline(__always)
    mutating func begin(expiry: Int64) {
        isLate = false
        durable = false
        isDetached = false
        isAborted = false
        extent = ByteExtent(offset: 0, length: 0)
        self.expiry = expiry
    }
}

/// What a rare command carries along beyond the fields of its slot.
final class CommandExtras {
    /// A question to the backend and its answer.
    var survey: AskedSurvey?
    /// Where a long command stands.
    var run: LongRun?
    /// It has told the backend that it needs the right to write.
    var needsRight = false
    /// What another unit wants, until it is known whether it may.
    var peer: PeerRequest?
}

/// The right and the duty to answer one command, exactly once.
///
/// It cannot be copied, and dropping it stops the process: a command that is never answered hangs its initiator,
/// and after that its host.
struct PendingCommand: ~Copyable {
    let slot: Int

    /// Ends the duty: the slot is parked somewhere, or the command answered.
    consuming func relinquish() -> Int {
        let slot = slot
        discard self
        return slot
    }

    deinit {
        precondition(slot < 0, "the command in slot \(slot) was dropped without an answer")
    }
}
