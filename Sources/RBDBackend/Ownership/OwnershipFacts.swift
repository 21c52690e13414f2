/// Times that govern ownership, in milliseconds.
package struct OwnershipTiming: Hashable, Sendable {
    /// A lock is kept for so long after it was taken, whoever asks for it.
    package var shortestHold: Int64 = 500
    /// Bound of the hold while the lock goes back and forth, for which it is doubled each time.
    package var longestHold: Int64 = 1_000
    /// After so long without the lock having been given up the hold is the shortest again.
    package var calm: Int64 = 10_000
    /// An owner looks so often whether it still is one: `rbd lock rm` is told to nobody.
    package var check: Int64 = 10_000
    /// A lock under which nothing was written for so long is given back unasked; 0 keeps it. Looked at as often as that, so
    /// that it may last twice as long.
    package var idleRelease: Int64 = 10_000
    /// After giving the lock to another gateway, the time in which that one can take it undisturbed.
    package var yield: Int64 = 200
    /// First pause between attempts at something that failed; doubled each time.
    package var firstPause: Int64 = 100
    /// Bound of that pause.
    package var longestPause: Int64 = 5_000
    /// A client that has not been answered for so long is replaced: the cluster may be well, and its sessions not.
    package var patience: Int64 = 15_000
    /// Pause between looks for an image that does not exist, or may not be written, at present.
    package var absence: Int64 = 10_000

    /// Those of the daemon.
    package init() {}
}

/// What happened. Errnos are positive, 0 is success.
package enum OwnershipEvent: Hashable, Sendable {
    /// A write came and there is no lock for it.
    case claim
    /// Another gateway asks for the lock; there must be one reply.
    case peerAsks
    /// An operation that writes failed; what that leaves open is ``WriteEnd``.
    case writeFailed(Int32)
    /// Something gives reason to doubt lock or connection: a failed read, a watch that broke, a changed header.
    case doubt
    /// The deadline has come.
    case timer

    /// Answers to actions that take time; each of those has exactly one.
    /// `lookUpOwner`: what there is.
    case foundOwner(LockHolder)
    /// `lookUpOwner` failed.
    case lookUpFailed(Int32)
    /// `askOwner`: what it said.
    case replied(OwnerReply)
    /// `breakLock` ended.
    case broke(Int32)
    /// `acquire` ended.
    case acquired(Int32)
    /// `countWrites`: how many operations needed the lock since the image was opened.
    case wrote(UInt64)
    /// `countWrites`, `rest`: something under way needs the lock, or has done since it was counted.
    case writing
    /// `drain` ended, or `rest` let nothing through any longer: nothing is under way, and whether each write's end is known.
    case drained(clean: Bool)
    /// `release` ended.
    case released(Int32)
    /// `check` ended.
    case checked(ImageState)
    /// `reopen` ended, and if it says `fine` or `standby`, the new image is in place.
    case reopened(ImageState)
}

/// Who holds the lock, as seen by somebody who wants it.
package enum LockHolder: Hashable, Sendable {
    /// Nobody.
    case nobody
    /// This client, which does not know of it: an acquire, or a release, of which nobody knows whether it took place.
    case me
    /// The client `name`; `isDead` if it is known that nobody is there to be asked.
    case other(name: String, isDead: Bool)
}

/// What a lock's owner said when asked for it.
package enum OwnerReply: Hashable, Sendable {
    /// It has given the lock back, or did not hold it.
    case released
    /// It keeps the lock for so many milliseconds.
    case hold(Int64)
    /// It cannot give it back safely.
    case fenceMe
    /// Nothing.
    case silence
    /// The question could not be asked, for the errno given.
    case failed(Int32)
}

/// What a look at the image found.
package enum ImageState: Hashable, Sendable {
    /// It can be used, and if this client was the lock's owner, it still is.
    case fine
    /// It can be used, but the lock is not this client's any longer.
    case lockGone
    /// It is a copy of one in another cluster.
    case standby
    /// It cannot be used, for the errno given; ESTALE for one that is not used as it has to be since its features changed.
    case failed(Int32)
}

/// What is to be done, in the order given.
package enum OwnershipAction: Hashable, Sendable {
    // These take time, and are answered by an event.
    /// Find out who holds the lock.
    case lookUpOwner
    /// Ask it for the lock.
    case askOwner
    /// Blocklist it and remove the very lock that was looked up, if it is still there.
    case breakLock
    /// Take the lock.
    case acquire
    /// Count what needs the lock, and see whether it has ended: writes and what counts as such, reads of an image with a journal,
    /// flushes under way, long commands under way.
    case countWrites
    /// Let no more writes through, if still only so many operations have needed the lock, and nothing under way needs it.
    case rest(UInt64)
    /// Wait, but not for long, until what was started on the image has ended.
    case drain
    /// Give the lock back, as librbd has it and as the OSD has it: after success neither thinks that it is this client's.
    case release
    /// See whether the image can be used and, for an owner, whether the lock is still there.
    case check
    /// Open the image on a new connection, put it in place, close the old one.
    case reopen

    // These do not.
    /// Let writes through.
    case openGate
    /// Let no more writes through. What was read so far counts as old once `release` follows.
    case closeGate
    /// Let nothing through: the image cannot be used.
    case shut
    /// The next write without the lock is to be told again; those that wait for it claim it again.
    case rearm
    /// Those that wait for the lock are not to wait any longer.
    case refuse
    /// Answer the gateway that asked.
    case reply(OwnerReply)
    /// Tell the unit.
    case tell(OwnershipAvailability)
    /// Count.
    case count(OwnershipCounter)
    /// Write a line.
    case note(OwnershipNote)
}

/// What is told to the unit.
package enum OwnershipAvailability: Hashable, Sendable {
    case ready
    case recovering(Int32)
    case standby
    case gone(Int32)
}

/// What is counted for the cluster's managers.
package enum OwnershipCounter: Hashable, Sendable {
    case lockLost
    case connectionLost
    case commandTimedOut
}

/// What people may want to read; the keeper has the words.
package enum OwnershipNote: Hashable, Sendable {
    /// The lock was taken.
    case tookLock
    /// The lock was given to another gateway.
    case gaveLock
    /// The lock was given back unasked, as nothing was written.
    case gaveIdleLock
    /// The lock could not be taken.
    case cannotTake(Int32)
    /// This client was fenced or the image is otherwise lost.
    case lost(Int32, wasOwner: Bool)
    /// Somebody removed the lock.
    case lockRemoved
    /// Opening it again failed.
    case cannotReopen(Int32)
    /// It is open again.
    case back
}
