public import BlockBackend
internal import Glibc

/// A logical unit on a regular file or a block device, read and written through io_uring straight from and into
/// the command's buffers.
///
/// Operations queue up until `submitBatch()`, which gives them to the kernel in one system call; `reap()` posts
/// what has finished. Both run on the loop thread that owns the unit. `open` and `close` may run elsewhere;
/// the completion descriptor must leave the loop's poller before `close`.
public struct FileBackend: BlockBackend, ~Copyable, @unchecked Sendable {
    // SAFETY: everything inside belongs to this value alone, and a noncopyable value is in one place at a time.

    /// Bound: operations in flight; initiators queue far fewer commands. One more is answered EBUSY.
    static let maximumInFlight = 32768

    /// What the file system or the device was found to be capable of at open.
    public let capabilities: BackendCapabilities

    /// Size in bytes that is exported.
    public var size: UInt64 { fileKeeper.exported.pointee }

    private var image: ImageFile
    private var ring: SubmissionRing
    private var operations = OperationTable(capacity: maximumInFlight)
    /// Accepted, but not yet in the ring.
    private var waiting = OperationQueue()
    /// In the ring or with the kernel.
    private var submitted: UInt32 = 0
    /// Where plain writes of a buffered regular file go, and who carries them out; nil for other images.
    private let writes: WriteQueue?
    private let writer: FileWriter?
    private let zeroes: ZeroPages
    /// False once the file system has refused to zero a range.
    private var zeroesRanges = true
    /// Where surveys are answered; uses the image's descriptor, and so ends before it is closed.
    private let surveys: SurveyThread
    private let fileKeeper: FileKeeper
    private let end: FileEnd
    /// What the operator should see in the log.
    public let openNotes: [String]

    /// Opens the image at `path`, which must exist: unlike the original's file handler this one creates nothing.
    ///
    /// The image is claimed for this unit: a lock on a regular file, an exclusive open of a block device.
    /// Blocks; not for a loop thread.
    ///
    /// - Parameters:
    ///   - path: absolute path of a regular file or a block device.
    ///   - direct: bypass the page cache (O_DIRECT). Every buffer must then be aligned to the device's sectors,
    ///     as the ring's are.
    ///   - readOnly: open without write permission and share the claim with other readers.
    ///   - expectedSize: in bytes, all that is exported; a multiple of `blockSize`. The file or block device has at least that.
    ///   - blockSize: bytes per LBA.
    /// - Throws: ENOENT, EACCES, EROFS, EISDIR, ENOTBLK (neither file nor block device), EBUSY (claimed by
    ///   somebody else), EINVAL (size or alignment), ENOSYS and EPERM (no io_uring), and what open(2) has.
    public static func open(
        path: String, direct: Bool, readOnly: Bool = false, expectedSize: UInt64, blockSize: UInt32
    ) throws(BackendError) -> FileBackend {
        let image = try ImageFile.open(
            path: path, direct: direct, readOnly: readOnly, expectedSize: expectedSize, blockSize: blockSize)
        let ring = try SubmissionRing(path: path)
        return FileBackend(image: image, ring: ring, zeroes: try ZeroPages())
    }

    private init(image: consuming ImageFile, ring: consuming SubmissionRing, zeroes: consuming ZeroPages) {
        capabilities = image.capabilities
        fileKeeper = FileKeeper(image)
        end = fileKeeper.end
        openNotes = image.notes
        let facts = FileSurvey(image)
        surveys = SurveyThread { facts.answer($0) }
        let isBuffered = !image.isDirect && !image.isBlockDevice && !image.capabilities.readOnly
        let queue = isBuffered ? WriteQueue(descriptor: image.descriptor, end: fileKeeper.end) : nil
        writer = queue.flatMap { FileWriter.adopt($0) }
        writes = writer == nil ? nil : queue
        self.image = image
        self.ring = ring
        self.zeroes = zeroes
    }

    /// The ring's descriptor.
    public var completionDescriptor: CInt { ring.descriptor }

    /// As the ring says.
    public var hasAnswers: Bool { ring.hasCompletions }

    /// Lets the unit grow; nobody else can take the medium away.
    public var keeper: (any BackendKeeper)? { fileKeeper }

    /// A failure may be that of an image that was cut off: it is looked at.
    public func operationFailed(_ code: Int32) {
        if code == -EIO || code == -ENOSPC, end.noteWrite() { fileKeeper.ring() }
    }

    /// Reads into the segments. Beyond the end of an image that was cut off meanwhile it is EIO, and never zeros.
    public mutating func read(
        _ extent: ByteExtent, into segments: SegmentList, ticket: IOTicket
    ) -> Submission {
        transfer(.read, extent, segments, ticket)
    }

    /// Makes the page cache forget the range and reads it; with O_DIRECT there is no cache.
    public mutating func readMedium(
        _ extent: ByteExtent, into segments: SegmentList, ticket: IOTicket
    ) -> Submission {
        transfer(image.isDirect ? .read : .mediumRead, extent, segments, ticket)
    }

    /// Writes from the segments; `durable` is RWF_DSYNC: this write alone reaches stable storage.
    public mutating func write(
        _ extent: ByteExtent, from segments: SegmentList, durable: Bool, ticket: IOTicket
    ) -> Submission {
        transfer(durable ? .durableWrite : .write, extent, segments, ticket)
    }

    /// fdatasync(2).
    public mutating func flush(ticket: IOTicket) -> Submission {
        if capabilities.readOnly { return .done(.success) }
        return enqueue(FileOperation(.flush, ByteExtent(offset: 0, length: 0), ticket: ticket))
    }

    /// Punches a hole.
    public mutating func discard(_ extent: ByteExtent, ticket: IOTicket) -> Submission {
        start(FileOperation(.discard, extent, ticket: ticket))
    }

    /// Zeroes the range in the file system's metadata, or writes zeros where that has no such operation.
    public mutating func writeZeroes(_ extent: ByteExtent, ticket: IOTicket) -> Submission {
        start(FileOperation(zeroesRanges ? .zeroRange : .zeroWrite, extent, ticket: ticket))
    }

    /// POSIX_FADV_WILLNEED: the page cache reads ahead. With O_DIRECT there is no cache to fill.
    public mutating func prefetch(_ extent: ByteExtent, ticket: IOTicket) -> Submission {
        if image.isDirect { return .done(.success) }
        return start(FileOperation(.prefetch, extent, ticket: ticket))
    }

    /// Holes by SEEK_HOLE and SEEK_DATA, space by fstatvfs(3), both on a thread of their own; of a block device
    /// nothing is known.
    public mutating func survey(_ survey: Survey, ticket: IOTicket) -> Submission {
        surveys.submit(survey, ticket: ticket)
    }

    /// Hands the waiting operations to the kernel, as many as its completion ring has room for; the rest follow
    /// from `reap()`.
    @discardableResult
    public mutating func submitBatch() -> Bool {
        if let writes, let writer, writes.publish() { writer.ring() }
        while let operation = waiting.first, submitted < SubmissionRing.completions {
            if ring.fill(operation, file: image.descriptor, zeroes: zeroes.start) {
                waiting.removeFirst()
                submitted += 1
            } else if !ring.submit() {
                return false
            }
        }
        return ring.submit()
    }

    /// Posts the tickets of finished operations and sends the unfinished ones for their next step.
    public mutating func reap() {
        while true {
            let count = ring.take()
            if count == 0 { break }
            submitted -= UInt32(count)
            for index in 0..<count {
                let (operation, result) = ring.completion(index)
                if let operation { finishStep(of: operation, result: result) }
            }
        }
        if waiting.first != nil { submitBatch() }
    }

    /// Closes ring and image and gives up the claim on the image.
    public mutating func close() {
        precondition(operations.count == 0, "close with \(operations.count) operations in flight")
        fileKeeper.stop()
        surveys.finish()
        if let writes, let writer {
            precondition(writes.isEmpty, "close with writes queued")
            writer.remove(writes)
        }
        ring.close()
        image.close()
    }

    private mutating func transfer(
        _ kind: FileOperation.Kind, _ extent: ByteExtent, _ segments: SegmentList, _ ticket: IOTicket
    ) -> Submission {
        if segments.byteCount < extent.length { return .done(IOResult(code: -EINVAL)) }
        return start(FileOperation(kind, extent, segments: segments, ticket: ticket))
    }

    private mutating func start(_ operation: FileOperation) -> Submission {
        if operation.remaining == 0 { return .done(.success) }
        // A file would take a write beyond its end, and grow.
        guard end.has(offset: operation.offset, length: operation.remaining) else {
            // Perhaps it was grown back, of which truncate(2) tells nobody.
            if end.noteWrite() { fileKeeper.ring() }
            return .done(IOResult(code: -EIO))
        }
        if operation.kind.changes {
            if capabilities.readOnly { return .done(IOResult(code: -EROFS)) }
            if end.noteWrite() { fileKeeper.ring() }
        }
        // Bound: what does not fit in the queue goes the other way; writes in flight have no order among them.
        if case .write = operation.kind, let writes, !writes.isPassed, writes.append(operation) { return .pending }
        return enqueue(operation)
    }

    private mutating func enqueue(_ operation: FileOperation) -> Submission {
        guard let place = operations.insert(operation) else { return .done(IOResult(code: -EBUSY)) }
        waiting.append(place)
        return .pending
    }

    private mutating func finishStep(of operation: UnsafeMutablePointer<FileOperation>, result: Int32) {
        switch operation.pointee.outcome(of: result) {
        case .again:
            waiting.append(operation)
        case .againByWriting:
            zeroesRanges = false
            waiting.append(operation)
        case .cutOff:
            end.ended(at: operation.pointee.offset)
            let ticket = operation.pointee.ticket
            operations.remove(operation)
            ticket.post(IOResult(code: -EIO))
        case .over(let result):
            let ticket = operation.pointee.ticket
            operations.remove(operation)
            ticket.post(result)
        }
    }
}
