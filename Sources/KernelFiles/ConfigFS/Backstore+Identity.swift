import Glibc
import SystemPackage

extension Backstore {
    /// The inode of the device's directory, by which it differs from every other device that had or will have its name;
    /// nil where it is not there. The kernel counts them on from boot (`get_next_ino`), and keeps one while the directory is.
    public var inode: UInt64? { KernelFiles.inode(of: directory) }
}

extension ConfigFSTree {
    /// The HBA's directory and the inode of every device of TCMU.
    ///
    /// - Throws: if a directory there cannot be read. What goes meanwhile is taken as gone.
    public func backstoreInodes() throws(KernelFileError) -> [(hba: String, inode: UInt64)] {
        let core = root.appending("core")
        var found: [(hba: String, inode: UInt64)] = []
        for hba in try present(core) where hba.utf8.starts(with: "user_".utf8) {
            for name in try present(core.appending(hba)) {
                if let inode = inode(of: core.appending(hba).appending(name)) { found.append((hba, inode)) }
            }
        }
        return found
    }
}

private func inode(of path: FilePath) -> UInt64? {
    var status = stat()
    return stat(path.string, &status) == 0 ? UInt64(status.st_ino) : nil
}
