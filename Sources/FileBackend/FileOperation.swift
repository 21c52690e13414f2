internal import BlockBackend
internal import Glibc

/// One operation in flight: what is left of it and where it goes on.
///
/// The kernel may move less than it was asked for; then the operation goes another step from where it stopped.
/// Lives in an ``OperationTable``; its address is the ring entry's user data.
struct FileOperation {
    enum Kind {
        case read
        /// A read of what the page cache does not hold: first it is made to forget the range.
        case mediumRead
        case write
        /// A write with FUA.
        case durableWrite
        case flush
        case discard
        /// Zeroes a range without data.
        case zeroRange
        /// Zeroes a range by writing a buffer of zeros, where the file system lacks the above.
        case zeroWrite
        /// A hint that the page cache should hold the range soon.
        case prefetch

        /// True for what changes the image.
        var changes: Bool {
            switch self {
            case .write, .durableWrite, .discard, .zeroRange, .zeroWrite: true
            case .read, .mediumRead, .flush, .prefetch: false
            }
        }
    }

    /// What a read or a write asks the kernel for next.
    enum Transfer {
        /// One buffer, which may be a part of a segment.
        case single(UnsafeMutableRawPointer?, count: Int)
        /// Whole segments.
        case vector(UnsafeMutablePointer<iovec>, count: Int)
    }

    /// What becomes of the operation after a step.
    enum Outcome: Equatable {
        /// Another step is due.
        case again
        /// Another step is due, and the file system cannot zero ranges: it is a write of zeros now.
        case againByWriting
        case over(IOResult)
        /// Over with EIO: a read came to an end of the file that was not there when it was opened.
        case cutOff
    }

    /// Bound: IOV_MAX, what the kernel takes in one vectored call.
    static let vectorLimit = 1024
    /// Bound: the kernel moves at most 2 GiB less a page per call (MAX_RW_COUNT); results are 32-bit.
    static let transferLimit = 1 << 30
    /// Bytes zeroed in one call. Bound: it may keep a kernel thread busy that other units wait for.
    static let zeroRangeLimit: UInt64 = 16 << 20
    /// Bytes that one hint covers; the kernel reads a few megabytes at most, wherever it ends. Bound: the ring entry's
    /// length has 32 bits.
    static let prefetchLimit: UInt64 = 1 << 30
    /// Bound: a device that answers EAGAIN this often in a row is broken, and the operation fails with it.
    static let maximumRetries: UInt8 = 100

    let ticket: IOTicket
    private(set) var kind: Kind
    /// Times in a row that the kernel asked to try again.
    private var retries: UInt8 = 0
    /// Next byte in the file.
    private(set) var offset: UInt64
    /// Bytes from there on.
    private(set) var remaining: UInt64
    private let segments: UnsafeMutablePointer<iovec>?
    private let segmentCount: Int
    /// Segment of the next byte.
    private var index = 0
    /// Bytes of that segment that are done.
    private var skip = 0
    /// The operation behind this one in a queue.
    var next: UnsafeMutablePointer<FileOperation>?

    /// The whole of an operation, before its first step.
    init(_ kind: Kind, _ extent: ByteExtent, segments: SegmentList? = nil, ticket: IOTicket) {
        self.kind = kind
        self.ticket = ticket
        self.segments = segments?.base
        segmentCount = segments?.count ?? 0
        offset = extent.offset
        remaining = extent.length
    }

    /// The longest run that is whole segments or else part of one: the segments themselves are never edited, so
    /// a step starts or ends inside a segment only if it is that segment alone.
    func nextTransfer() -> Transfer {
        let budget = Int(min(remaining, UInt64(FileOperation.transferLimit)))
        var first = index
        while let segments, first < segmentCount, segments[first].iov_len == 0 { first += 1 }
        // Too few segments were refused before; without an address the kernel answers EFAULT.
        guard let segments, first < segmentCount else { return .single(nil, count: budget) }
        let skip = first == index ? skip : 0
        let piece = segments[first].iov_len - skip
        if skip > 0 || piece >= budget {
            return .single(segments[first].iov_base.map { $0 + skip }, count: min(piece, budget))
        }
        var bytes = piece
        var count = 1
        while count < FileOperation.vectorLimit && first + count < segmentCount {
            let (sum, overflow) = bytes.addingReportingOverflow(segments[first + count].iov_len)
            if overflow || sum > budget { break }
            bytes = sum
            count += 1
        }
        return count == 1
            ? .single(segments[first].iov_base, count: piece) : .vector(segments + first, count: count)
    }

    /// Takes in what the kernel answered to a step: a byte count, 0, or a negative errno.
    mutating func outcome(of result: Int32) -> Outcome {
        // A hint that came to nothing is no error, and not worth another try.
        if kind == .prefetch { return .over(.success) }
        if (result == -EINTR || result == -EAGAIN) && retries < FileOperation.maximumRetries {
            retries += 1
            return .again
        }
        // Forgotten as far as it could be: pages that are written meanwhile stay.
        if kind == .mediumRead {
            kind = .read
            return .again
        }
        if result == -EOPNOTSUPP && kind == .zeroRange {
            kind = .zeroWrite
            return .againByWriting
        }
        if result < 0 { return .over(IOResult(code: result)) }
        switch kind {
        case .flush, .discard, .prefetch, .mediumRead: return .over(.success)
        case .zeroRange:
            advance(by: Int(min(remaining, FileOperation.zeroRangeLimit)))
            return remaining == 0 ? .over(.success) : .again
        case .read where result == 0: return .cutOff
        case .write where result == 0, .durableWrite where result == 0, .zeroWrite where result == 0:
            return .over(IOResult(code: -EIO))
        case .read, .write, .durableWrite, .zeroWrite:
            advance(by: Int(result))
            return remaining == 0 ? .over(.success) : .again
        }
    }

    /// Notes that `count` bytes moved; more than what was left counts as all of it.
    private mutating func advance(by count: Int) {
        let moved = min(UInt64(count), remaining)
        offset += moved
        remaining -= moved
        retries = 0
        guard let segments else { return }
        skip += Int(moved)
        while index < segmentCount && skip >= segments[index].iov_len {
            skip -= segments[index].iov_len
            index += 1
        }
    }
}
