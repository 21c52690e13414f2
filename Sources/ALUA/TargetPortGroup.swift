public import SCSI

/// A target port group of a unit, as LIO's configfs describes it under `alua/<name>/`.
public struct TargetPortGroup: Sendable, Equatable {
    /// The name of its directory.
    public var name: String
    /// `tg_pt_gp_id`.
    public var identifier: UInt16
    /// `preferred`.
    public var preferred: Bool
    /// `alua_access_state`.
    public var state: AccessState
    /// The seven `alua_support_*` flags.
    public var supportedStates: SupportedStates
    /// `alua_access_status`.
    public var status: AccessStatus
    /// `alua_access_type`.
    public var type: AccessType
    /// `implicit_trans_secs`: how long a transition may take, in seconds; told in the extended header of REPORT
    /// TARGET PORT GROUPS.
    public var implicitTransitionSeconds: UInt8
    /// `members`: the LUNs whose ports form the group.
    public var members: [Member]

    /// A group from its parts.
    public init(
        name: String, identifier: UInt16, preferred: Bool, state: AccessState, supportedStates: SupportedStates,
        status: AccessStatus, type: AccessType, implicitTransitionSeconds: UInt8 = 0, members: [Member] = []
    ) {
        self.name = name
        self.identifier = identifier
        self.preferred = preferred
        self.state = state
        self.supportedStates = supportedStates
        self.status = status
        self.type = type
        self.implicitTransitionSeconds = implicitTransitionSeconds
        self.members = members
    }

    /// The group as REPORT TARGET PORT GROUPS describes it.
    /// - Parameter relativePortIdentifiers: those of the ports of ``members``, from the statistics of the fabric.
    public func description(relativePortIdentifiers: [UInt16]) -> TargetPortGroupDescription {
        TargetPortGroupDescription(
            preferred: preferred, state: state.rawValue, supportedStates: supportedStates.rawValue,
            identifier: identifier, status: status.rawValue, relativePortIdentifiers: relativePortIdentifiers)
    }
}

extension TargetPortGroup {
    /// One line of `members`: a LUN of a portal group of a fabric.
    public struct Member: Sendable, Equatable {
        /// The fabric as LIO names it there, e.g. `iSCSI`; its configfs directory is ``fabricDirectory``.
        public var fabric: String
        /// The name of the target: an iqn, naa or eui name.
        public var targetName: String
        /// The number in `tpgt_1`.
        public var portalGroupTag: UInt16
        /// The number in `lun_0`.
        public var lun: UInt64

        /// A member from its parts.
        public init(fabric: String, targetName: String, portalGroupTag: UInt16, lun: UInt64) {
            self.fabric = fabric
            self.targetName = targetName
            self.portalGroupTag = portalGroupTag
            self.lun = lun
        }

        /// From `iSCSI/iqn.2003-01.org.example:disk/tpgt_1/lun_0`; `nil` for any other form.
        public init?(configfs line: some StringProtocol) {
            let parts = line.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 4, !parts[0].isEmpty, !parts[1].isEmpty,
                parts[2].hasPrefix("tpgt_"), let tag = UInt16(parts[2].dropFirst(5)),
                parts[3].hasPrefix("lun_"), let lun = UInt64(parts[3].dropFirst(4))
            else { return nil }
            self.init(fabric: String(parts[0]), targetName: String(parts[1]), portalGroupTag: tag, lun: lun)
        }

        /// The directory of the fabric under configfs' `target/`: LIO writes `iSCSI` here and `iscsi` there.
        public var fabricDirectory: String { fabric == "iSCSI" ? "iscsi" : fabric }
    }

    /// An attribute that cannot be read, or whose text is not one LIO writes.
    public struct AttributeError: Error, Equatable, CustomStringConvertible {
        /// The name of the group.
        public var group: String
        /// The name of the attribute's file.
        public var attribute: String
        /// Its text; `nil` where it cannot be read.
        public var text: String?

        /// An error from its parts.
        public init(group: String, attribute: String, text: String? = nil) {
            self.group = group
            self.attribute = attribute
            self.text = text
        }

        /// The error as one line of a log.
        public var description: String {
            if let text { return "ALUA group \(group): \(attribute) has unknown value '\(text)'" }
            return "ALUA group \(group): \(attribute) cannot be read"
        }
    }

    /// Builds a group from the texts of its attributes.
    /// - Parameters:
    ///   - name: the name of its directory.
    ///   - attribute: the text of the named attribute without a final newline, or `nil` where it cannot be read.
    /// - Throws: the first attribute that is missing or wrong. `members` may be missing: some fabrics cannot
    ///   tell, and such a group has no ports, as with the original. A line of another form there is an error.
    public init(name: String, attribute: (String) -> String?) throws(AttributeError) {
        func text(_ key: String) throws(AttributeError) -> String {
            guard let text = attribute(key) else { throw AttributeError(group: name, attribute: key) }
            return text
        }
        func value<Value>(_ key: String, _ parse: (String) -> Value?) throws(AttributeError) -> Value {
            let text = try text(key)
            guard let value = parse(text) else {
                throw AttributeError(group: name, attribute: key, text: text)
            }
            return value
        }

        state = try value("alua_access_state") { UInt8($0).flatMap { AccessState(rawValue: $0) } }
        var supported: SupportedStates = []
        for (key, flag) in SupportedStates.attributes where try value(key, { UInt32($0) }) != 0 {
            supported.insert(flag)
        }
        supportedStates = supported
        implicitTransitionSeconds = try value("implicit_trans_secs") { UInt8($0) }
        identifier = try value("tg_pt_gp_id") { UInt16($0) }
        preferred = try value("preferred") { UInt32($0) } != 0
        status = try value("alua_access_status") { AccessStatus(configfs: $0) }
        type = try value("alua_access_type") { AccessType(configfs: $0) }
        members = []
        // LIO separates the lines by a newline and ends each with a NUL.
        let lines = attribute("members")?.split { $0 == "\n" || $0 == "\0" } ?? []
        for line in lines {
            guard let member = Member(configfs: line) else {
                throw AttributeError(group: name, attribute: "members", text: String(line))
            }
            members.append(member)
        }
        self.name = name
    }
}
