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
    case write
    /// WRITE with FUA on a backend without it: a flush follows.
    case writeThenFlush
    case flush
    case discard
    case writeSame
    case writeZeroes
    /// COMPARE AND WRITE by the backend in one step.
    case nativeCompareAndWrite
    /// COMPARE AND WRITE by the unit: the present content is being read, then the new one written.
    case compareRead
    case compareWrite
    /// VERIFY, and the second half of WRITE AND VERIFY: a piece of the medium is being read.
    case verifyRead
    /// WRITE AND VERIFY: the blocks are being written, and are read back then.
    case writeForVerify
    /// ORWRITE: the present content is being read; its write is `compareWrite`.
    case orRead
    /// PRE-FETCH.
    case prefetch
    /// GET LBA STATUS or LOG SENSE: the backend counts.
    case survey
    /// FORMAT UNIT or SANITIZE: a piece of the medium is being erased.
    case erase
    /// FORMAT UNIT or SANITIZE: all is written, and made durable.
    case eraseFlush
    /// EXTENDED COPY: a piece is being read, then written.
    case copyRead
    case copyWrite
    /// EXTENDED COPY: all is written, and made durable.
    case copyFlush

    /// A command at this stage must not overlap anything in flight.
    var isExclusive: Bool {
        switch self {
        case .compareRead, .orRead, .writeForVerify, .erase: true
        default: false
        }
    }

    /// It counts among the exclusive commands that may wait; of erasures there is never more than one.
    var isLimited: Bool { isExclusive && self != .erase }

    /// EXTENDED COPY is under way.
    var isCopy: Bool { self == .copyRead || self == .copyWrite || self == .copyFlush }

    /// The operation under way reads the medium.
    var isRead: Bool {
        switch self {
        case .read, .compareRead, .orRead, .verifyRead, .survey, .prefetch, .copyRead: true
        default: false
        }
    }
}

/// One command in flight: everything copied out of its ring entry. One address for the unit's life.
struct CommandSlot: ~Copyable {
    var node: CompletionNode
    var state = SlotState.free
    var stage = Stage.read
    /// Set once the command has been reported as late.
    var isLate = false
    var commandID: UInt16 = 0
    var nextFree: Int32 = -1
    var cdb = CDB(UnsafeRawBufferPointer(start: nil, count: 0))
    /// Data buffer: pieces in the slot's iovec array, and their bytes together.
    var segmentCount = 0
    var segmentBytes: UInt64 = 0
    /// The bytes of the medium that the command touches; nothing if it touches none.
    var extent = ByteExtent(offset: 0, length: 0)
    /// All bytes that a VERIFY names; `extent` is the piece under way then.
    var span = ByteExtent(offset: 0, length: 0)
    /// Bytes of `extent` (or `span`) that multi-step commands have done.
    var progress: UInt64 = 0
    /// Milliseconds of the coarse clock after which the command is late.
    var deadline = Int64.max
    /// Bytes of the data buffer as the kernel gave it, before it was cut to what the CDB says.
    var bufferBytes: UInt64 = 0
    /// Ranges still to be discarded, last first. Empty but for UNMAP, so nothing is allocated for others.
    var ranges: [ByteExtent] = []
    /// Memory of a multi-step command.
    var bounce: BounceBuffer?
    /// Bytes that the step under way moves.
    var stepLength: UInt64 = 0
    /// What follows when a write has been flushed.
    var afterFlush = Stage.write
    /// BYTCHK of a VERIFY.
    var byteCheck = ByteCheck.none
    /// What rare commands need besides; nil for others, so nothing is allocated.
    var extras: CommandExtras?
    /// No ring entry waits for the answer: it was given already (IMMED), or there never was one.
    var isDetached = false
    /// A task management function has hit the command: no further step is begun.
    var isAborted = false
    /// The unit of another ring that waits for the answer instead.
    var reply: IOTicket?
    /// WRITE or COMPARE AND WRITE with FUA.
    var durable = false
    /// The backend's `writeGeneration` when a command that writes what depends on a read began to read.
    var writeGeneration: UInt64 = 0
}

/// What a rare command carries along beyond the fields of its slot.
final class CommandExtras {
    /// A question to the backend and its answer.
    var survey: Survey?
    /// Where an EXTENDED COPY stands.
    var copy: CopyRun?
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
