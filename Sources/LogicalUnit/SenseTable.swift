internal import BlockBackend
internal import Glibc
public import SCSI

/// How a command ends.
public enum CommandOutcome: Sendable, Equatable {
    /// GOOD.
    case good
    /// GOOD with so many valid bytes of Data-In.
    case data(UInt32)
    /// A status without sense, such as BUSY.
    case status(Status)
    /// CHECK CONDITION.
    case check(Sense)

    /// The same for a unit that had this one read or write for it.
    var asResult: IOResult {
        switch self {
        case .good, .data: .success
        case .status(.reservationConflict): IOResult(code: -EBADE)
        case .status: IOResult(code: -EBUSY)
        case .check(.writeProtected): IOResult(code: -EROFS)
        case .check(.spaceAllocationFailedWriteProtect): IOResult(code: -ENOSPC)
        case .check: IOResult(code: -EIO)
        }
    }
}

/// The one table from a backend's errno to what the initiator sees.
///
/// Source: the original's rbd_finish_aio_generic, with thin provisioning and write protection told apart, which
/// it reports as medium errors.
public enum SenseTable {
    /// The outcome of a failed backend operation.
    ///
    /// - Parameters:
    ///   - result: not a success.
    ///   - isRead: the failed operation was a read.
    public static func outcome(of code: Int32, isRead: Bool) -> CommandOutcome {
        switch -code {
        // The command may be tried again, on this path or on another one.
        case ETIMEDOUT, EAGAIN, EBUSY, ESHUTDOWN, EINPROGRESS: .status(.busy)
        // Linux' word for it (blk_status_to_errno). No backend's: another unit of the copy group is reserved.
        case EBADE: .status(.reservationConflict)
        case ENOMEM, ENOBUFS: .status(.taskSetFull)
        case EROFS: .check(isRead ? .unrecoveredReadError : .writeProtected)
        case ENOSPC, EDQUOT: .check(isRead ? .unrecoveredReadError : .spaceAllocationFailedWriteProtect)
        case EINVAL: .check(.invalidFieldInCDB)
        case EOPNOTSUPP, ENOSYS: .check(.invalidCommandOperationCode)
        default: .check(isRead ? .unrecoveredReadError : .writeError)
        }
    }

    /// The outcome of a command whose operation at `stage` failed.
    ///
    /// BUSY and TASK SET FULL say that nothing was done, and initiators send the command again. They may be said where that
    /// is true, and where the command done twice leaves what it leaves done once. COMPARE AND WRITE is the one that does
    /// not: it would find what it has written itself, and miscompare. An end that nobody knows is LOGICAL UNIT COMMUNICATION
    /// TIME-OUT then, with HARDWARE ERROR, since ABORTED COMMAND is sent again, too. (The original: BUSY.)
    static func outcome(of code: Int32, at stage: Stage, afterFlush: Stage) -> CommandOutcome {
        let outcome = outcome(of: code, isRead: stage.isRead)
        guard case .status = outcome else { return outcome }
        return mayBeDone(code, stage == .writeThenFlush && afterFlush == .compareFlush ? .compareWrite : stage)
            ? .check(.communicationTimeout) : outcome
    }

    /// Whether sending the command again could do harm: its operation may have been carried out although it failed, and it
    /// is not the same when done twice.
    private static func mayBeDone(_ code: Int32, _ stage: Stage) -> Bool {
        switch stage {
        // What the contract of backends says: with these nothing was done.
        case .nativeCompareAndWrite, .compareWrite: ![EAGAIN, EBUSY, EINPROGRESS, ENOMEM, ENOBUFS].contains(-code)
        // The write has been done.
        case .compareFlush: true
        // Nothing has been written yet.
        case .read, .readFlush, .compareRead, .orRead, .prefetch, .survey: false
        // The same bytes again.
        case .write, .writeThenFlush, .flush, .modeFlush: false
        // LongRun.isRepeatable
        case .step, .stepAlone, .erase: false
        }
    }
}

extension Sense {
    /// Nobody knows whether the command was carried out, and doing it again could do harm: LOGICAL UNIT COMMUNICATION TIME-OUT.
    static var communicationTimeout: Sense { Sense(.hardwareError, 0x08, 0x01) }
}
