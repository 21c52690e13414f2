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
    /// That of the open image.
    var gauge: UnsafeMutablePointer<WriteGauge>
    /// That of the open image.
    var surveys: SurveyThread
    var access: Access
    /// A read without the lock would take it from whoever has it, or fail: an image with a journal.
    var readsNeedLock: Bool
    /// Bytes that are exported.
    var size: UInt64
    /// Bytes that may be written: less than `size` only where the image was shrunk behind the gateway's back.
    var end = UInt64.max
    /// Counts the times that writing was lost.
    var generation: UInt64 = 0
    /// Counts the times that another gateway took the lock.
    var takeovers: UInt64 = 0
    var claim = Claim.none
    /// Counts the times that the image was lost while it could be written: what a volatile cache held is gone then.
    var losses: UInt64 = 0
    /// An operation has timed out, and the keeper has not looked since: whatever comes would wait as long, and keep its
    /// initiator from another path.
    var isStalled = false
}

extension LoopSide {
    /// Lets no more writes through.
    mutating func stopWriting(_ access: Access) {
        // What was read under the old value may be overwritten by others from here on.
        if self.access == .writing {
            generation &+= 1
            if access == .nothing { losses &+= 1 }
        }
        self.access = access
    }
}
