internal import BlockBackend
internal import CLinux
internal import Glibc
internal import Synchronization

/// The buffered writes of one image on their way from its loop to a ``FileWriter``: a bounded queue with one producer,
/// the loop, and one consumer, the writer's thread.
///
/// A buffered write copies into the page cache and does not wait for a disk, but most file systems refuse to promise
/// that (RWF_NOWAIT), so that io_uring hands each of them to a worker thread, one by one; that costs three times as
/// much as the write. Here a batch goes over with one store and at most one wake-up.
final class WriteQueue: @unchecked Sendable {
    // SAFETY: `jobs` is written by the producer from `tail` on and read by the consumer from `head` to `tail`, which
    // the two exchange with release and acquire.
    /// Bound: more writes than this at a time go through io_uring. The whole of it is in use in turn, so it is memory
    /// that every written image has: 50 KiB.
    static let capacity = 512
    /// Writes after which the loop is told, however many are left. Bound: answers wait for at most so many writes.
    private static let answersPerWake = 8
    /// A write of this many bytes is told at once: the wake-up is small against it.
    private static let longWrite: UInt64 = 65536

    /// How the image's file system takes a write that must not wait.
    enum Manner: UInt8 {
        /// No write has been tried.
        case unknown
        /// Not at all: writes belong here.
        case refuses
        /// It does, or says that it would wait: io_uring writes without a worker then.
        case complies
    }

    /// What one write came to.
    private struct Answer {
        let ticket: IOTicket
        let result: IOResult
    }

    private let descriptor: CInt
    private let end: FileEnd
    /// Consumer only: when the file's end was looked at last, in coarse milliseconds.
    private var lookedAt = Int64.min
    /// Milliseconds between two looks. Bound: a look is a system call, and no command's share of it may be seen.
    private static let lookPause: Int64 = 10
    /// Consumer only: answers that the loop has not been given yet. Not linked one by one, because a loop that watches
    /// its inbox would take, answer and ring for each of them alone.
    private let answers: UnsafeMutablePointer<Answer>
    private let jobs: UnsafeMutablePointer<FileOperation>
    private let tail = Atomic<Int>(0)
    private let head = Atomic<Int>(0)
    private let manner = Atomic<UInt8>(Manner.unknown.rawValue)
    /// Producer only: jobs behind `tail` that the consumer does not know of yet.
    private var unpublished = 0

    init(descriptor: CInt, end: FileEnd) {
        self.descriptor = descriptor
        self.end = end
        jobs = .allocate(capacity: Self.capacity)
        answers = .allocate(capacity: Self.answersPerWake)
    }

    deinit {
        jobs.deallocate()
        answers.deallocate()
    }

    // MARK: - The loop's side

    /// Whether writes are better off with io_uring.
    var isPassed: Bool { manner.load(ordering: .relaxed) == Manner.complies.rawValue }

    /// Queues a write. Returns false if the queue is full.
    func append(_ operation: FileOperation) -> Bool {
        let end = tail.load(ordering: .relaxed) + unpublished
        // Ordering: acquire pairs with the consumer's release, so the place is no longer read.
        guard end - head.load(ordering: .acquiring) < Self.capacity else { return false }
        (jobs + end % Self.capacity).initialize(to: operation)
        unpublished += 1
        return true
    }

    /// Shows the consumer what was queued. Returns whether there was anything.
    func publish() -> Bool {
        guard unpublished > 0 else { return false }
        // Ordering: sequentially consistent, before the look at whether the writer is parked; it releases the jobs, too.
        tail.store(tail.load(ordering: .relaxed) + unpublished, ordering: .sequentiallyConsistent)
        unpublished = 0
        return true
    }

    // MARK: - The writer's side

    /// Whether jobs wait.
    var isEmpty: Bool {
        head.load(ordering: .relaxed) == tail.load(ordering: .sequentiallyConsistent)
    }

    /// Carries out what is queued now and answers it. Returns whether there was anything.
    func carryOut() -> Bool {
        let start = head.load(ordering: .relaxed)
        // Ordering: acquire pairs with the producer's publish.
        let stop = tail.load(ordering: .acquiring)
        if start != stop { lookAtEnd() }
        var untold = 0
        for position in start..<stop {
            var operation = jobs[position % Self.capacity]
            let isLong = operation.remaining >= Self.longWrite
            if isLong && untold > 0 {
                tell(untold)
                untold = 0
            }
            let result = write(&operation)
            // Ordering: the place is given back before the answer, or the loop could find the queue full.
            head.store(position + 1, ordering: .releasing)
            (answers + untold).initialize(to: Answer(ticket: operation.ticket, result: result))
            untold += 1
            if isLong || untold == Self.answersPerWake || position + 1 == stop {
                tell(untold)
                untold = 0
            }
        }
        return start != stop
    }

    /// Gives the loop the first `count` answers, and wakes it once.
    private func tell(_ count: Int) {
        for index in 0..<count - 1 { answers[index].ticket.leave(answers[index].result) }
        answers[count - 1].ticket.post(answers[count - 1].result)
    }

    /// A write makes a file that was cut off grow again: its size is looked at before, once in a while.
    private func lookAtEnd() {
        let now = clinux_coarse_milliseconds()
        guard lookedAt == Int64.min || now - lookedAt >= WriteQueue.lookPause else { return }
        lookedAt = now
        var facts = stat()
        if fstat(descriptor, &facts) == 0 { end.found(UInt64(clamping: facts.st_size)) }
    }

    private func write(_ operation: inout FileOperation) -> IOResult {
        guard end.has(offset: operation.offset, length: operation.remaining) else { return IOResult(code: -EIO) }
        while true {
            let count =
                switch operation.nextTransfer() {
                case .single(let start, let count): step(iovec(iov_base: start, iov_len: count), operation.offset)
                case .vector(let start, let count): step(start, count, operation.offset)
                }
            if case .over(let result) = operation.outcome(of: Int32(clamping: count)) { return result }
        }
    }

    private func step(_ single: iovec, _ offset: UInt64) -> Int64 {
        if manner.load(ordering: .relaxed) != Manner.unknown.rawValue {
            let written = pwrite(descriptor, single.iov_base, single.iov_len, off_t(offset))
            return written < 0 ? -Int64(errno) : Int64(written)
        }
        var single = single
        return step(&single, 1, offset)
    }

    private func step(_ segments: UnsafeMutablePointer<iovec>, _ count: Int, _ offset: UInt64) -> Int64 {
        if manner.load(ordering: .relaxed) == Manner.unknown.rawValue {
            let tried = clinux_write_vector(descriptor, segments, CInt(count), Int64(offset), true)
            // Any other error says nothing about the file system's manners: the next write tries again.
            if tried >= 0 || tried == -Int64(EAGAIN) {
                manner.store(Manner.complies.rawValue, ordering: .relaxed)
            } else if tried == -Int64(EOPNOTSUPP) {
                manner.store(Manner.refuses.rawValue, ordering: .relaxed)
            }
            if tried >= 0 { return tried }
        }
        return clinux_write_vector(descriptor, segments, CInt(count), Int64(offset), false)
    }
}
