internal import SCSI

/// Whom LIO keeps from writing or reading a unit's medium, as configfs tells it.
///
/// LIO enforces all of this itself, by I_T nexus, for what it can see. What it cannot see is a change without Data-Out
/// (``SCSI/Command/changesMediumUnseen``) and what another unit has this one do (EXTENDED COPY). The daemon does not
/// learn the I_T nexus of a command, so it refuses those to all while they are barred to anybody (docs/adr/0019).
public struct Exclusion: Sendable, Equatable, BitwiseCopyable {
    /// The reservation in force.
    public enum Reservation: Sendable, CaseIterable, BitwiseCopyable {
        /// None.
        case none
        /// Persistent, of a Write Exclusive type.
        case writeExclusive
        /// Persistent, of an Exclusive Access type.
        case exclusiveAccess
        /// RESERVE (SPC-2).
        case scsi2
    }

    /// The reservation in force.
    public var reservation: Reservation
    /// Some initiator may read the unit and not write it.
    public var hasReadOnlyMapping: Bool

    public init(reservation: Reservation = .none, hasReadOnlyMapping: Bool = false) {
        self.reservation = reservation
        self.hasReadOnlyMapping = hasReadOnlyMapping
    }

    /// Nobody is kept from anything.
    public static let nobody = Exclusion()

    /// What a command of ``SCSI/Command/changesMediumUnseen`` is answered; nil where LIO has judged it.
    ///
    /// Exclusive Access and RESERVE bar every command of others whatever the direction of its data, so that one that
    /// arrives is the holder's.
    var refusalOfUnseenChange: CommandOutcome? {
        if hasReadOnlyMapping { return .check(.writeProtected) }
        return switch reservation {
        case .writeExclusive: .status(.reservationConflict)
        case .none, .exclusiveAccess, .scsi2: nil
        }
    }

    /// What a read or a write for another unit is answered: nothing of it has passed LIO here.
    func refusalOfPeer(isWrite: Bool) -> CommandOutcome? {
        if isWrite && hasReadOnlyMapping { return .check(.writeProtected) }
        return switch reservation {
        case .none: nil
        case .writeExclusive: isWrite ? .status(.reservationConflict) : nil
        case .exclusiveAccess, .scsi2: .status(.reservationConflict)
        }
    }
}
