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
}
