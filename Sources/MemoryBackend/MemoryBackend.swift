public import BlockBackend
internal import Glibc
internal import SystemPackage

/// A logical unit in anonymous memory, for tests and benchmarks. The shortest complete backend: whoever writes
/// one starts here.
///
/// Every operation is a memory copy and answers `.done`, so there is no ticket to post, nothing to reap and no
/// descriptor. Memory is taken page by page as it is written; discarded pages go back to the system. The content
/// ends with `close()`.
public struct MemoryBackend: BlockBackend, ~Copyable, @unchecked Sendable {
    // SAFETY: the mapping belongs to this value alone, and a noncopyable value is in one place at a time.
    private var memory: UnsafeMutableRawBufferPointer

    /// Bytes per page of the mapping: what a discard really frees.
    private let pageSize: Int

    /// Which pages hold something.
    private let pages: PageMap

    /// Constant: all of it native, nothing cached.
    public let capabilities: BackendCapabilities

    /// Size in bytes, as given at open.
    public var size: UInt64 { UInt64(memory.count) }

    /// Reserves address space; pages are taken when they are first written.
    ///
    /// - Parameter size: in bytes, at least 1.
    /// - Throws: EINVAL for a size of 0, ENOMEM where the address space or the overcommit limit ends.
    public static func open(size: UInt64) throws(BackendError) -> MemoryBackend {
        guard size > 0 else { throw BackendError(.invalidArgument, "memory unit of 0 bytes: expected 1 or more") }
        let failed = UnsafeMutableRawPointer(bitPattern: -1)
        guard let length = Int(exactly: size),
            let start = mmap(
                nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
            start != failed
        else { throw BackendError(.noMemory, "no address space for a memory unit of \(size) bytes") }
        let pageSize = max(sysconf(CInt(_SC_PAGESIZE)), 4096)
        guard let pages = PageMap(bytes: length, pageSize: pageSize) else {
            munmap(start, length)
            throw BackendError(.noMemory, "no address space for the page map of a memory unit of \(size) bytes")
        }
        return MemoryBackend(
            memory: UnsafeMutableRawBufferPointer(start: start, count: length), pageSize: pageSize, pages: pages)
    }

    private init(memory: UnsafeMutableRawBufferPointer, pageSize: Int, pages: consuming PageMap) {
        self.memory = memory
        self.pageSize = pageSize
        self.pages = pages
        var capabilities = BackendCapabilities()
        // FUA and flush promise no more than any write here: there is no stable storage to reach.
        capabilities.forceUnitAccess = true
        capabilities.solidState = true
        capabilities.discard = DiscardCapability(
            granularity: UInt64(pageSize), maximumBytes: UInt64(memory.count), readsZeros: true)
        capabilities.nativeWriteSame = true
        capabilities.nativeWriteZeroes = true
        // Bound: all is done on the loop's thread, some 250 us for 1 MiB written and for 4 MiB of pages given back.
        capabilities.steps = StepBytes(pattern: 1 << 20, zeroes: 4 << 20, discard: 4 << 20)
        // Bound: one command must not hold its loop for long; 1 MiB compares and copies in some 100 us.
        capabilities.nativeCompareAndWriteBytes = 1 << 20
        capabilities.reportsAllocation = true
        self.capabilities = capabilities
    }

    deinit {
        if memory.count > 0 { munmap(memory.baseAddress, memory.count) }
    }

    /// Copies `extent` out. Always `.done`.
    public mutating func read(
        _ extent: ByteExtent, into segments: SegmentList, ticket: IOTicket
    ) -> Submission {
        finish(segments.write(UnsafeRawBufferPointer(window(extent))), of: extent)
    }

    /// Copies `extent` in. Always `.done`.
    public mutating func write(
        _ extent: ByteExtent, from segments: SegmentList, durable: Bool, ticket: IOTicket
    ) -> Submission {
        let target = window(extent)
        pages.markWritten(from: Int(extent.offset), count: target.count)
        return finish(segments.read(into: target), of: extent)
    }

    /// Nothing to do. Always `.done`.
    public mutating func flush(ticket: IOTicket) -> Submission { .done(.success) }

    /// Gives the whole pages of `extent` back and zeroes its edges. Always `.done`.
    public mutating func discard(_ extent: ByteExtent, ticket: IOTicket) -> Submission {
        zero(window(extent), at: extent)
    }

    /// As `discard`: a page given back reads zeros, and memory makes no promise of space. Always `.done`.
    public mutating func writeZeroes(_ extent: ByteExtent, ticket: IOTicket) -> Submission {
        zero(window(extent), at: extent)
    }

    /// Copies the pattern to the start of `extent` and then what is there behind itself. Always `.done`.
    public mutating func writeSame(
        _ extent: ByteExtent, pattern segments: SegmentList, patternLength: Int, ticket: IOTicket
    ) -> Submission {
        let target = window(extent)
        guard patternLength > 0, patternLength <= target.count else {
            return .done(target.isEmpty ? .success : IOResult(code: -EINVAL))
        }
        if segments.isZero(length: patternLength) { return zero(target, at: extent) }
        pages.markWritten(from: Int(extent.offset), count: target.count)
        let first = UnsafeMutableRawBufferPointer(rebasing: target[..<patternLength])
        guard segments.read(into: first) == patternLength else { return .done(IOResult(code: -EINVAL)) }
        var filled = patternLength
        while filled < target.count {
            // `filled` is a multiple of the pattern until the last piece, so the copies stay in phase.
            let piece = min(filled, target.count - filled)
            UnsafeMutableRawBufferPointer(rebasing: target[filled..<filled + piece])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: target[..<piece]))
            filled += piece
        }
        return .done(.success)
    }

    /// Compares and copies; atomic because one thread does everything. Always `.done`.
    public mutating func compareAndWrite(
        _ extent: ByteExtent, data segments: SegmentList, ticket: IOTicket
    ) -> Submission {
        let target = window(extent)
        if let offset = segments.firstDifference(from: UnsafeRawBufferPointer(target)) {
            return .done(.miscompare(at: UInt64(offset)))
        }
        guard segments.byteCount >= 2 * extent.length else { return .done(IOResult(code: -EINVAL)) }
        pages.markWritten(from: Int(extent.offset), count: target.count)
        return finish(segments.read(into: target, from: target.count), of: extent)
    }

    /// Tells the pages that were written from those that were not, or were given back. Always `.done`.
    public mutating func survey(_ survey: Survey, ticket: IOTicket) -> Submission {
        if case .allocation(let extent, let limit) = survey.question {
            let bytes = window(extent).count
            pages.report(from: Int(extent.offset), count: bytes, limit: limit, to: survey)
        }
        return .done(.success)
    }

    /// Gives the memory back. The content is gone; a second call does nothing.
    public mutating func close() {
        guard memory.count > 0 else { return }
        munmap(memory.baseAddress, memory.count)
        memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    }

    /// The bytes of `extent`. The unit has checked the range; memory outside the mapping is not worth trusting
    /// that, so here it is an invariant.
    private func window(_ extent: ByteExtent) -> UnsafeMutableRawBufferPointer {
        precondition(
            extent.offset <= size && extent.length <= size - extent.offset,
            "extent \(extent.offset)+\(extent.length) outside a memory unit of \(size) bytes")
        let start = Int(extent.offset)
        return UnsafeMutableRawBufferPointer(rebasing: memory[start..<start + Int(extent.length)])
    }

    private func finish(_ copied: Int, of extent: ByteExtent) -> Submission {
        .done(copied == Int(extent.length) ? .success : IOResult(code: -EINVAL))
    }

    private mutating func zero(_ target: UnsafeMutableRawBufferPointer, at extent: ByteExtent) -> Submission {
        guard let start = target.baseAddress, target.count > 0 else { return .done(.success) }
        let head = min((pageSize - Int(bitPattern: start) % pageSize) % pageSize, target.count)
        let whole = (target.count - head) / pageSize * pageSize
        let tail = target.count - head - whole
        memset(start, 0, head)
        if whole > 0 {
            if madvise(start + head, whole, MADV_DONTNEED) == 0 {
                pages.markGivenBack(from: Int(extent.offset) + head, count: whole)
            } else {
                memset(start + head, 0, whole)
            }
        }
        memset(start + head + whole, 0, tail)
        return .done(.success)
    }
}
