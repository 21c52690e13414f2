/// The status of a finished command (SAM-5 5.3).
public enum Status: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    /// GOOD: the command was carried out.
    case good = 0x00
    /// CHECK CONDITION: sense data says why it was not, or not wholly.
    case checkCondition = 0x02
    /// CONDITION MET: the data of a PRE-FETCH fits into the cache.
    case conditionMet = 0x04
    /// BUSY: not now; the initiator tries again, on another path if it has one.
    case busy = 0x08
    /// RESERVATION CONFLICT: another initiator holds a reservation.
    case reservationConflict = 0x18
    /// TASK SET FULL: no room for one more command.
    case taskSetFull = 0x28
    /// TASK ABORTED: ended by another I_T nexus, where the control mode page asks for this (TAS).
    case taskAborted = 0x40
}
