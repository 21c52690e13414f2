/// The attributes of one ALUA target port group of a device (`alua/<group>/…`), as the kernel keeps them.
public struct TargetPortGroupAttributes: Equatable, Sendable {
    /// How the access state may be changed (`alua_access_type`).
    public enum AccessType: String, Sendable, CaseIterable {
        /// Not at all.
        case none = "None"
        /// By the target alone.
        case implicit = "Implicit"
        /// By the initiator, with SET TARGET PORT GROUPS.
        case explicit = "Explicit"
        /// By both.
        case implicitAndExplicit = "Implicit and Explicit"
    }

    /// Why the access state is what it is (`alua_access_status`); raw values are SPC-4's status codes (6.37).
    public enum AccessStatus: UInt8, Sendable, CaseIterable {
        /// No reason given.
        case none = 0
        /// A SET TARGET PORT GROUPS command.
        case alteredByExplicitSTPG = 1
        /// The target itself.
        case alteredByImplicitALUA = 2

        /// The kernel's words for it.
        var words: String {
            switch self {
            case .none: "None"
            case .alteredByExplicitSTPG: "Altered by Explicit STPG"
            case .alteredByImplicitALUA: "Altered by Implicit ALUA"
            }
        }
    }

    /// Which states the group can be in (`alua_support_*`).
    public struct SupportedStates: Equatable, Sendable {
        /// `alua_support_active_optimized`
        public var activeOptimized = false
        /// `alua_support_active_nonoptimized`
        public var activeNonOptimized = false
        /// `alua_support_standby`
        public var standby = false
        /// `alua_support_unavailable`
        public var unavailable = false
        /// `alua_support_offline`
        public var offline = false
        /// `alua_support_transitioning`
        public var transitioning = false
        /// `alua_support_lba_dependent`
        public var lbaDependent = false

        /// No state supported.
        public init() {}
    }

    /// The group's directory name.
    public let name: String
    /// Its number, 0 to 65535 (`tg_pt_gp_id`).
    public let id: UInt16
    /// Primary access state, 0 to 15 (`alua_access_state`); SPC-4 table 309 names the numbers.
    public let accessState: UInt8
    /// Why it is in that state.
    public let accessStatus: AccessStatus
    /// How the state may be changed.
    public let accessType: AccessType
    /// Which states it can be in.
    public let supportedStates: SupportedStates
    /// Whether initiators shall prefer this group (`preferred`).
    public let isPreferred: Bool
    /// Seconds an initiator should allow for an implicit transition (`implicit_trans_secs`).
    public let implicitTransitionSeconds: UInt32
    /// Milliseconds the kernel delays commands in active/non-optimized state (`nonop_delay_msecs`).
    public let nonOptimizedDelayMilliseconds: UInt32
    /// Milliseconds the kernel delays a transition (`trans_delay_msecs`).
    public let transitionDelayMilliseconds: UInt32
    /// The LUN mappings of the group (`members`).
    public let members: [TargetPortGroupMember]
}

/// One LUN of one target portal group: a line `<fabric>/<wwn>/tpgt_<tag>/<lun>` of a group's `members`.
public struct TargetPortGroupMember: Hashable, Sendable, CustomStringConvertible {
    /// The fabric as the kernel spells it in `members`: "iSCSI", "loopback".
    public let fabric: String
    /// The target's name: an IQN or a `naa.` name.
    public let wwn: String
    /// Tag of the target portal group.
    public let tag: UInt16
    /// The LUN's directory: "lun_0".
    public let unit: String

    /// The fabric's directory in configfs. Only iSCSI's is spelled otherwise than the fabric.
    public var fabricDirectory: String { fabric == "iSCSI" ? "iscsi" : fabric }

    /// As in `members`.
    public var description: String { "\(fabric)/\(wwn)/tpgt_\(tag)/\(unit)" }

    /// Parses one line of `members`; nil if it is not of that form.
    public init?(parsing line: String) {
        let parts = line.unicodeScalars.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 4, parts.allSatisfy(isPathComponent), parts[2].utf8.starts(with: "tpgt_".utf8),
            let tag = UInt16(parts[2].unicodeScalars.dropFirst(5).map(String.init).joined())
        else { return nil }
        (fabric, wwn, self.tag, unit) = (parts[0], parts[1], tag, parts[3])
    }

    /// The lines of a `members` file: each ends with a line break and a NUL.
    static func list(_ bytes: [UInt8]) throws(MalformedMember) -> [TargetPortGroupMember] {
        var members: [TargetPortGroupMember] = []
        for line in bytes.split(whereSeparator: { $0 == 0 || $0 == UInt8(ascii: "\n") }) {
            let text = String(decoding: line, as: UTF8.self)
            guard let member = TargetPortGroupMember(parsing: text) else { throw MalformedMember(line: text) }
            members.append(member)
        }
        return members
    }

    struct MalformedMember: Error {
        let line: String
    }
}
