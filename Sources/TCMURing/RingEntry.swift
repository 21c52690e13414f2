/// What the kernel put into the ring.
public enum RingItem: Sendable {
    /// A SCSI command, to be completed by its id.
    case command(RingEntry)
    /// Task management that the kernel tells us of; needs no answer.
    case taskManagement(TaskManagementNotice)
    /// An entry of an operation we do not know; to be completed with `RingResponse.unknownOperation`.
    case unknown(commandID: UInt16, operation: UInt8)
}

/// A CMD entry whose header has been read and checked.
///
/// Valid until the next completion: completions overwrite the oldest open entry, so CDB and segments are copied
/// out (``CommandRing/copyCommandBlock(_:into:)``, ``CommandRing/copySegments(_:into:)``) before anything else.
public struct RingEntry: Sendable {
    /// The kernel's name for the command, 1 to 65535; unique while the command is open.
    public let commandID: UInt16
    /// Pieces of the data buffer: Data-Out or Data-In.
    public let segmentCount: Int
    /// A second buffer, for Data-In, came along. Nothing says how much of it was filled: GOOD hands out all of it.
    public let isBidirectional: Bool
    /// Offset of the entry in bytes from the ring's start.
    let offset: UInt32
    /// Offset of the CDB in bytes from the mapping's start, and the bytes from there to the entry's end.
    let commandBlockOffset: Int
    let commandBlockLimit: Int
}

/// A TMR entry: which task management function hit which open commands (linux/target_core_user.h).
public struct TaskManagementNotice: Sendable {
    /// The function: 1 ABORT TASK, 2 ABORT TASK SET, 3 CLEAR ACA, 4 CLEAR TASK SET, 5 LUN RESET,
    /// 6 and 7 TARGET RESET, 128 LUN RESET by PERSISTENT RESERVE OUT.
    public let function: UInt8
    /// How many commands it names. They are completed as any other.
    public let commandCount: Int
    let offset: UInt32

    /// A short name of the function for the log.
    public var name: String {
        switch function {
        case 1: "ABORT TASK"
        case 2: "ABORT TASK SET"
        case 3: "CLEAR ACA"
        case 4: "CLEAR TASK SET"
        case 5: "LOGICAL UNIT RESET"
        case 6: "TARGET WARM RESET"
        case 7: "TARGET COLD RESET"
        case 128: "LOGICAL UNIT RESET by PERSISTENT RESERVE OUT"
        default: "unknown function \(function)"
        }
    }
}

/// How a command is answered.
public struct RingResponse: Sendable {
    /// Which command.
    public let commandID: UInt16
    /// SAM status byte.
    public let status: UInt8
    /// Valid bytes of Data-In where they are fewer than the buffer has (residual underflow); nil for all.
    public let readLength: UInt32?
    /// Set for entries whose operation we do not know.
    public let isUnknownOperation: Bool

    /// A response with a SAM status and, for Data-In, the number of valid bytes.
    public init(commandID: UInt16, status: UInt8, readLength: UInt32? = nil) {
        self.commandID = commandID
        self.status = status
        self.readLength = readLength
        isUnknownOperation = false
    }

    private init(unknown commandID: UInt16) {
        self.commandID = commandID
        status = 0
        readLength = nil
        isUnknownOperation = true
    }

    /// TCMU_UFLAG_UNKNOWN_OP: the kernel ends the command with CHECK CONDITION.
    public static func unknownOperation(_ commandID: UInt16) -> RingResponse {
        RingResponse(unknown: commandID)
    }
}
