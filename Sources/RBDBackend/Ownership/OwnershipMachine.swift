/// What a gateway does about an image's exclusive lock: when it takes it, when it gives it up, what it does when it has
/// lost it. Events in, actions out; it does nothing itself and knows no clock.
///
/// Rules (docs/adr/0014):
/// - The lock is taken because of a write and for no other reason, and before that write.
/// - It is given back on request once it was held for its hold time, and only if the end of every write is known. A write
///   that timed out here may sit in an OSD's queue and be carried out later: then this client asks to be fenced.
/// - Whoever does not answer is fenced: blocklisted in the cluster before its lock is taken away.
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
    package private(set) var phase: Phase = .idle
    /// The lock is ours as far as is known.
    package private(set) var isOwner = false
    /// The end of some write of this client is unknown, for as long as the client lives.
    package private(set) var isTainted = false
    /// How long the lock is kept from others, in milliseconds.
    package private(set) var hold: Int64
    private let timing: OwnershipTiming
    private var heldSince: Int64 = 0
    private var givenUpAt: Int64?
    /// The owner that said it had given the lock back.
    private var asked: String?
    /// Steps of this claim that found the world changed.
    private var rounds = 0
    private var pause: Int64
    private var nextCheck: Int64 = 0
    private var told: OwnershipAvailability = .ready
    /// When the cluster was first found not to answer this client.
    private var awaySince: Int64?

    /// Initiators have not been told of anything.
    package var isReady: Bool { told == .ready }
    /// The open image was not primary once. librbd has no lock for one that was opened so, not even after its promotion
    /// (EINVAL, and writes EROFS), until it has read the header twice more: it is opened again instead.
    private var wasStandby = false

    /// Bound: owners that come and go under one claim, after which it has to be made anew.
    private static let mostRounds = 6

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
        case .owning: nextCheck
        case .idle, .claiming, .draining, .releasing, .forgetting, .checking, .reopening: nil
        }
    }

    /// Takes `event` in. - Returns: what to do.
    package mutating func handle(_ event: OwnershipEvent, now: Int64) -> [OwnershipAction] {
        switch event {
        case .claim: claim(now)
        case .peerAsks: peerAsks(now)
        case .writeFailed(let code): writeFailed(code, now)
        case .doubt: doubt()
        case .timer: timer(now)
        case .foundOwner(let holder): found(holder)
        case .lookUpFailed(let code): claimFailed(code, now)
        case .replied(let reply): replied(reply, now)
        case .broke(let code): broke(code, now)
        case .acquired(let code): acquired(code, now)
        case .drained(let clean): drained(clean)
        case .released(let code): released(code, now)
        case .checked(let state): checked(state, now)
        case .reopened(let state): reopened(state, now)
        }
    }
}

// MARK: - Taking the lock

extension OwnershipMachine {
    private mutating func claim(_ now: Int64) -> [OwnershipAction] {
        switch phase {
        case .idle: break
        case .deferred(let until) where now >= until: break
        default: return []
        }
        asked = nil
        rounds = 0
        phase = .claiming
        return [.lookUpOwner]
    }

    private mutating func found(_ holder: LockHolder) -> [OwnershipAction] {
        switch holder {
        case .nobody, .me: return [.acquire]
        case .other(_, isDead: true): return [.note(.breaking), .breakLock]
        case .other(let name, isDead: false):
            // It said that it had not got the lock, and has: an acquire that timed out on its side and took place.
            if asked == name { return [.note(.breaking), .breakLock] }
            asked = name
            return [.askOwner]
        }
    }

    private mutating func replied(_ reply: OwnerReply, _ now: Int64) -> [OwnershipAction] {
        switch reply {
        case .released: return again(now)
        case .hold(let milliseconds):
            // The claim ends here. Who still wants to write then says so again: the path may have changed back.
            phase = .deferred(until: now + min(max(milliseconds, 1), timing.longestHold))
            return []
        case .fenceMe, .silence: return [.note(.breaking), .breakLock]
        case .failed(let code): return claimFailed(code, now)
        }
    }

    private mutating func broke(_ code: Int32, _ now: Int64) -> [OwnershipAction] {
        switch code {
        case 0, Code.noEntry, Code.busy, Code.again, Code.readOnly: again(now)
        default: claimFailed(code, now)
        }
    }

    private mutating func acquired(_ code: Int32, _ now: Int64) -> [OwnershipAction] {
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
            pause = timing.firstPause
            phase = .owning
            return [.openGate, .note(.tookLock)]
        case Code.readOnly, Code.busy, Code.again: return again(now)
        default: return claimFailed(code, now)
        }
    }

    /// The world has changed under the claim: look again.
    private mutating func again(_ now: Int64) -> [OwnershipAction] {
        rounds += 1
        return rounds <= OwnershipMachine.mostRounds ? [.lookUpOwner] : claimFailed(Code.busy, now)
    }

    private mutating func claimFailed(_ code: Int32, _ now: Int64) -> [OwnershipAction] {
        switch code {
        case Code.shutDown, Code.noEntry: return lose(code, now)
        case Code.timedOut: return unreachable(code, now)
        default:
            phase = .deferred(until: now + nextPause())
            return [.note(.cannotTake(code))]
        }
    }
}

// MARK: - Giving it up

extension OwnershipMachine {
    private mutating func peerAsks(_ now: Int64) -> [OwnershipAction] {
        guard isOwner else { return [.reply(.released)] }
        let rest = heldSince + hold - now
        if rest > 0 { return [.reply(.hold(rest))] }
        guard case .owning = phase, !isTainted else { return [.reply(.fenceMe)] }
        phase = .draining
        return [.closeGate, .drain]
    }

    private mutating func drained(_ clean: Bool) -> [OwnershipAction] {
        guard clean && !isTainted else {
            // Still the owner until fenced; if the other one changes its mind, for good.
            phase = .owning
            return [.reply(.fenceMe), .openGate]
        }
        phase = .releasing
        return [.release]
    }

    private mutating func released(_ code: Int32, _ now: Int64) -> [OwnershipAction] {
        let isHandOver = phase == .releasing
        isOwner = false
        givenUpAt = now
        if code == Code.shutDown { return (isHandOver ? [.reply(.fenceMe)] : []) + lose(code, now) }
        // Whatever else the code says: no write is under way and none follows, so if the lock is still there, whoever
        // finds it may break it.
        phase = .deferred(until: now + timing.yield)
        return isHandOver ? [.reply(.released), .note(.gaveLock)] : []
    }
}

// MARK: - Losing it, and coming back

extension OwnershipMachine {
    private mutating func writeFailed(_ code: Int32, _ now: Int64) -> [OwnershipAction] {
        switch code {
        case Code.shutDown:
            if case .lost = phase { return [] }
            return lose(code, now)
        case Code.readOnly:
            // librbd refused before it sent anything.
            return doubt()
        case Code.timedOut:
            isTainted = true
            return [.count(.commandTimedOut)] + doubt()
        default:
            // One of several objects may have said this, and another nothing.
            isTainted = true
            return []
        }
    }

    private mutating func doubt() -> [OwnershipAction] {
        switch phase {
        case .idle, .deferred, .owning, .unreachable, .standby:
            phase = .checking
            return [.check]
        default: return []
        }
    }

    private mutating func timer(_ now: Int64) -> [OwnershipAction] {
        guard let deadline, now >= deadline else { return [] }
        switch phase {
        case .deferred:
            phase = .idle
            return [.rearm]
        case .lost:
            phase = .reopening
            return [.reopen]
        default: return doubt()
        }
    }

    private mutating func checked(_ state: ImageState, _ now: Int64) -> [OwnershipAction] {
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
            return lose(Code.shutDown, now)
        case .lockGone:
            phase = .forgetting
            let loss: [OwnershipAction] = isOwner ? [.count(.lockLost), .note(.lockRemoved)] : []
            return (isOwner ? [.closeGate] : []) + loss + tell(.ready) + [.release]
        case .standby: return standBy(now)
        case .failed(let code) where [Code.shutDown, Code.noEntry, Code.stale].contains(code):
            return lose(code, now)
        case .failed(let code): return unreachable(code, now)
        }
    }

    private mutating func unreachable(_ code: Int32, _ now: Int64) -> [OwnershipAction] {
        let since = awaySince ?? now
        awaySince = since
        if now - since >= timing.patience { return lose(code, now) }
        let isNews = told == .ready
        phase = .unreachable(until: now + nextPause())
        return (isNews ? [.count(.connectionLost), .note(.lost(code, wasOwner: isOwner))] : [])
            + tell(.recovering(code))
    }

    private mutating func standBy(_ now: Int64) -> [OwnershipAction] {
        isOwner = false
        wasStandby = true
        phase = .standby(until: now + timing.absence)
        return [.closeGate] + tell(.standby)
    }

    private mutating func lose(_ code: Int32, _ now: Int64) -> [OwnershipAction] {
        let wasOwner = isOwner
        awaySince = nil
        if wasOwner { givenUpAt = now }
        isOwner = false
        phase = .reopening
        // One loss, one count: a cluster that had been away was counted when it went, and a lock is lost to a fence.
        var counted: [OwnershipAction] = []
        if wasOwner && code == Code.shutDown {
            counted = [.count(.lockLost)]
        } else if told == .ready && code != Code.stale {
            counted = [.count(.connectionLost)]
        }
        return [.shut] + counted + [.note(.lost(code, wasOwner: wasOwner))]
            + tell(code == Code.noEntry ? .gone(code) : .recovering(code)) + [.reopen]
    }

    private mutating func reopened(_ state: ImageState, _ now: Int64) -> [OwnershipAction] {
        switch state {
        case .fine, .lockGone:
            isTainted = false
            wasStandby = false
            pause = timing.firstPause
            phase = .idle
            return [.note(.back)] + tell(.ready) + [.rearm]
        case .standby:
            isTainted = false
            return standBy(now)
        case .failed(let code):
            let isAbsent = code == Code.noEntry
            phase = .lost(until: now + (isAbsent ? timing.absence : nextPause()))
            return [.note(.cannotReopen(code))] + tell(isAbsent ? .gone(code) : .recovering(code))
        }
    }

    private mutating func tell(_ news: OwnershipAvailability) -> [OwnershipAction] {
        guard news != told else { return [] }
        told = news
        return [.tell(news)]
    }

    private mutating func nextPause() -> Int64 {
        defer { pause = min(pause * 2, timing.longestPause) }
        return pause
    }
}

/// Linux' numbers of the errnos that matter here.
private enum Code {
    static let noEntry: Int32 = 2
    static let again: Int32 = 11
    static let busy: Int32 = 16
    static let readOnly: Int32 = 30
    static let shutDown: Int32 = 108
    static let timedOut: Int32 = 110
    static let stale: Int32 = 116
}
