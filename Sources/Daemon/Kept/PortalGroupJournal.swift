internal import Glibc
internal import KernelFiles
internal import SystemPackage

/// Which portal groups have been switched off and must be switched on again, as files that outlive the process: one for
/// each group, with its place in configfs as content. In a directory that a reboot empties, since that switches all
/// groups anew. Blocking, though briefly.
struct PortalGroupJournal: Sendable {
    let directory: FilePath

    private static let prefix = "portal-group,"

    /// Notes a group. Throws if it cannot be noted.
    func add(_ group: PortalGroup) throws(KernelFileError) {
        let path = file(of: group)
        // It is there already nearly always; what else keeps it from being made keeps the file from it too.
        mkdir(directory.string, 0o755)
        do {
            let file = try FileDescriptor.open(
                path, .writeOnly, options: [.create, .truncate, .closeOnExec], permissions: .ownerReadWrite)
            try file.closeAfter { _ = try file.writeAll("\(group)\n".utf8) }
        } catch {
            throw KernelFileError(
                path: path.string, reason: .refused(value: "\(group)", error as? Errno ?? .ioError))
        }
    }

    /// Forgets a group.
    func remove(_ group: PortalGroup) {
        unlink(file(of: group).string)
    }

    /// Every group noted. What is no note of ours, or was cut short, is left out.
    func entries() -> [PortalGroup] {
        let names = (try? DirectoryReader.names(in: directory)) ?? []
        let groups = names.compactMap { name -> PortalGroup? in
            guard name.hasPrefix(Self.prefix), let group = read(directory.appending(name)) else { return nil }
            return file(of: group).lastComponent?.string == name ? group : nil
        }
        return groups.sorted { $0.description < $1.description }
    }

    private func read(_ path: FilePath) -> PortalGroup? {
        // Bound: a fabric, a target's name (223 characters at most) and a tag.
        guard let bytes = try? SmallFile.prefix(of: path, 1024) else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        guard text.hasSuffix("\n") else { return nil }
        return PortalGroup(parsing: String(text.dropLast()))
    }

    private func file(of group: PortalGroup) -> FilePath {
        directory.appending(Self.prefix + group.description.split(separator: "/").joined(separator: ","))
    }
}
