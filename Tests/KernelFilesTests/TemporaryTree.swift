import Glibc

/// A directory of attribute files that is gone with its owner.
final class TemporaryTree {
    let path: String

    init(_ files: [String: String] = [:]) {
        var template = Array("/tmp/kernel-files-test-XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { name in
            guard let start = name.baseAddress, mkdtemp(start) != nil else { return "" }
            return String(cString: start)
        }
        precondition(!path.isEmpty, "no directory for the test")
        for (name, text) in files { write(text, to: name) }
    }

    deinit { remove(path) }

    /// Writes a file and the directories it needs.
    func write(_ text: String, to name: String) {
        var directory = path
        for part in name.split(separator: "/").dropLast() {
            directory += "/\(part)"
            mkdir(directory, 0o755)
        }
        let file = fopen("\(path)/\(name)", "w")
        precondition(file != nil, "cannot write \(name)")
        let bytes = Array(text.utf8)
        precondition(fwrite(bytes, 1, bytes.count, file) == bytes.count)
        fclose(file)
    }

    /// Makes a link and the directories it needs.
    func link(_ target: String, at name: String) {
        write("", to: name)
        unlink("\(path)/\(name)")
        precondition(symlink(target, "\(path)/\(name)") == 0, "cannot link \(name)")
    }

    /// The bytes of a file.
    func read(_ name: String) -> [UInt8] {
        guard let file = fopen("\(path)/\(name)", "r") else { return [] }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 65536)
        let count = fread(&bytes, 1, bytes.count, file)
        return Array(bytes.prefix(count))
    }

    private func remove(_ path: String) {
        if let stream = opendir(path) {
            var names: [String] = []
            while let entry = readdir(stream) {
                names.append(
                    withUnsafePointer(to: &entry.pointee.d_name) {
                        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                    })
            }
            closedir(stream)
            for name in names where name != "." && name != ".." { remove("\(path)/\(name)") }
            rmdir(path)
        } else {
            unlink(path)
        }
    }
}
