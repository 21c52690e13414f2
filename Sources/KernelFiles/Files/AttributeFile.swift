import SystemPackage

/// One attribute of configfs or sysfs: a small file the kernel fills on read and parses on write.
struct AttributeFile {
    let path: FilePath

    // Bound: a show function of the kernel fills at most one page; the rest is for kernels that learn more.
    private static let longest = 1 << 20

    /// The whole file, whatever its length: the original stopped at 4096 bytes, and for integers at 16.
    func bytes() throws(KernelFileError) -> [UInt8] {
        do {
            return try SmallFile.prefix(of: path, Self.longest)
        } catch {
            throw KernelFileError(path: path.string, reason: .unreadable(error))
        }
    }

    /// The file as text without the line break at its end.
    func text() throws(KernelFileError) -> String {
        var bytes = try bytes()[...]
        while let last = bytes.last, last == 0 || last == UInt8(ascii: "\n") { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The file as a decimal number within `range`.
    func number<Number: FixedWidthInteger & Sendable>(
        in range: ClosedRange<Number>
    ) throws(KernelFileError) -> Number {
        let text = try text()
        guard let number = Number(text), range.contains(number) else {
            throw malformed(text, expected: "a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// The file as the kernel shows a boolean: 0 or 1.
    func flag() throws(KernelFileError) -> Bool { try number(in: 0...1) == 1 }

    /// The file as a count that the kernel prints from 32 bits without a sign; nil where the kernel is too old to have
    /// the file.
    func countIfPresent() throws(KernelFileError) -> Int? {
        do throws(KernelFileError) {
            return try number(in: 0...Int(UInt32.max))
        } catch {
            guard case .unreadable(.noSuchFileOrDirectory) = error.reason else { throw error }
            return nil
        }
    }

    /// Writes `value` and the NUL after it in one call, as the original does: the kernel's parsers take the write as
    /// it comes, so it must be neither split nor joined with another.
    func write(_ value: String) throws(KernelFileError) {
        do {
            let file = try FileDescriptor.open(path, .writeOnly, options: .closeOnExec)
            let bytes = Array(value.utf8) + [0]
            let written = try file.closeAfter { try bytes.withUnsafeBytes { try file.write($0) } }
            if written < bytes.count { throw Errno.ioError }
        } catch {
            throw KernelFileError(path: path.string, reason: .refused(value: value, error as? Errno ?? .ioError))
        }
    }

    func malformed(_ value: String, expected: String) -> KernelFileError {
        KernelFileError(path: path.string, reason: .malformed(value: value, expected: expected))
    }
}

/// The names in a directory in byte order, without `.` and `..`.
func directoryEntries(_ path: FilePath) throws(KernelFileError) -> [String] {
    do {
        return try DirectoryReader.names(in: path)
    } catch {
        throw KernelFileError(path: path.string, reason: .unreadable(error))
    }
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
