internal import Glibc
public import SystemPackage

/// A file that is there for one test.
public final class TemporaryImage {
    /// Where it is.
    public let path: String

    /// Creates a sparse file of `size` bytes in `TMPDIR`, or /var/tmp: /tmp may be memory, which lacks O_DIRECT.
    ///
    /// - Throws: what the file system says.
    public init(size: Int) throws(Errno) {
        let folder = getenv("TMPDIR").map { String(cString: $0) } ?? "/var/tmp"
        var template = Array("\(folder)/tcmu-image-XXXXXX".utf8CString)
        let descriptor = template.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.map { mkstemp($0) } ?? -1
        }
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        path = template.withUnsafeBufferPointer { buffer in
            buffer.baseAddress.map { String(cString: $0) } ?? ""
        }
        let truncated = ftruncate(descriptor, off_t(size))
        let failure = Errno(rawValue: errno)
        close(descriptor)
        if truncated != 0 {
            unlink(path)
            throw failure
        }
    }

    deinit {
        unlink(path)
    }
}
