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
}
