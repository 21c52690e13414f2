import Glibc

/// The repository's text files as these tests see them.
enum SourceTree {
    /// The directory that holds Package.swift.
    static let root: String = {
        let parts = #filePath.split(separator: "/")
        return "/" + parts.dropLast(3).joined(separator: "/")
    }()

    /// A Swift file of `Sources` or elsewhere.
    struct File {
        /// Path from the repository's root.
        let path: String
        let lines: [Substring]

        /// Folder below `Sources`: the module that the file belongs to.
        var module: String { path.split(separator: "/").dropFirst().first.map(String.init) ?? "" }
    }

    /// Every file below `folder` whose name ends in `suffix`, ordered by path.
    static func files(in folder: String, suffix: String = ".swift") throws -> [File] {
        try paths(below: folder).filter { $0.hasSuffix(suffix) }.sorted().map { path in
            File(path: path, lines: try text(of: path).split(separator: "\n", omittingEmptySubsequences: false))
        }
    }

    /// Names of the folders directly below `folder`.
    static func folders(in folder: String) throws -> [String] {
        try entries(of: folder).filter { $0.isFolder }.map(\.name).sorted()
    }

    /// The whole text of the file at `path` from the root.
    static func text(of path: String) throws -> String {
        guard let file = fopen("\(root)/\(path)", "r") else { throw Unreadable(path: path) }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk.prefix(count) }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func paths(below folder: String) throws -> [String] {
        try entries(of: folder).flatMap { entry in
            let path = "\(folder)/\(entry.name)"
            return entry.isFolder ? try paths(below: path) : [path]
        }
    }

    private static func entries(of folder: String) throws -> [(name: String, isFolder: Bool)] {
        guard let stream = opendir("\(root)/\(folder)") else { throw Unreadable(path: folder) }
        defer { closedir(stream) }
        var found: [(name: String, isFolder: Bool)] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasPrefix(".") { continue }
            found.append((name: name, isFolder: Int32(entry.pointee.d_type) == Int32(DT_DIR)))
        }
        return found
    }

    struct Unreadable: Error, CustomStringConvertible {
        let path: String
        var description: String { "cannot read \(path) below \(root)" }
    }
}
