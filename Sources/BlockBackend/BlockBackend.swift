/// What carries out reads and writes for a logical unit: RAM, a file, an RBD image.
///
/// A backend knows byte offsets, buffers and errors, and nothing of SCSI. What it says in ``capabilities``
/// decides what the unit advertises to initiators.
///
/// Contract:
/// - Everything but `close()` is called on the loop thread that owns the unit, one call at a time, and must not
///   block.
/// - Extents lie within ``size``; the caller has checked that. Segments describe at least as many bytes as the
///   operation moves; they point into the shared ring and stay valid until the ticket is posted.
/// - An operation answers either at once, with `.done`, and then never touches its ticket; or with `.pending`,
///   and then posts its ticket exactly once, from any thread, whatever happens.
/// - A transfer is whole or an error: a backend finishes short reads and writes itself and reads zeros where
///   there is nothing.
/// - `submitBatch()` ends each batch of operations; a backend may hold them back until then.
/// - Errors are negative errno values in ``IOResult``; the unit has the one table that turns them into sense. After EAGAIN,
///   EBUSY, ENOMEM and ENOBUFS nothing of the operation was done; after any other it may have been, in part or as a whole.
/// - What a command asks for without data comes in steps, none longer than ``BackendCapabilities/steps`` says.
///
/// A backend has to say what it can do, how large it is, and how it reads, writes, flushes and closes. The rest has
/// defaults (`BlockBackend+Defaults.swift`): those of one that claims no capability beyond, always may write, and answers at
/// once or from threads of its own.
public protocol BlockBackend: ~Copyable {
    /// What this backend can do; constant after open, but for a size change.
    var capabilities: BackendCapabilities { get }

    /// Size in bytes; changed by the keeper alone.
    var size: UInt64 { get }

    /// A descriptor that polls readable while `reap()` has work, or -1: then tickets come from other threads.
    var completionDescriptor: CInt { get }

    /// Whether `reap()` would find something, by a look at memory; false where tickets come from other threads.
    var hasAnswers: Bool { get }

    /// What looks after the backend off the loop; nil where nothing changes by itself.
    var keeper: (any BackendKeeper)? { get }

    /// Counts the times that the right to write was lost: what was read under an earlier value may have been
    /// overwritten by another gateway since. Always 0 where that right is never lost.
    var writeGeneration: UInt64 { get }

    /// Counts the times that another gateway was found to have taken the right to write. A connection that was lost and made
    /// anew, or a lock removed by hand, is none. Always 0 where that right is never lost.
    var takeovers: UInt64 { get }

    /// Whether a write would be carried out now: success, ``IOResult/rightAwaited``, or EAGAIN. With the last two, what is
    /// missing, such as an exclusive lock, has been asked for. Operations that write claim by themselves and say the same; this is
    /// for commands that read first and write what depends on it.
    ///
    /// With `rightAwaited` the unit gets a turn when there is an answer, and may ask this again until then; with EAGAIN
    /// none is to be waited for, and the command may come again.
    mutating func claimWriting() -> IOResult

    /// Whoever waits for the right to write waits no longer: until more is known, `rightAwaited` is EAGAIN.
    mutating func stopAwaitingRight()

    /// A command of many steps begins that needs the right to write until it ends, however long a step of it takes: a backend that
    /// gives the right back at rest keeps it. Another gateway that asks for it gets it all the same.
    mutating func beginNeedingRight()

    /// It has ended. As often as ``beginNeedingRight()``.
    mutating func endNeedingRight()

    /// An operation ended with the negative errno `code`, so that the backend learns what its own tickets carried.
    mutating func operationFailed(_ code: Int32)

    /// Reads `extent` into `segments`.
    mutating func read(_ extent: ByteExtent, into segments: SegmentList, ticket: IOTicket) -> Submission

    /// Reads as `read` does, but the medium itself, as far as a cache can be passed by. What was written before is on the medium:
    /// the caller has flushed. Called only if `capabilities.volatileCache` is true.
    mutating func readMedium(_ extent: ByteExtent, into segments: SegmentList, ticket: IOTicket) -> Submission

    /// Writes `extent` from `segments`; with `durable` (FUA) the data is on stable storage before the answer.
    mutating func write(
        _ extent: ByteExtent, from segments: SegmentList, durable: Bool, ticket: IOTicket
    ) -> Submission

    /// Makes every write answered so far durable.
    mutating func flush(ticket: IOTicket) -> Submission

    /// Deallocates `extent`. Called only if `capabilities.discard` is set; afterwards the range reads zeros where
    /// `capabilities.discard.readsZeros` says so.
    mutating func discard(_ extent: ByteExtent, ticket: IOTicket) -> Submission

    /// Fills `extent` with copies of the pattern that the first `patternLength` bytes of `segments` hold.
    /// Called only if `capabilities.nativeWriteSame` is true; `extent.length` is a multiple of `patternLength`.
    mutating func writeSame(
        _ extent: ByteExtent, pattern segments: SegmentList, patternLength: Int, ticket: IOTicket
    ) -> Submission

    /// Fills `extent` with zeros without carrying them. Unlike after `discard`, the space stays allocated.
    /// Called only if `capabilities.nativeWriteZeroes` is true.
    mutating func writeZeroes(_ extent: ByteExtent, ticket: IOTicket) -> Submission

    /// Atomically compares `extent` with the first `extent.length` bytes of `segments` and, if equal, writes the
    /// next `extent.length` bytes. A difference is `IOResult.miscompare`. Called only if
    /// `capabilities.nativeCompareAndWriteBytes` covers the length.
    mutating func compareAndWrite(
        _ extent: ByteExtent, data segments: SegmentList, ticket: IOTicket
    ) -> Submission

    /// Suggests that `extent` will be read soon (PRE-FETCH). A hint: that nothing came of it is no error.
    mutating func prefetch(_ extent: ByteExtent, ticket: IOTicket) -> Submission

    /// Fills in the answer to `survey`; whatever blocks is done on another thread. Where
    /// `capabilities.reportsAllocation` is false everything counts as mapped, and where
    /// `capabilities.reportsSpace` is false no number is known.
    ///
    /// The answer is a snapshot: operations under way may or may not show in it.
    mutating func survey(_ survey: Survey, ticket: IOTicket) -> Submission

    /// Hands everything submitted since the last call to whoever does it, in one go.
    ///
    /// - Returns: false if some could not be handed over and nothing is under way that would bring the next call.
    @discardableResult
    mutating func submitBatch() -> Bool

    /// Posts the tickets of operations that have finished. Called when `completionDescriptor` polls readable and
    /// after `submitBatch()`.
    mutating func reap()

    /// Releases everything. No ticket is out. May block (flush, lock release, network); called off the loop.
    mutating func close()
}

/// An operation's answer, at once or later.
public enum Submission: Sendable {
    /// Finished; the ticket is unused.
    case done(IOResult)
    /// The ticket will be posted.
    case pending
}
