internal import Glibc
public import SystemPackage

/// An open file that is small by nature: an attribute of sysfs, configfs or proc, a settings file, a note that outlives the
/// process. The one reader of such files in this package; each caller names the bound that its file has.
public struct SmallFile: ~Copyable {
    /// What the path may lead to.
    public enum Kind: Sendable {
        /// Anything that can be opened: what the kernel or the system put there.
        case any
        /// Not a symbolic link: for directories into which others may write. ELOOP for a link.
        case notALink
        /// A regular file, opened without blocking: people put these files there, and a FIFO in the place would hold the open for
        /// ever. EISDIR for a directory, EINVAL for all else.
        case regular
    }

    private let descriptor: CInt
    private let status: stat

    /// Opens a file for reading.
    ///
    /// - Throws: what open(2) says, and what ``Kind`` adds to it.
    public init(_ path: FilePath, _ kind: Kind = .any) throws(Errno) {
        let flags =
            switch kind {
            case .any: O_RDONLY | O_CLOEXEC
            case .notALink: O_RDONLY | O_CLOEXEC | O_NOFOLLOW
            case .regular: O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY
            }
        let descriptor = open(path.string, flags)
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        var status = stat()
        var problem: Errno?
        if fstat(descriptor, &status) != 0 {
            problem = Errno(rawValue: errno)
        } else if kind == .regular && status.st_mode & S_IFMT != S_IFREG {
            problem = status.st_mode & S_IFMT == S_IFDIR ? .isDirectory : .invalidArgument
        }
        if let problem {
            close(descriptor)
            throw problem
        }
        self.descriptor = descriptor
        self.status = status
    }

    deinit { close(descriptor) }

    /// Bytes as the file system tells them; files of the kernel say 0, or a page.
    public var size: Int { Int(status.st_size) }

    /// Whether users other than owner and group may read it.
    public var isWorldReadable: Bool { status.st_mode & S_IROTH != 0 }

    /// Reads on until `buffer` is full or the file ends.
    ///
    /// - Returns: how many bytes were read.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        var count = 0
        while count < buffer.count {
            let got = Glibc.read(descriptor, buffer.baseAddress?.advanced(by: count), buffer.count - count)
            if got < 0 && errno == EINTR { continue }
            if got < 0 { throw Errno(rawValue: errno) }
            if got == 0 { break }
            count += got
        }
        return count
    }

    /// The first `limit` bytes of a file, or all of it if it is shorter.
    public static func prefix(of path: FilePath, _ limit: Int, _ kind: Kind = .any) throws(Errno) -> [UInt8] {
        let file = try SmallFile(path, kind)
        var bytes: [UInt8] = []
        // Bound: a page holds nearly every attribute; what is longer is read in few calls.
        var chunk = 4096
        while bytes.count < limit {
            let room = min(chunk, limit - bytes.count)
            var problem: Errno?
            let part = [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
                do throws(Errno) {
                    count = try file.read(into: UnsafeMutableRawBufferPointer(buffer))
                } catch {
                    problem = error
                }
            }
            if let problem { throw problem }
            bytes += part
            if part.count < room { break }
            chunk = min(chunk * 4, 1 << 20)
        }
        return bytes
    }

    /// The whole file.
    ///
    /// - Throws: EFBIG if it has more than `limit` bytes.
    public static func bytes(of path: FilePath, atMost limit: Int, _ kind: Kind = .any) throws(Errno) -> [UInt8] {
        let bytes = try prefix(of: path, limit + 1, kind)
        guard bytes.count <= limit else { throw .fileTooLarge }
        return bytes
    }
}
