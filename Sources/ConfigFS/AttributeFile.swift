import Glibc
import SystemPackage

/// One attribute of configfs or sysfs: a small file the kernel fills on read and parses on write.
struct AttributeFile {
    let path: FilePath

    // Bound: a show function of the kernel fills at most one page; the rest is for kernels that learn more.
    private static let longest = 1 << 20

    /// The whole file, whatever its length: the original stopped at 4096 bytes, and for integers at 16.
    func bytes() throws(ConfigFSError) -> [UInt8] {
        do {
            let file = try FileDescriptor.open(path, .readOnly, options: .closeOnExec)
            return try file.closeAfter {
                var bytes: [UInt8] = []
                let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 1)
                defer { chunk.deallocate() }
                while bytes.count < Self.longest {
                    let count = try file.read(into: chunk)
                    if count == 0 { break }
                    bytes += chunk.prefix(count)
                }
                return bytes
            }
        } catch {
            throw ConfigFSError(path: path.string, reason: .unreadable(error as? Errno ?? .ioError))
        }
    }

    /// The file as text without the line break at its end.
    func text() throws(ConfigFSError) -> String {
        var bytes = try bytes()[...]
        while let last = bytes.last, last == 0 || last == UInt8(ascii: "\n") { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The file as a decimal number within `range`.
    func number<Number: FixedWidthInteger & Sendable>(
        in range: ClosedRange<Number>
    ) throws(ConfigFSError) -> Number {
        let text = try text()
        guard let number = Number(text), range.contains(number) else {
            throw malformed(text, expected: "a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// The file as the kernel shows a boolean: 0 or 1.
    func flag() throws(ConfigFSError) -> Bool { try number(in: 0...1) == 1 }

    /// The file as a count that the kernel prints from 32 bits without a sign; nil where the kernel is too old to have
    /// the file.
    func countIfPresent() throws(ConfigFSError) -> Int? {
        do throws(ConfigFSError) {
            return try number(in: 0...Int(UInt32.max))
        } catch {
            guard case .unreadable(.noSuchFileOrDirectory) = error.reason else { throw error }
            return nil
        }
    }

    /// Writes `value` and the NUL after it in one call, as the original does: the kernel's parsers take the write as
    /// it comes, so it must be neither split nor joined with another.
    func write(_ value: String) throws(ConfigFSError) {
        do {
            let file = try FileDescriptor.open(path, .writeOnly, options: .closeOnExec)
            let bytes = Array(value.utf8) + [0]
            let written = try file.closeAfter { try bytes.withUnsafeBytes { try file.write($0) } }
            if written < bytes.count { throw Errno.ioError }
        } catch {
            throw ConfigFSError(path: path.string, reason: .refused(value: value, error as? Errno ?? .ioError))
        }
    }

    func malformed(_ value: String, expected: String) -> ConfigFSError {
        ConfigFSError(path: path.string, reason: .malformed(value: value, expected: expected))
    }
}

/// The names in a directory in byte order, without `.` and `..`.
func directoryEntries(_ path: FilePath) throws(ConfigFSError) -> [String] {
    guard let stream = opendir(path.string) else {
        throw ConfigFSError(path: path.string, reason: .unreadable(Errno(rawValue: errno)))
    }
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

extension FilePath {
    /// This path with one more name, which must be a name and nothing else: what comes out of a kernel file must not
    /// lead out of the tree.
    func adding(_ name: String) -> FilePath? {
        guard isPathComponent(name) else { return nil }
        return appending(name)
    }
}

/// Whether `name` can be one name in a path: not empty, not `.` or `..`, without `/` and NUL.
func isPathComponent(_ name: String) -> Bool {
    !name.isEmpty && name != "." && name != ".." && !name.utf8.contains { $0 == 0 || $0 == UInt8(ascii: "/") }
}
