internal import BlockBackend
internal import Glibc
internal import KernelFiles
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
        let file: SmallFile
        do throws(Errno) {
            file = try SmallFile(FilePath(path), .regular)
        } catch {
            guard error == .isDirectory || error == .invalidArgument else { throw Self.unreadable(path, error) }
            throw BackendError(
                error, "passphrase file \(path) is no regular file; expected one that holds the passphrase")
        }
        guard file.size <= Self.longest else {
            throw BackendError(
                .fileTooLarge,
                "passphrase file \(path) has \(file.size) bytes, expected at most \(Self.longest)")
        }
        // One byte more than is allowed, to see growth meanwhile; not a Swift array, which is copied where nobody sees it.
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.longest + 1, alignment: 16)
        var count = 0
        do throws(Errno) {
            count = try file.read(into: bytes)
        } catch {
            Self.wipe(bytes, bytes.count)
            throw Self.unreadable(path, error)
        }
        guard (1...Self.longest).contains(count) else {
            Self.wipe(bytes, count)
            throw BackendError(
                count == 0 ? .invalidArgument : .fileTooLarge,
                "passphrase file \(path) has \(count == 0 ? "no" : "too many") bytes, expected 1 to \(Self.longest)"
            )
        }
        self.bytes = bytes
        self.count = count
        isWorldReadable = file.isWorldReadable
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

    private static func unreadable(_ path: String, _ errno: Errno) -> BackendError {
        BackendError(
            errno,
            "cannot read passphrase file \(path): \(errno); expected a file that the daemon may read"
        )
    }
}
