internal import KernelFiles
public import SystemPackage

/// What is wrong with a file of `luns.d`, for one line of the log.
public struct LUNFileError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What the kernel is told: EINVAL for a file's contents.
    public let errno: Errno
    /// File, line and problem.
    public let description: String
}

/// The directory of per-LUN files: `NAME.yaml`, one for each LUN that needs settings which have no place in its config string.
///
/// Read anew for each LUN that is opened, so a file that changed counts at the next open. A file that cannot be used fails
/// the LUN that its first key, `lun`, names, and no other.
public struct LUNFiles: Sendable {
    // Bound: a settings file is some hundred bytes; a directory holds one per LUN.
    static let longestFile = 64 << 10
    static let mostFiles = 4096

    private let directory: FilePath

    /// The files of `directory`, which need not exist.
    public init(directory: FilePath) {
        self.directory = directory
    }

    /// The settings of one LUN.
    ///
    /// - Parameters:
    ///   - identity: ``DeviceConfiguration/identity``, as `rbd/pool/image`.
    ///   - backstore: the name of its directory in configfs.
    ///   - hba: the directory above it, as `user_0`; a file may name the LUN by both, `user_0/disk`.
    ///   - namesakes: the other HBAs that have a backstore of that name. A file that names it without its HBA would be all of
    ///     theirs, and read_only or a passphrase of one is not the other's: it fails the LUN.
    /// - Returns: the settings, and lines for the log about files of which nobody can say whose they are.
    /// - Throws: EINVAL naming file and line for a file of this LUN that cannot be used, and for a second one; the errno
    ///   of reading the directory.
    public func settings(
        of identity: String, backstore: String, hba: String = "", namesakes: [String] = []
    ) throws(LUNFileError) -> (settings: LUNSettings, notes: [String]) {
        var notes: [String] = []
        var found: (path: String, line: Int, text: SettingsText)?
        for name in try names() {
            let path = "\(directory)/\(name)"
            let text: SettingsText
            do {
                text = SettingsText(
                    parsing: try SmallFile.bytes(of: FilePath(path), atMost: Self.longestFile, .regular))
            } catch {
                notes.append("\(path.printable) counts for no LUN: \(error)")
                continue
            }
            guard let (lun, line) = Self.owner(text, path, &notes) else { continue }
            let isPlainName = lun.utf8.elementsEqual(backstore.utf8)
            let isOurs =
                isPlainName || lun.utf8.elementsEqual(identity.utf8)
                || lun.utf8.elementsEqual("\(hba)/\(backstore)".utf8)
            guard isOurs else { continue }
            if isPlainName, let other = namesakes.first {
                throw LUNFileError(
                    errno: .invalidArgument,
                    description: """
                        \(path.printable):\(line): lun: \(lun.printable) names two LUNs, \(hba)/\(lun.printable) and \
                        \(other)/\(lun.printable); expected one of these, or the LUN's config string
                        """)
            }
            if let found {
                throw LUNFileError(
                    errno: .invalidArgument,
                    description:
                        "\(path.printable):\(line): this LUN has a file already, \(found.path.printable):\(found.line)"
                )
            }
            found = (path, line, text)
        }
        guard let found else { return (LUNSettings(), notes) }
        do throws(SettingsProblem) {
            if let problem = found.text.problem { throw problem }
            var settings = LUNSettings()
            try settings.apply(found.text.entries)
            settings.file = found.path
            return (settings, notes)
        } catch {
            throw LUNFileError(
                errno: .invalidArgument,
                description: "\(found.path.printable):\(error.line): \(error.text.printable)")
        }
    }

    /// Whose file it is: the value of its first key. Nil where it does not say, with a note.
    private static func owner(
        _ text: SettingsText, _ path: String, _ notes: inout [String]
    ) -> (lun: String, line: Int)? {
        do throws(SettingsProblem) {
            guard let first = text.entries.first, first.key == "lun" else {
                throw text.problem
                    ?? SettingsProblem(line: text.entries.first?.line ?? 1, text: "expected lun: as first key")
            }
            return (try first.text(), first.line)
        } catch {
            notes.append("\(path.printable):\(error.line): \(error.text.printable); the file counts for no LUN")
            return nil
        }
    }

    /// The files' names in order; none where the directory does not exist.
    private func names() throws(LUNFileError) -> [String] {
        let names: [String]
        do {
            names = try DirectoryReader.names(in: directory)
        } catch {
            if error == .noSuchFileOrDirectory { return [] }
            throw LUNFileError(errno: error, description: "\(directory.string.printable) cannot be read: \(error)")
        }
        let files = names.filter { $0.utf8.count > 5 && $0.hasSuffix(".yaml") && !$0.hasPrefix(".") }
        guard files.count <= Self.mostFiles else {
            throw LUNFileError(
                errno: .fileTooLarge,
                description: "\(directory.string.printable) holds more than \(Self.mostFiles) files")
        }
        return files
    }
}
