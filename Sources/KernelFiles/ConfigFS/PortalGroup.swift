internal import SystemPackage

/// A fabric's target portal group: what initiators log in to, and may be switched off as a whole.
public struct PortalGroup: Hashable, Sendable, CustomStringConvertible {
    /// The fabric's directory in configfs: "iscsi", "loopback".
    public let fabric: String
    /// The target's name.
    public let wwn: String
    /// Tag of the group.
    public let tag: UInt16

    /// The portal group that a LUN is in.
    public init(of member: TargetPortGroupMember) {
        (fabric, wwn, tag) = (member.fabricDirectory, member.wwn, member.tag)
    }

    /// A portal group from ``description``; nil if the text is none.
    public init?(parsing text: String) {
        guard let member = TargetPortGroupMember(parsing: text + "/lun") else { return nil }
        self.init(of: member)
    }

    /// `<fabric>/<target>/tpgt_<tag>`, its place below the root of the target core.
    public var description: String { "\(fabric)/\(wwn)/tpgt_\(tag)" }

    /// Whether the group serves initiators; nil where the fabric cannot switch it, or the group has gone.
    public func isEnabled(in tree: ConfigFSTree) throws(KernelFileError) -> Bool? {
        do {
            return try file(in: tree).flag()
        } catch {
            if error.reason == .unreadable(.noSuchFileOrDirectory) { return nil }
            throw error
        }
    }

    /// Switches the group. Off logs every initiator out, and returns when all commands of all its LUNs have ended.
    public func setEnabled(_ enabled: Bool, in tree: ConfigFSTree) throws(KernelFileError) {
        try file(in: tree).write(enabled ? "1" : "0")
    }

    private func file(in tree: ConfigFSTree) -> AttributeFile {
        AttributeFile(
            path: tree.root.appending(fabric).appending(wwn).appending("tpgt_\(tag)").appending("enable"))
    }
}
