/// What a gateway does about an image's exclusive lock: when it takes it, when it gives it up, what it does when it has
/// lost it. Events in, actions out; it does nothing itself and knows no clock.
///
/// Rules (docs/adr/0014):
/// - The lock is taken because of a write and for no other reason, and before that write.
/// - It is given back on request once it was held for its hold time, and only if the end of every write is known. A write
///   that timed out here may sit in an OSD's queue and be carried out later: then this client asks to be fenced.
/// - Whoever does not answer is fenced: blocklisted in the cluster before its lock is taken away.
/// - After an acquire or a release of which nobody knows whether it took place the lock is given back, as librbd and as the OSD
///   have it, before it is taken again. Writes whose end is unknown forbid that: then the client is replaced.
/// - A lock under which nothing is written is given back unasked.
/// - A fenced client is replaced by a new one, without lock.
///
/// Actions that take time come last in their list, and their answer is the next event: whatever else happens meanwhile is
/// told afterwards.
package struct OwnershipMachine: Hashable, Sendable {
    /// Where it stands.
    package enum Phase: Hashable, Sendable {
        /// The image is open, the lock not ours, nobody wants it.
        case idle
        /// As idle, but claims have to wait until then.
        case deferred(until: Int64)
        /// On the way to the lock.
        case claiming
        /// The lock is ours.
        case owning
        /// Waiting for the end of writes, to give the lock back.
        case draining
        /// Giving it back.
        case releasing
        /// Counting writes, to see whether the lock is needed.
        case counting
        /// Closing the gate, as the lock is not needed.
        case resting
        /// Giving it back unasked.
        case idling
        /// Making sure that the lock is not ours, before it is taken.
        case disowning
        /// Making librbd forget a lock that is not there any longer.
        case forgetting
        /// Looking whether all is well.
        case checking
        /// The cluster does not answer; same client, same lock if there was one.
        case unreachable(until: Int64)
        /// Not writable until promoted.
        case standby(until: Int64)
        /// The image must be opened anew, at that time.
        case lost(until: Int64)
        /// At it.
        case reopening
    }

    /// Where it stands.
    package internal(set) var phase: Phase = .idle
    /// The lock is ours as far as is known.
    package internal(set) var isOwner = false
    /// The end of some write of this client is unknown, for as long as the client lives.
    package internal(set) var isTainted = false
    /// How long the lock is kept from others, in milliseconds.
    package internal(set) var hold: Int64
    let timing: OwnershipTiming
    var heldSince: Int64 = 0
    var givenUpAt: Int64?
    /// The owner that said it had given the lock back, and how often under this claim.
    var asked: String?
    var timesAsked = 0
    /// librbd and the OSD may think differently of whether the lock is ours.
    var isUnsettled = false
    /// Writes started when they were last counted.
    var writesCounted: UInt64 = 0
    var nextCount: Int64 = 0
    /// Steps of this claim that found the world changed.
    var rounds = 0
    var pause: Int64
    var nextCheck: Int64 = 0
    var told: OwnershipAvailability = .ready
    /// When the cluster was first found not to answer this client.
    var awaySince: Int64?

    /// Initiators have not been told of anything.
    package var isReady: Bool { told == .ready }
    /// The open image was not primary once. librbd has no lock for one that was opened so, not even after its promotion
    /// (EINVAL, and writes EROFS), until it has read the header twice more: it is opened again instead.
    var wasStandby = false

    /// Bound: owners that come and go under one claim, after which it has to be made anew.
    private static let mostRounds = 6
    /// Bound: times that one owner is asked under one claim, before it is fenced for having what it says it has not.
    private static let mostQuestions = 2

    /// Of an image that was just opened.
    package init(timing: OwnershipTiming = OwnershipTiming(), isStandby: Bool = false, now: Int64 = 0) {
        self.timing = timing
        hold = timing.shortestHold
        pause = timing.firstPause
        // Due at once: nobody has been told yet.
        if isStandby {
            phase = .standby(until: now)
            wasStandby = true
        }
    }

    /// When `timer` is due, on the clock of `now`; nil where nothing is planned.
    package var deadline: Int64? {
        switch phase {
        case .deferred(let until), .unreachable(let until), .standby(let until), .lost(let until): until
        case .owning: givesBackUnasked ? min(nextCheck, nextCount) : nextCheck
        case .idle, .claiming, .draining, .releasing, .counting, .resting, .idling, .disowning, .forgetting,
            .checking,
            .reopening:
            nil
        }
    }

    /// Takes `event` in.
    ///
    /// - Returns: what to do.
    package mutating func handle(_ event: OwnershipEvent, now: Int64) -> [OwnershipAction] {
        switch event {
        case .claim: claim(now)
        case .peerAsks: peerAsks(now)
        case .writeFailed(let code): writeFailed(code, now)
        case .doubt: doubt()
        case .timer: timer(now)
        case .foundOwner(let holder): found(holder, now)
        case .lookUpFailed(let code): claimFailed(code, now)
        case .replied(let reply): replied(reply, now)
        case .broke(let code): broke(code, now)
        case .acquired(let code): acquired(code, now)
        case .wrote(let count): wrote(count, now)
        case .writing: stillWrites(now)
        case .drained(let clean): drained(clean, now)
        case .released(let code): released(code, now)
        case .checked(let state): checked(state, now)
        case .reopened(let state): reopened(state, now)
        }
    }
}

// MARK: - Taking the lock

extension OwnershipMachine {
    mutating func claim(_ now: Int64) -> [OwnershipAction] {
        switch phase {
        case .idle: break
        case .deferred(let until) where now >= until: break
        default: return []
        }
        asked = nil
        timesAsked = 0
        rounds = 0
        phase = .claiming
        return look(now)
    }

    /// Next step of a claim.
    mutating func look(_ now: Int64) -> [OwnershipAction] {
        guard isUnsettled else { return [.lookUpOwner] }
        // A write of this client may be on its way, and another gateway could come between giving the lock back and taking it.
        if isTainted { return lose(OwnershipCode.exists, now) }
        phase = .disowning
        return [.release]
    }

    mutating func found(_ holder: LockHolder, _ now: Int64) -> [OwnershipAction] {
        switch holder {
        case .nobody: return [.acquire]
        case .me:
            isUnsettled = true
            return again(now)
        case .other(_, isDead: true): return [.breakLock]
        case .other(let name, isDead: false):
            if asked != name { timesAsked = 0 }
            asked = name
            // It said that it had not got the lock, and has. Once that is an owner that took it again, because the look took
            // longer than it yields; twice it is one that does not know what it has.
            if timesAsked >= OwnershipMachine.mostQuestions { return [.breakLock] }
            timesAsked += 1
            return [.askOwner]
        }
    }

    mutating func replied(_ reply: OwnerReply, _ now: Int64) -> [OwnershipAction] {
        switch reply {
        case .released: return again(now)
        case .hold(let milliseconds):
            // The claim ends here. Who still wants to write then says so again: the path may have changed back.
            phase = .deferred(until: now + min(max(milliseconds, 1), timing.longestHold))
            return []
        case .fenceMe, .silence: return [.breakLock]
        case .failed(let code): return claimFailed(code, now)
        }
    }

    mutating func broke(_ code: Int32, _ now: Int64) -> [OwnershipAction] {
        switch code {
        case 0, OwnershipCode.noEntry, OwnershipCode.busy, OwnershipCode.again, OwnershipCode.readOnly: again(now)
        default: claimFailed(code, now)
        }
    }

    mutating func acquired(_ code: Int32, _ now: Int64) -> [OwnershipAction] {
        isUnsettled = code != 0
        switch code {
        case 0:
            if let last = givenUpAt, now - last < timing.calm {
                hold = min(hold * 2, timing.longestHold)
            } else {
                hold = timing.shortestHold
            }
            isOwner = true
            heldSince = now
            nextCheck = now + timing.check
            nextCount = now + timing.idleRelease
            writesCounted = 0
            pause = timing.firstPause
            phase = .owning
            return [.openGate, .note(.tookLock)]
        case OwnershipCode.readOnly, OwnershipCode.busy, OwnershipCode.again, OwnershipCode.exists:
            return again(now)
        default: return claimFailed(code, now)
        }
    }

    /// The world has changed under the claim: look again.
    mutating func again(_ now: Int64) -> [OwnershipAction] {
        rounds += 1
        return rounds <= OwnershipMachine.mostRounds ? look(now) : claimFailed(OwnershipCode.busy, now)
    }

    mutating func claimFailed(_ code: Int32, _ now: Int64) -> [OwnershipAction] {
        switch code {
        case OwnershipCode.shutDown, OwnershipCode.noEntry: return lose(code, now)
        case OwnershipCode.timedOut: return unreachable(code, now)
        default:
            phase = .deferred(until: now + nextPause())
            return [.note(.cannotTake(code)), .refuse]
        }
    }
}

// MARK: - Losing it, and coming back

extension OwnershipMachine {
    mutating func writeFailed(_ code: Int32, _ now: Int64) -> [OwnershipAction] {
        switch WriteEnd(code) {
        case .barred:
            if case .lost = phase { return [] }
            return lose(code, now)
        case .notSent: return doubt()
        case .refused: return []
        case .open:
            isTainted = true
            return code == OwnershipCode.timedOut ? [.count(.commandTimedOut)] + doubt() : []
        }
    }

    mutating func doubt() -> [OwnershipAction] {
        switch phase {
        case .idle, .deferred, .owning, .unreachable, .standby:
            phase = .checking
            return [.check]
        default: return []
        }
    }

    mutating func timer(_ now: Int64) -> [OwnershipAction] {
        guard let deadline, now >= deadline else { return [] }
        switch phase {
        case .deferred:
            phase = .idle
            return [.rearm]
        case .lost:
            phase = .reopening
            return [.reopen]
        case .owning where now < nextCheck:
            phase = .counting
            return [.countWrites]
        default: return doubt()
        }
    }

    mutating func checked(_ state: ImageState, _ now: Int64) -> [OwnershipAction] {
        switch state {
        case .fine where wasStandby:
            phase = .reopening
            return [.reopen]
        case .fine:
            awaySince = nil
            pause = timing.firstPause
            nextCheck = now + timing.check
            phase = isOwner ? .owning : .idle
            return tell(.ready) + (isOwner ? [] : [.rearm])
        case .lockGone where isTainted:
            // Nobody fenced this client, and a write of it may be on its way still: a new client is to do so.
            return lose(OwnershipCode.shutDown, now)
        case .lockGone:
            phase = .forgetting
            let loss: [OwnershipAction] = isOwner ? [.count(.lockLost), .note(.lockRemoved)] : []
            return (isOwner ? [.closeGate] : []) + loss + tell(.ready) + [.release]
        case .standby: return standBy(now)
        case .failed(let code)
        where [OwnershipCode.shutDown, OwnershipCode.noEntry, OwnershipCode.stale].contains(code):
            return lose(code, now)
        case .failed(let code): return unreachable(code, now)
        }
    }

    mutating func unreachable(_ code: Int32, _ now: Int64) -> [OwnershipAction] {
        let since = awaySince ?? now
        awaySince = since
        if now - since >= timing.patience { return lose(code, now) }
        let isNews = told == .ready
        phase = .unreachable(until: now + nextPause())
        return (isNews ? [.count(.connectionLost), .note(.lost(code, wasOwner: isOwner))] : [])
            + tell(.recovering(code)) + [.refuse]
    }

    mutating func standBy(_ now: Int64) -> [OwnershipAction] {
        isOwner = false
        wasStandby = true
        phase = .standby(until: now + timing.absence)
        return [.closeGate] + tell(.standby) + [.refuse]
    }

    mutating func lose(_ code: Int32, _ now: Int64) -> [OwnershipAction] {
        let wasOwner = isOwner
        awaySince = nil
        if wasOwner { givenUpAt = now }
        isOwner = false
        phase = .reopening
        // One loss, one count: a cluster that had been away was counted when it went, and a lock is lost to a fence.
        var counted: [OwnershipAction] = []
        if wasOwner && code == OwnershipCode.shutDown {
            counted = [.count(.lockLost)]
        } else if told == .ready && code != OwnershipCode.stale && code != OwnershipCode.exists {
            counted = [.count(.connectionLost)]
        }
        return [.shut] + counted + [.note(.lost(code, wasOwner: wasOwner))]
            + tell(code == OwnershipCode.noEntry ? .gone(code) : .recovering(code)) + [.reopen]
    }

    mutating func reopened(_ state: ImageState, _ now: Int64) -> [OwnershipAction] {
        switch state {
        case .fine, .lockGone:
            isTainted = false
            isUnsettled = false
            wasStandby = false
            pause = timing.firstPause
            phase = .idle
            return [.note(.back)] + tell(.ready) + [.rearm]
        case .standby:
            isTainted = false
            isUnsettled = false
            return standBy(now)
        case .failed(let code):
            let isAbsent = code == OwnershipCode.noEntry
            phase = .lost(until: now + (isAbsent ? timing.absence : nextPause()))
            return [.note(.cannotReopen(code))] + tell(isAbsent ? .gone(code) : .recovering(code))
        }
    }

    mutating func tell(_ news: OwnershipAvailability) -> [OwnershipAction] {
        guard news != told else { return [] }
        told = news
        return [.tell(news)]
    }

    mutating func nextPause() -> Int64 {
        defer { pause = min(pause * 2, timing.longestPause) }
        return pause
    }
}

/// Linux' numbers of the errnos that matter here.
enum OwnershipCode {
    static let notPermitted: Int32 = 1
    static let noEntry: Int32 = 2
    static let again: Int32 = 11
    static let noAccess: Int32 = 13
    static let busy: Int32 = 16
    static let exists: Int32 = 17
    static let invalid: Int32 = 22
    static let tooLarge: Int32 = 27
    static let noSpace: Int32 = 28
    static let readOnly: Int32 = 30
    static let notSupported: Int32 = 95
    static let shutDown: Int32 = 108
    static let timedOut: Int32 = 110
    static let stale: Int32 = 116
    static let overQuota: Int32 = 122
}
