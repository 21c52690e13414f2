internal import Synchronization

/// Writes of one open image: how many were started, how many have ended, and who wants to know of failures. Says when
/// the end of every write is known, which is when the lock may be given away.
///
/// An image has two (``WriteGauges``).
struct WriteGauge: ~Copyable {
    /// Started on the loop's thread; written there only.
    var started: UInt64 = 0
    /// Flushes started on the loop's thread; written there only. Apart from writes: an initiator that flushes writes nothing, and
    /// a lock that is asked for is given away with a flush under way, since librbd does its own.
    var flushesStarted: UInt64 = 0
    /// No write on it is older: milliseconds of `KeeperClock`. Written while no write on it is under way.
    fileprivate(set) var since: Int64
    /// No part of a write that has ended earlier than this after its start has timed out, in milliseconds.
    private let patience: Int64
    /// Ended on librbd's thread.
    private let finished = Atomic<UInt64>(0)
    /// Flushes that have ended, on librbd's thread.
    private let flushed = Atomic<UInt64>(0)
    /// Some write has ended in a way that leaves open whether it will be carried out; for as long as the image is open.
    private let uncertain = Atomic<Bool>(false)
    private let failed: Unmanaged<WriteFailureHandler>

    /// Of an image without writes.
    ///
    /// - Parameters:
    ///   - patience: milliseconds after which an OSD that does not answer is given up.
    ///   - now: of `KeeperClock`.
    init(_ handler: WriteFailureHandler, patience: Int64, now: Int64) {
        failed = Unmanaged.passRetained(handler)
        self.patience = patience
        since = now
    }

    deinit {
        failed.release()
    }

    /// A write has ended with `code`; called on librbd's thread, before its ticket is posted.
    ///
    /// - Parameter now: read for failures alone.
    func finish(_ code: Int32, now: @autoclosure () -> Int64 = KeeperClock.now) {
        if code < 0 { fail(-max(code, -Int32.max), now()) }
        // Ordering: releasing, so that whoever sees the count sees the failure, too. librbd calls back one at a time
        // per image, so that nothing else writes the count; were it otherwise, counts would be lost, writes would
        // seem to be under way for ever, and the lock would be broken instead of given away.
        finished.store(finished.load(ordering: .relaxed) &+ 1, ordering: .releasing)
    }

    /// A flush has ended; called on librbd's thread, before its ticket is posted.
    func finishFlush() {
        flushed.store(flushed.load(ordering: .relaxed) &+ 1, ordering: .releasing)
    }

    private func fail(_ code: Int32, _ now: Int64) {
        switch WriteEnd(code) {
        case .notSent, .barred: report(code)
        case .open:
            uncertain.store(true, ordering: .relaxed)
            report(code)
        case .refused:
            // A full pool is everyday's business, and nothing of the write is under way. But the first error is the one that
            // librbd tells: behind it a part may have timed out, in a write that has taken as long as that takes.
            guard now - since >= patience else { return }
            uncertain.store(true, ordering: .relaxed)
            report(OwnershipCode.timedOut)
        }
    }

    private func report(_ code: Int32) {
        failed._withUnsafeGuaranteedRef { $0.report(code) }
    }

    /// A write that ended may be carried out yet: it timed out here, and sits in an OSD's queue.
    var isUncertain: Bool { uncertain.load(ordering: .acquiring) }

    /// Writes that have ended.
    var ended: UInt64 { finished.load(ordering: .acquiring) }

    /// Neither a write nor a flush is under way.
    var isQuiet: Bool { ended == started && flushed.load(ordering: .acquiring) == flushesStarted }
}

/// The writes of one open image, on two gauges by turns, so that it is known without a clock per write that a write is not older than
/// its gauge's turn.
final class WriteGauges: @unchecked Sendable {
    // SAFETY: turns are made on the loop's thread, where writes are started; counts of what has ended are atomic. `started` is for that
    // thread, and for others once the loop has let go of the image.
    private let pair: UnsafeMutablePointer<WriteGauge>
    private var index = 0

    /// Of an image without writes.
    ///
    /// - Parameters:
    ///   - seconds: after which an OSD that does not answer is given up (`rados_osd_op_timeout`); nil where that is not known, and
    ///     then no write that was refused is known to be over.
    ///   - now: milliseconds of `KeeperClock`.
    init(_ handler: WriteFailureHandler, timeoutSeconds seconds: Int?, now: Int64 = KeeperClock.now) {
        // A second less: librados' clock for it is a coarse one.
        let patience = seconds.map {
            max(Int64(clamping: $0).multipliedReportingOverflow(by: 1000).partialValue - 1000, 0)
        }
        pair = .allocate(capacity: 2)
        for index in 0..<2 {
            (pair + index).initialize(to: WriteGauge(handler, patience: patience ?? 0, now: now))
        }
    }

    /// Frees them. No callback may be owed.
    func free() {
        pair.deinitialize(count: 2)
        pair.deallocate()
    }

    /// The one that writes are started on.
    var current: UnsafeMutablePointer<WriteGauge> { pair + index }

    /// Begins the turn of the other gauge, if no write on it is under way. To be called every few seconds while there are writes.
    func turn(now: Int64 = KeeperClock.now) {
        let other = pair + (1 - index)
        guard other.pointee.isQuiet else { return }
        other.pointee.since = now
        index = 1 - index
    }

    /// Writes that were started.
    var started: UInt64 { pair[0].started &+ pair[1].started }

    /// Writes that have ended.
    var ended: UInt64 { pair[0].ended &+ pair[1].ended }

    /// Neither a write nor a flush is under way.
    var isQuiet: Bool { pair[0].isQuiet && pair[1].isQuiet }

    /// A write that ended may be carried out yet.
    var isUncertain: Bool { pair[0].isUncertain || pair[1].isUncertain }
}

/// Hears of failed writes of one open image, on librbd's thread.
final class WriteFailureHandler: Sendable {
    /// Takes a positive errno.
    let report: @Sendable (Int32) -> Void

    init(report: @escaping @Sendable (Int32) -> Void) {
        self.report = report
    }
}
