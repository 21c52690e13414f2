internal import BlockBackend
internal import Glibc
internal import SystemPackage

/// The bytes of a passphrase file, wiped when they go out of scope.
struct PassphraseFile: ~Copyable {
    // Bound: cryptsetup takes no longer passphrase from a terminal than 512 bytes; key files are some KiB at most.
    static let longest = 64 << 10

    private let bytes: UnsafeMutableRawBufferPointer
    let count: Int
    /// Whether users of the machine other than owner and group may read it.
    let isWorldReadable: Bool

    /// Reads `path`.
    ///
    /// - Throws: the errno of opening or reading it; EINVAL for what is no regular file or empty; EFBIG for more than
    ///   64 KiB. The text names the file, never what is in it.
    init(_ path: String) throws(BackendError) {
        // Not blocking, or a FIFO in the place would hold the open for ever.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { throw Self.unreadable(path, errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.unreadable(path, errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw BackendError(
                status.st_mode & S_IFMT == S_IFDIR ? .isDirectory : .invalidArgument,
                "passphrase file \(path) is no regular file; expected one that holds the passphrase")
        }
        guard status.st_size <= Self.longest else {
            throw BackendError(
                .fileTooLarge,
                "passphrase file \(path) has \(status.st_size) bytes, expected at most \(Self.longest)")
        }
        // One byte more than is allowed, to see growth meanwhile; not a Swift array, which is copied where nobody sees it.
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.longest + 1, alignment: 16)
        var count = 0
        var problem: CInt = 0
        while count < bytes.count {
            let got = read(descriptor, bytes.baseAddress?.advanced(by: count), bytes.count - count)
            if got < 0 && errno == EINTR { continue }
            if got < 0 { problem = errno }
            if got <= 0 { break }
            count += got
        }
        guard problem == 0, (1...Self.longest).contains(count) else {
            Self.wipe(bytes, count)
            if problem != 0 { throw Self.unreadable(path, problem) }
            throw BackendError(
                count == 0 ? .invalidArgument : .fileTooLarge,
                "passphrase file \(path) has \(count == 0 ? "no" : "too many") bytes, expected 1 to \(Self.longest)"
            )
        }
        self.bytes = bytes
        self.count = count
        isWorldReadable = status.st_mode & S_IROTH != 0
    }

    deinit {
        Self.wipe(bytes, count)
    }

    /// Whether the last byte is a line feed, as editors and `echo` leave it.
    var endsLine: Bool { bytes[count - 1] == UInt8(ascii: "\n") }

    /// Calls `body` with the bytes, which it must not keep.
    func withBytes<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
        // SAFETY: these bytes are bound to no other type, and live until the owner goes.
        guard let text = bytes.bindMemory(to: CChar.self).baseAddress else {
            preconditionFailure("an allocation of some bytes has an address")
        }
        return body(text)
    }

    private static func wipe(_ bytes: UnsafeMutableRawBufferPointer, _ count: Int) {
        // Not memset, which the compiler may leave out before a deallocation.
        if let base = bytes.baseAddress { explicit_bzero(base, count) }
        bytes.deallocate()
    }

    private static func unreadable(_ path: String, _ code: CInt) -> BackendError {
        BackendError(
            Errno(rawValue: code),
            "cannot read passphrase file \(path): \(Errno(rawValue: code)); expected a file that the daemon may read"
        )
    }
}
