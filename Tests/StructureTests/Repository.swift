import Glibc

/// The files that git keeps.
enum Repository {
    /// False in an archive of the sources, where nothing says what is tracked.
    static var isThere: Bool { access("\(SourceTree.root)/.git", F_OK) == 0 }

    /// Paths from the root, as `git ls-files` has them. Files deleted and not yet committed are left out.
    static func trackedFiles() throws -> [String] {
        // Another user may own the checkout (a container's mount); listing names runs nothing of it.
        let command = "git -c safe.directory='*' -C '\(SourceTree.root)' ls-files -z --cached"
        guard let pipe = popen(command, "r") else { throw Failed(status: -1) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while case let count = fread(&chunk, 1, chunk.count, pipe), count > 0 { bytes += chunk.prefix(count) }
        let status = pclose(pipe)
        guard status == 0 else { throw Failed(status: status) }
        let paths = bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        return paths.filter { access("\(SourceTree.root)/\($0)", F_OK) == 0 }
    }

    /// The bytes of a file, at most `limit`, and its whole size.
    static func content(of path: String, limit: Int = .max) throws -> (bytes: [UInt8], size: Int) {
        var facts = stat()
        guard let file = fopen("\(SourceTree.root)/\(path)", "r"), fstat(fileno(file), &facts) == 0 else {
            throw SourceTree.Unreadable(path: path)
        }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: min(Int(facts.st_size), limit))
        let count = fread(&bytes, 1, bytes.count, file)
        return (Array(bytes.prefix(count)), Int(facts.st_size))
    }

    struct Failed: Error, CustomStringConvertible {
        let status: Int32
        var description: String { "git ls-files ended with status \(status)" }
    }
}
