internal import BlockBackend
internal import Glibc
internal import SystemPackage

/// A buffer of zeros to write from. Never written to, so the system backs all of it with its one page of zeros.
struct ZeroPages: ~Copyable {
    /// Bytes in the buffer.
    static let count = 1 << 20

    let start: UnsafeMutableRawPointer

    init() throws(BackendError) {
        guard let start = mmap(nil, ZeroPages.count, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            start != UnsafeMutableRawPointer(bitPattern: -1)
        else { throw BackendError(.noMemory, "no address space for a buffer of \(ZeroPages.count) bytes") }
        self.start = start
    }

    deinit {
        munmap(start, ZeroPages.count)
    }
}
