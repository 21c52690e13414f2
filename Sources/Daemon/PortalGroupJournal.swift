internal import ConfigFS
internal import Glibc
internal import SystemPackage

/// Which portal groups have been switched off and must be switched on again, as files that outlive the process: one for
/// each group, with its place in configfs as content. In a directory that a reboot empties, since that switches all
/// groups anew. Blocking, though briefly.
struct PortalGroupJournal: Sendable {
    let directory: FilePath

    private static let prefix = "portal-group,"

    /// Notes a group. - Throws: if it cannot be noted.
    func add(_ group: PortalGroup) throws(ConfigFSError) {
        let path = file(of: group)
        // It is there already nearly always; what else keeps it from being made keeps the file from it too.
        mkdir(directory.string, 0o755)
        do {
            let file = try FileDescriptor.open(
                path, .writeOnly, options: [.create, .truncate, .closeOnExec], permissions: .ownerReadWrite)
            try file.closeAfter { _ = try file.writeAll("\(group)\n".utf8) }
        } catch {
            throw ConfigFSError(
                path: path.string, reason: .refused(value: "\(group)", error as? Errno ?? .ioError))
        }
    }

    /// Forgets a group.
    func remove(_ group: PortalGroup) {
        unlink(file(of: group).string)
    }

    /// Every group noted. What is no note of ours, or was cut short, is left out.
    func entries() -> [PortalGroup] {
        guard let stream = opendir(directory.string) else { return [] }
        defer { closedir(stream) }
        var groups: [PortalGroup] = []
        while let entry = readdir(stream) {
            // SAFETY: d_name ends with a NUL inside the entry, which lives until the next readdir; reached by the entry's
            // own address because the imported tuple may be longer than the entry.
            let start = UnsafeRawPointer(entry).advanced(by: MemoryLayout<dirent>.offset(of: \.d_name) ?? 0)
            let name = String(cString: start.assumingMemoryBound(to: CChar.self))
            guard name.hasPrefix(Self.prefix), let group = read(directory.appending(name)),
                file(of: group).lastComponent?.string == name
            else { continue }
            groups.append(group)
        }
        return groups.sorted { $0.description < $1.description }
    }

    private func read(_ path: FilePath) -> PortalGroup? {
        // Bound: a fabric, a target's name (223 characters at most) and a tag.
        var bytes = [UInt8](repeating: 0, count: 1024)
        guard let file = try? FileDescriptor.open(path, .readOnly, options: .closeOnExec),
            let count = try? file.closeAfter({ try bytes.withUnsafeMutableBytes { try file.read(into: $0) } })
        else { return nil }
        let text = String(decoding: bytes.prefix(count), as: UTF8.self)
        guard text.hasSuffix("\n") else { return nil }
        return PortalGroup(parsing: String(text.dropLast()))
    }

    private func file(of group: PortalGroup) -> FilePath {
        directory.appending(Self.prefix + group.description.split(separator: "/").joined(separator: ","))
    }
}
