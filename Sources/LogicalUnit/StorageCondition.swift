internal import BlockBackend
internal import Glibc
internal import SCSI

/// Whether the storage behind a unit can be used, and what initiators are told while it cannot.
enum StorageCondition: Equatable {
    /// It can.
    case usable
    /// It cannot be reached since so many coarse milliseconds; `timedOut` if that was learned by waiting for it.
    case away(since: Int64, timedOut: Bool)
    /// It is a copy of what is used elsewhere.
    case standby
    /// It does not exist any longer.
    case gone

    /// The condition after the keeper's word. One that is away is so since the first word of it.
    func after(_ availability: BackendAvailability, now: Int64) -> StorageCondition {
        switch availability {
        case .ready: .usable
        case .standby: .standby
        case .gone: .gone
        case .recovering(let errno):
            if case .away(let since, let timedOut) = self {
                .away(since: since, timedOut: timedOut || errno == ETIMEDOUT)
            } else {
                .away(since: now, timedOut: errno == ETIMEDOUT)
            }
        }
    }

    /// What a command that needs the storage is answered.
    ///
    /// BUSY makes initiators come again on the same path, NOT READY makes multipath drivers take another one. A command
    /// that timed out has been waited for already, so where there is another path that comes at once.
    ///
    /// - Parameters:
    ///   - now: coarse milliseconds.
    ///   - hasOtherPaths: other target port groups lead to the same storage.
    func outcome(now: Int64, hasOtherPaths: Bool) -> CommandOutcome? {
        switch self {
        case .usable: return nil
        case .standby: return .check(.targetPortInStandbyState)
        case .gone: return .check(.notReadyManualInterventionRequired)
        case .away(let since, let timedOut):
            let patience =
                if !hasOtherPaths { Limits.recoveryPatience.alone } else if timedOut { Int64(0) } else {
                    Limits.recoveryPatience.withOtherPaths
                }
            return now &- since < patience ? .status(.busy) : .check(.notReadyCauseNotReportable)
        }
    }
}

extension LogicalUnit where Backend: ~Copyable {
    /// Takes the keeper's word on the storage.
    mutating func storage(is availability: BackendAvailability, now: Int64) {
        condition.storage = condition.storage.after(availability, now: now)
    }

    /// Exports as many blocks as the backend has now, and lets initiators know.
    ///
    /// Limits, pages and thresholds stay as they were opened with: initiators have read them.
    mutating func resize(bytes: UInt64) {
        let blocks = bytes / UInt64(profile.capacity.blockSize)
        guard blocks != profile.capacity.blocks else { return }
        precondition(bytes <= backend.size, "\(profile.name) is to export more than there is")
        profile.capacity = Capacity(blocks: blocks, blockSize: profile.capacity.blockSize)
        condition.raise(.capacityDataHasChanged)
    }
}
