public import SystemPackage

/// The target core's tree in configfs (`/sys/kernel/config/target`): backstores, fabrics and their attributes.
///
/// Every call is a system call or several, and the kernel may hold the caller: while a device is being removed it holds
/// that device's directory locked, and a read there waits until the removal has been answered. So no call for a device
/// whose removal is under way, and none from a thread that serves commands or answers netlink events.
public struct ConfigFSTree: Sendable {
    /// The directory that holds `core` and one directory per fabric.
    public let root: FilePath

    /// The tree below a mount point of configfs, usually `/sys/kernel/config`.
    public init(mountedAt mountPoint: FilePath) {
        root = mountPoint.appending("target")
    }

    /// Whether the target core is there: target_core_mod makes the directory.
    public var isPresent: Bool { (try? directoryEntries(root)) != nil }

    /// A device of TCMU. Nothing is read yet.
    public func backstore(_ name: BackstoreName) -> Backstore {
        // The name is one path component: BackstoreName has seen to it.
        Backstore(
            name: name, directory: root.appending("core").appending(name.hbaDirectory).appending(name.name))
    }

    /// The other HBAs of TCMU that have a backstore of the same name; none where that cannot be read.
    public func namesakes(of name: BackstoreName) -> [String] {
        let core = root.appending("core")
        let hbas = (try? directoryEntries(core)) ?? []
        return hbas.filter { hba in
            guard hba.utf8.starts(with: "user_".utf8), hba != name.hbaDirectory else { return false }
            return (try? directoryEntries(core.appending(hba).appending(name.name))) != nil
        }
    }

    /// A fabric's target portal group. Nothing is read yet.
    public func targetPort(_ member: TargetPortGroupMember) -> TargetPort {
        let group = root.appending(member.fabricDirectory).appending(member.wwn).appending("tpgt_\(member.tag)")
        return TargetPort(groupDirectory: group, unitDirectory: group.appending("lun").appending(member.unit))
    }
}
