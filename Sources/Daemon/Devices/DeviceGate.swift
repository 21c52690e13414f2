internal import KernelFiles
internal import Synchronization
internal import SystemPackage

extension NodeClaim: DeviceClaim {}

/// One device's gate in the kernel, and the duty that comes with having shut it: blocked, a device answers BUSY for ever.
///
/// There is one per claim, so nobody can block or reset a device that another process serves. Whoever ends with a device ends
/// with ``leave()`` or ``deviceIsGone()``; both may be called again, and after either has done its work nothing is written any more.
///
/// Ordering: writes come one after the other, whichever threads they come from, so that a block which hangs in configfs does
/// not overtake the unblock behind it. All but ``deviceIsGone()`` may block, and are for threads of their own.
final class DeviceGate: Sendable {
    /// Bound: how long a device that cannot be unblocked is held for that.
    static let unblockPatience = Duration.seconds(60)

    let claim: NodeClaim
    private let backstore: Backstore
    private let state = Mutex(State())

    private struct State {
        /// This daemon has blocked the device, or has tried to.
        var isBlocked = false
        /// Everything that an earlier daemon left in the ring has been answered BUSY.
        var isReset = false
        var hasLeft = false
    }

    init(_ claim: NodeClaim, _ backstore: Backstore) {
        (self.claim, self.backstore) = (claim, backstore)
    }

    /// Blocks the device, and empties a ring of which nobody knows what is in flight, once.
    func takeOver() throws(KernelFileError) {
        try locked { (state) throws(KernelFileError) in
            try block(&state)
            guard !state.isReset else { return }
            try backstore.resetRing(.busy, holding: claim)
            state.isReset = true
        }
    }

    /// Blocks or unblocks the device.
    func setBlocked(_ blocked: Bool) throws(KernelFileError) {
        try locked { (state) throws(KernelFileError) in
            if blocked { try block(&state) } else { try unblock(&state) }
        }
    }

    /// Empties the ring of a unit with nothing in flight.
    func resetRing() throws(KernelFileError) {
        try locked { (_) throws(KernelFileError) in try backstore.resetRing(.busy, holding: claim) }
    }

    /// The device stays without us: unblocked, if this daemon has blocked it, and the node free for another one.
    ///
    /// - Throws: if the device could not be unblocked, as for want of a descriptor; then it is still held, because whoever
    ///   lets go of a blocked device leaves it answering BUSY. To be called again, or ended by ``giveUp()``.
    func leave() throws(KernelFileError) {
        let result = state.withLock { state -> Result<Void, KernelFileError> in
            if state.isBlocked, !state.hasLeft, !claim.isGone {
                do throws(KernelFileError) { try unblock(&state) } catch { return .failure(error) }
            }
            state.hasLeft = true
            claim.release()
            return .success(())
        }
        try result.get()
    }

    /// Lets go of the node although the device may still be blocked: the next daemon unblocks it. Never blocks.
    func giveUp() {
        claim.release()
    }

    /// The device is gone, or the kernel takes it away: its node is let go of at once, and there is nothing to unblock. Never
    /// blocks.
    func deviceIsGone() {
        claim.release()
    }

    private func block(_ state: inout State) throws(KernelFileError) {
        // Before the attempt: one that fails may have blocked it all the same.
        state.isBlocked = true
        try backstore.setBlocked(true, holding: claim)
    }

    private func unblock(_ state: inout State) throws(KernelFileError) {
        try backstore.setBlocked(false, holding: claim)
        state.isBlocked = false
    }

    private func locked(_ body: (inout State) throws(KernelFileError) -> Void) throws(KernelFileError) {
        let result = state.withLock { state -> Result<Void, KernelFileError> in
            // Who has left writes nothing: the claim is gone, and says so.
            Result { () throws(KernelFileError) in try body(&state) }
        }
        try result.get()
    }
}
