public import SCSI

/// ASYMMETRIC ACCESS STATE of a target port group (SPC-4 6.37), as configfs has it in `alua_access_state`.
public enum AccessState: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    /// Active/optimized: the best path.
    case activeOptimized = 0x0
    /// Active/non-optimized: works, but another path is better.
    case activeNonOptimized = 0x1
    /// Standby.
    case standby = 0x2
    /// Unavailable.
    case unavailable = 0x3
    /// Logical block dependent.
    case logicalBlockDependent = 0x4
    /// Offline.
    case offline = 0xE
    /// Transitioning between states.
    case transitioning = 0xF
}

/// Which states a group can be in: byte 1 of a target port group descriptor (SPC-4 table 323).
public struct SupportedStates: OptionSet, Sendable, BitwiseCopyable {
    /// The byte.
    public let rawValue: UInt8

    /// A set from its byte.
    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// AO_SUP.
    public static let activeOptimized = SupportedStates(rawValue: 0x01)
    /// AN_SUP.
    public static let activeNonOptimized = SupportedStates(rawValue: 0x02)
    /// S_SUP.
    public static let standby = SupportedStates(rawValue: 0x04)
    /// U_SUP.
    public static let unavailable = SupportedStates(rawValue: 0x08)
    /// LBD_SUP.
    public static let logicalBlockDependent = SupportedStates(rawValue: 0x10)
    /// O_SUP.
    public static let offline = SupportedStates(rawValue: 0x40)
    /// T_SUP.
    public static let transitioning = SupportedStates(rawValue: 0x80)

    /// The configfs attribute of LIO that holds each flag.
    static let attributes: [(name: String, flag: SupportedStates)] = [
        ("alua_support_active_nonoptimized", .activeNonOptimized),
        ("alua_support_active_optimized", .activeOptimized),
        ("alua_support_lba_dependent", .logicalBlockDependent),
        ("alua_support_offline", .offline),
        ("alua_support_standby", .standby),
        ("alua_support_transitioning", .transitioning),
        ("alua_support_unavailable", .unavailable),
    ]
}

/// STATUS CODE: what altered the state of a group last (SPC-4 table 325).
public enum AccessStatus: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    /// Nothing.
    case none = 0
    /// SET TARGET PORT GROUPS.
    case alteredByExplicitSTPG = 1
    /// The target itself.
    case alteredByImplicitALUA = 2

    /// From the text in configfs' `alua_access_status`.
    public init?(configfs text: String) {
        switch text {
        case "None": self = .none
        case "Altered by Explicit STPG": self = .alteredByExplicitSTPG
        case "Altered by Implicit ALUA": self = .alteredByImplicitALUA
        default: return nil
        }
    }
}

/// Who may change the state of a group, as configfs has it in `alua_access_type`.
public enum AccessType: Sendable, CaseIterable, BitwiseCopyable {
    /// Nobody: the administrator means all paths to be active.
    case none
    /// The target.
    case implicit
    /// The initiator.
    case explicit
    /// Both.
    case implicitAndExplicit

    /// From the text in configfs' `alua_access_type`.
    public init?(configfs text: String) {
        switch text {
        case "None": self = .none
        case "Implicit": self = .implicit
        case "Explicit": self = .explicit
        case "Implicit and Explicit": self = .implicitAndExplicit
        default: return nil
        }
    }

    /// What INQUIRY says of a unit reached through such a group: always implicit.
    ///
    /// For `None` as the original, so that initiators ask for the states. For the explicit types because SET
    /// TARGET PORT GROUPS is not served: the original fails INQUIRY then, and the disk vanishes.
    public var targetPortGroupSupport: TargetPortGroupSupport { .implicit }
}
