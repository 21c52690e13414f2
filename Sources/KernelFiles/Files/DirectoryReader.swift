internal import Glibc
public import SystemPackage

/// The one reader of directories in this package.
public enum DirectoryReader {
    /// The names in a directory in byte order, without `.` and `..`.
    ///
    /// - Throws: what opendir(3) says.
    public static func names(in directory: FilePath) throws(Errno) -> [String] {
        guard let stream = opendir(directory.string) else { throw Errno(rawValue: errno) }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            // SAFETY: d_name ends with a NUL inside the entry, which lives until the next readdir; the name is copied
            // through the entry's own address because the imported 256-byte tuple may be longer than the entry.
            let start = UnsafeRawPointer(entry).advanced(by: MemoryLayout<dirent>.offset(of: \.d_name) ?? 0)
            let name = String(cString: start.assumingMemoryBound(to: CChar.self))
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }
}
