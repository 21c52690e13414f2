internal import Glibc
internal import KernelFiles
internal import SystemPackage

/// Something about one device that outlives the daemon and not the device, as one of a few lines in a file.
///
/// A device is what configfs has a directory for: the file says which boot, which directory (by its inode, which the
/// kernel never gives twice) and which configuration it is of, and any other device's or broken content is as no file.
/// In a directory that a reboot empties, since that makes all devices anew. Blocking, though briefly.
struct KeptFile: Sendable {
    /// What it is about.
    enum Subject: String, CaseIterable, Sendable {
        case modes
        case erasure

        fileprivate var title: String {
            switch self {
            case .modes: "mode parameters"
            case .erasure: "erasure"
            }
        }
    }

    let subject: Subject
    /// Where the files are, usually `/run/tcmud`.
    let directory: FilePath
    let backstore: Backstore
    /// The device's configuration text.
    let configuration: String
    /// Source: `random/boot_id`.
    var bootFile = FilePath("/proc/sys/kernel/random/boot_id")

    /// Which of `lines` was kept; nil where nothing was, or what is there is not this device's.
    func read(among lines: [String]) -> Int? {
        // Bound: a name of 255 bytes and a configuration of 256, with every byte escaped.
        guard let path, let header, let bytes = try? SmallFile.prefix(of: path, 16384, .notALink) else {
            return nil
        }
        // There are few contents that are right, so nothing is parsed.
        return lines.firstIndex { bytes.elementsEqual("\(header)\($0)\n".utf8) }
    }

    /// Keeps a line, whole or not at all. Returns the file, which may be removed when the device has gone.
    func write(_ line: String) throws(Errno) -> FilePath {
        guard let path, let header else { throw .noSuchFileOrDirectory }
        // It is there already nearly always; what else keeps it from being made keeps the file from it too.
        mkdir(directory.string, 0o755)
        let new = FilePath(path.string + Self.newSuffix)
        unlink(new.string)
        do {
            let file = try FileDescriptor.open(
                new, .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec, .noFollow],
                permissions: .ownerReadWrite)
            try file.closeAfter { _ = try file.writeAll("\(header)\(line)\n".utf8) }
            guard rename(new.string, path.string) == 0 else { throw Errno(rawValue: errno) }
            return path
        } catch {
            unlink(new.string)
            throw error as? Errno ?? .ioError
        }
    }

    /// Keeps nothing.
    func remove() throws(Errno) {
        guard let path else { throw .noSuchFileOrDirectory }
        guard unlink(path.string) == 0 || errno == ENOENT else { throw Errno(rawValue: errno) }
    }

    /// Forgets the files of devices that are no more. Another configfs than ours has none of ours; of one that cannot be read
    /// nothing is known, and nothing is forgotten.
    static func prune(_ directory: FilePath, tree: ConfigFSTree) {
        // The files first: a device made meanwhile, and its file, are in neither list or in the second one.
        let names = fileNames(in: directory)
        guard !names.isEmpty, let inodes = try? tree.backstoreInodes() else { return }
        let present = Set(
            inodes.flatMap { each in Subject.allCases.map { fileName($0, each.hba, each.inode) } })
        for name in names where !present.contains(name) && !present.contains(where: { name == $0 + newSuffix }) {
            unlink(directory.appending(name).string)
        }
    }

    private static func fileNames(in directory: FilePath) -> [String] {
        let names = (try? DirectoryReader.names(in: directory)) ?? []
        return names.filter { name in Subject.allCases.contains { name.hasPrefix($0.rawValue + ",") } }
    }

    /// Of a file that is being written.
    private static let newSuffix = ".new"

    private static func fileName(_ subject: Subject, _ hba: String, _ inode: UInt64) -> String {
        "\(subject.rawValue),\(hba),\(inode)"
    }

    /// Where it is; nil where the device is not there.
    var path: FilePath? {
        backstore.inode.map { directory.appending(Self.fileName(subject, backstore.name.hbaDirectory, $0)) }
    }

    /// Which device the file is of.
    private var header: String? {
        guard let inode = backstore.inode, let boot = try? SmallFile.prefix(of: bootFile, 64) else { return nil }
        let text = String(decoding: boot.prefix { $0 > 0x20 }, as: UTF8.self)
        return """
            tcmud \(subject.title) 1
            boot \(text)
            device \(backstore.name.description.debugDescription) \(inode)
            configuration \(configuration.debugDescription)

            """
    }
}
