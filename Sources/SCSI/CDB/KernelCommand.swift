/// The commands that LIO's core answers itself for a TCMU device, as of Linux 6.1 (`passthrough_parse_cdb` in
/// target_core_device.c, `target_core_pr.c`). They never reach the daemon, but an initiator that asks what the logical
/// unit serves means these as well.
enum KernelCommand: UInt8, Sendable, CaseIterable {
    /// RESERVE(6).
    case reserve6 = 0x16
    /// RELEASE(6).
    case release6 = 0x17
    /// RESERVE(10).
    case reserve10 = 0x56
    /// RELEASE(10).
    case release10 = 0x57
    /// PERSISTENT RESERVE IN: READ KEYS, READ RESERVATION, REPORT CAPABILITIES, READ FULL STATUS.
    case persistentReserveIn = 0x5E
    /// PERSISTENT RESERVE OUT: REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT AND ABORT, REGISTER AND IGNORE
    /// EXISTING KEY, REGISTER AND MOVE.
    case persistentReserveOut = 0x5F
    /// REPORT LUNS.
    case reportLUNs = 0xA0

    /// Whether `emulate_pr` of the device decides about the command: where it is off, the kernel refuses it as an
    /// unknown operation code.
    var isReservation: Bool { self != .reportLUNs }

    /// What the kernel looks at. It does not look at CONTROL, at the third-party fields of RESERVE and RELEASE, or at
    /// SELECT REPORT of REPORT LUNS.
    var usage: [CommandUsage] {
        let none: [UInt8] = [0, 0, 0, 0]
        switch self {
        case .reserve6, .release6: return [CommandUsage([rawValue] + none + [0])]
        case .reserve10, .release10: return [CommandUsage([rawValue] + none + none + [0])]
        case .persistentReserveIn:
            return (0...3).map {
                CommandUsage([rawValue, UInt8($0), 0, 0, 0, 0, 0, 0xFF, 0xFF, 0], serviceAction: $0)
            }
        case .persistentReserveOut:
            // SCOPE and TYPE; PARAMETER LIST LENGTH of four bytes
            return (0...7).map {
                CommandUsage([rawValue, UInt8($0), 0xFF, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0], serviceAction: $0)
            }
        case .reportLUNs: return [CommandUsage([rawValue, 0] + none + [0xFF, 0xFF, 0xFF, 0xFF, 0, 0])]
        }
    }
}
