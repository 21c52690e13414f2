internal import BlockBackend
internal import CLinux
internal import CURing
internal import Glibc
internal import SystemPackage

/// Owner of one io_uring instance.
///
/// Entries are filled and completions taken by one thread at a time; the ring itself does not care which.
struct SubmissionRing: ~Copyable {
    typealias Operation = UnsafeMutablePointer<FileOperation>

    /// Submission entries. Bound: one system call hands over at most this many; more take another call.
    static let entries: UInt32 = 256
    /// Completions that the ring holds. Bound: no more operations than this are given to the kernel at a time, so
    /// that none ever lands in its overflow list, which can fail to allocate.
    static let completions: UInt32 = 4096
    /// Completions taken in one go.
    private static let batch: UInt32 = 64
    /// Bound: tries before leaving entries to the next call, when the kernel has no memory for them.
    private static let submitAttempts = 16

    private let ring: OpaquePointer
    private let taken: UnsafeMutablePointer<curing_completion>
    private var isOpen = true

    /// Sets the ring up.
    ///
    /// - Throws: ENOSYS or EPERM where io_uring is missing or forbidden, ENOMEM, EMFILE.
    init(path: String) throws(BackendError) {
        var code: CInt = 0
        guard let ring = curing_create(SubmissionRing.entries, SubmissionRing.completions, &code) else {
            throw SubmissionRing.refusal(Errno(rawValue: code), path: path)
        }
        // Buffered writes of most file systems, and all of fsync and fallocate, run on helper threads of the
        // submitting thread. Bound: one of them for all rings of one loop, so that the daemon's threads are few and
        // countable; the second kind (sockets, pipes) is never used here. The limit goes with the ring to every
        // thread that submits to it.
        curing_limit_workers(ring, 1, 1)
        self.ring = ring
        taken = .allocate(capacity: Int(SubmissionRing.batch))
        taken.initialize(repeating: curing_completion(), count: Int(SubmissionRing.batch))
    }

    deinit {
        if isOpen { curing_destroy(ring) }
        taken.deallocate()
    }

    /// Releases the ring. Nothing may be in flight.
    mutating func close() {
        guard isOpen else { return }
        isOpen = false
        curing_destroy(ring)
    }

    private static func refusal(_ error: Errno, path: String) -> BackendError {
        switch error {
        case .noFunction:
            return BackendError(
                error, "image \(path): this kernel or container has no io_uring (CONFIG_IO_URING, seccomp filter)")
        case .notPermitted, .permissionDenied:
            return BackendError(
                error,
                "image \(path): io_uring is forbidden here: allow it with sysctl kernel.io_uring_disabled=0 "
                    + "or in the container's seccomp profile")
        case .noMemory:
            return BackendError(
                error, "image \(path): no memory for an io_uring: raise the limit on locked memory (ulimit -l)")
        default:
            return BackendError(error, "image \(path): io_uring cannot be set up: \(error)")
        }
    }

    /// Polls readable while there are completions.
    var descriptor: CInt { isOpen ? curing_descriptor(ring) : -1 }

    /// Fills an entry with the next step of `operation` on `file`. Returns false when the ring is full.
    func fill(_ operation: Operation, file: CInt, zeroes: UnsafeMutableRawPointer) -> Bool {
        let offset = operation.pointee.offset
        let length = operation.pointee.remaining
        switch operation.pointee.kind {
        case .mediumRead:
            // The kernel keeps what the range only touches, and page cache comes in pieces (folios) of up to 2 MiB. Bound: a
            // transfer, far below 32 bits.
            let piece: UInt64 = 2 << 20
            let start = offset / piece * piece
            let end = (offset + length + piece - 1) / piece * piece
            return curing_dontneed(ring, file, start, UInt32(clamping: end - start), operation)
        case .read, .write, .durableWrite:
            return fillTransfer(operation, file: file)
        case .flush:
            return curing_datasync(ring, file, operation)
        case .discard:
            return curing_fallocate(ring, file, clinux_falloc_punch_hole(), offset, length, operation)
        case .zeroRange:
            let step = min(length, FileOperation.zeroRangeLimit)
            return curing_fallocate(ring, file, clinux_falloc_zero_range(), offset, step, operation)
        case .zeroWrite:
            let count = UInt32(min(length, UInt64(ZeroPages.count)))
            return curing_transfer(ring, CURING_WRITE, file, zeroes, count, offset, false, operation)
        case .prefetch:
            let hinted = UInt32(min(length, FileOperation.prefetchLimit))
            return curing_willneed(ring, file, offset, hinted, operation)
        }
    }

    private func fillTransfer(_ operation: Operation, file: CInt) -> Bool {
        let isRead = operation.pointee.kind == .read
        let durable = operation.pointee.kind == .durableWrite
        let offset = operation.pointee.offset
        switch operation.pointee.nextTransfer() {
        case .single(let start, let count):
            let kind = isRead ? CURING_READ : CURING_WRITE
            return curing_transfer(ring, kind, file, start, UInt32(count), offset, durable, operation)
        case .vector(let start, let count):
            let kind = isRead ? CURING_READV : CURING_WRITEV
            return curing_transfer(ring, kind, file, start, UInt32(count), offset, durable, operation)
        }
    }

    /// Hands the filled entries to the kernel.
    ///
    /// - Returns: true if it took them all. If not, it was short of memory; they stay for the next call.
    func submit() -> Bool {
        var attempts = 0
        while curing_unsubmitted(ring) > 0 {
            let code = curing_submit(ring)
            if code > 0 || code == -EINTR { continue }
            precondition(
                code == 0 || code == -EAGAIN || code == -EBUSY || code == -ENOMEM,
                "io_uring_enter on our own ring failed with errno \(-code)")
            attempts += 1
            if attempts == SubmissionRing.submitAttempts { return false }
            sched_yield()
        }
        return true
    }

    /// Whether completions wait, or would after the next system call; reads memory only.
    var hasCompletions: Bool { isOpen && curing_has_completions(ring) }

    /// Takes a batch of completions. Returns how many ``completion(_:)`` now holds.
    func take() -> Int { Int(curing_take(ring, taken, SubmissionRing.batch)) }

    /// Completion `index` of the last batch: whose it is and what the kernel answered.
    func completion(_ index: Int) -> (operation: Operation?, result: Int32) {
        // SAFETY: fill() made every entry's user data out of such a pointer.
        (taken[index].data?.assumingMemoryBound(to: FileOperation.self), taken[index].result)
    }
}
