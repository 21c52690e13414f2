internal import Synchronization

/// Writes of one open image: how many were started, how many have ended, and who wants to know of failures. Says when
/// the end of every write is known, which is when the lock may be given away.
struct WriteGauge: ~Copyable {
    /// Started on the loop's thread; written there only.
    var started: UInt64 = 0
    /// Ended on librbd's thread.
    private let finished = Atomic<UInt64>(0)
    /// Some write has ended in a way that leaves open whether it will be carried out; for as long as the image is open.
    private let uncertain = Atomic<Bool>(false)
    private let failed: Unmanaged<WriteFailureHandler>

    /// Of an image without writes.
    init(_ handler: WriteFailureHandler) {
        failed = Unmanaged.passRetained(handler)
    }

    deinit {
        failed.release()
    }

    /// A write has ended with `code`; called on librbd's thread, before its ticket is posted.
    func finish(_ code: Int32) {
        if code < 0 {
            // EROFS: librbd has sent nothing. ESHUTDOWN: the OSDs refuse whatever was sent.
            if code != -30 && code != -108 { uncertain.store(true, ordering: .relaxed) }
            failed._withUnsafeGuaranteedRef { $0.report(-max(code, -Int32.max)) }
        }
        // Ordering: releasing, so that whoever sees the count sees the failure, too. librbd calls back one at a time
        // per image, so that nothing else writes the count; were it otherwise, counts would be lost, writes would
        // seem to be under way for ever, and the lock would be broken instead of given away.
        finished.store(finished.load(ordering: .relaxed) &+ 1, ordering: .releasing)
    }

    /// A write that ended may be carried out yet: it timed out here, and sits in an OSD's queue.
    var isUncertain: Bool { uncertain.load(ordering: .acquiring) }

    /// Writes that have ended.
    var ended: UInt64 { finished.load(ordering: .acquiring) }
}

/// Hears of failed writes of one open image, on librbd's thread.
final class WriteFailureHandler: Sendable {
    /// Takes a positive errno.
    let report: @Sendable (Int32) -> Void

    init(report: @escaping @Sendable (Int32) -> Void) {
        self.report = report
    }
}
