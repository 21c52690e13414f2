internal import BlockBackend
internal import CRBD

/// What the loop knows of the open image. Lives at one address as long as its backend; read and written on the loop's
/// thread only, by the keeper through `onLoop`. So the data path needs no lock and no atomic.
struct LoopSide {
    /// What may be done.
    enum Access {
        /// Nothing: the image is lost, and will be opened again.
        case nothing
        /// Whatever does not write.
        case reading
        /// Everything.
        case writing
    }

    /// What has become of the wish to write without the lock.
    enum Claim {
        /// The keeper knows of none: the next write tells it.
        case none
        /// It knows of one, and is at it.
        case awaited
        /// It knows of one, and nobody is to wait for it.
        case refused
    }

    /// The open image, for the I/O calls; the owner is the keeper's session.
    var handle: rbd_image_t
    /// The one of ``writes`` that writes are started on.
    private(set) var gauge: UnsafeMutablePointer<WriteGauge>
    /// Those of the open image.
    private(set) var writes: WriteGauges
    /// That of the open image.
    var surveys: SurveyThread
    var access: Access
    /// A read without the lock would take it from whoever has it, or fail: an image with a journal.
    var readsNeedLock: Bool
    /// Reads that needed the lock.
    var reads: UInt64 = 0
    /// Commands under way that need the lock to their end.
    var needs = 0
    /// Bytes that are exported.
    private(set) var size: UInt64
    /// Bytes that the image has, as far as is known: fewer than `size` only where it was shrunk behind the gateway's back.
    private(set) var end: UInt64
    /// Counts the times that writing was lost.
    var generation = WriteGeneration()
    /// Counts the times that another gateway took the lock.
    var takeovers: UInt64 = 0
    var claim = Claim.none
    /// librbd holds back what was written, by settings that outrank ours.
    let hasVolatileCache: Bool
    /// Counts the times that what a volatile cache held is gone: the image was lost while it could be written, or while its lock
    /// was given back, or that failed.
    var losses: UInt64 = 0
    /// The lock is being given back, with which librbd writes its cache: until then "no lock" is not "nothing to flush".
    private(set) var isGivingBack = false
    /// An operation has timed out, and the keeper has not looked since: whatever comes would wait as long, and keep its
    /// initiator from another path.
    var isStalled = false
}

extension LoopSide {
    /// Of an open image that has `end` bytes, `size` of which are exported.
    init(
        handle: rbd_image_t, writes: WriteGauges, surveys: SurveyThread, access: Access,
        readsNeedLock: Bool, hasVolatileCache: Bool, exporting size: UInt64, of end: UInt64
    ) {
        self.hasVolatileCache = hasVolatileCache
        self.handle = handle
        self.writes = writes
        gauge = writes.current
        self.surveys = surveys
        self.access = access
        self.readsNeedLock = readsNeedLock
        self.size = size
        self.end = end
    }

    /// Counts writes as those of another open image.
    mutating func use(_ writes: WriteGauges) {
        self.writes = writes
        gauge = writes.current
    }

    /// Writes that are started from here on are known not to be older than now.
    mutating func turnGauge() {
        writes.turn()
        gauge = writes.current
    }

    /// The image was found to have `bytes`. Every place that has read its size says so here.
    mutating func imageHas(_ bytes: UInt64) {
        end = bytes
    }

    /// Exports `bytes` of an image that was found to have `all`.
    mutating func export(_ bytes: UInt64, of all: UInt64) {
        precondition(bytes <= all, "more is to be exported than there is")
        size = bytes
        end = all
    }

    /// Whether the image has the bytes of `extent`: beyond its end librbd reads nothing, or zeros, and cuts a write short.
    func has(_ extent: ByteExtent) -> Bool { extent.offset <= end && extent.length <= end - extent.offset }

    /// Operations that needed the lock, since the open image was.
    var uses: UInt64 { writes.started &+ reads }

    /// Something under way needs the lock, however long ago it began.
    var isInUse: Bool { needs > 0 || !writes.isQuiet }

    /// Lets no more writes through, if nothing has needed the lock since there were so many uses, and nothing under way does. Both in
    /// one go on the loop: nothing comes between.
    ///
    /// - Returns: false where something does.
    mutating func rest(after uses: UInt64) -> Bool {
        guard self.uses == uses, !isInUse else { return false }
        stopWriting(.reading)
        return true
    }

    /// Lets no more writes through.
    mutating func stopWriting(_ access: Access) {
        if self.access == .writing {
            if access == .nothing { generation.lose() } else { generation.pause() }
            isGivingBack = hasVolatileCache
            if access == .nothing { losses &+= 1 }
        } else if access == .nothing && isGivingBack {
            losses &+= 1
        }
        if access == .nothing { isGivingBack = false }
        self.access = access
    }

    /// Lets writes through.
    mutating func startWriting() {
        access = .writing
        turnGauge()
        generation.resume()
        claim = .none
        isGivingBack = false
    }

    /// The lock was given back, or that failed, and with it perhaps the writing of the cache.
    mutating func gaveBack(isWell: Bool) {
        if isGivingBack && !isWell { losses &+= 1 }
        isGivingBack = false
    }
}
