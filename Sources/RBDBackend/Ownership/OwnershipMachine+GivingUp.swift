/// Giving the lock up: to a gateway that asks for it, or unasked when nothing is written.
extension OwnershipMachine {
    mutating func peerAsks(_ now: Int64) -> [OwnershipAction] {
        guard isOwner else {
            guard isUnsettled, !isTainted else { return [.reply(isTainted ? .fenceMe : .released)] }
            switch phase {
            case .idle, .deferred:
                phase = .releasing
                return [.release]
            default: return [.reply(.released)]
            }
        }
        let rest = heldSince + hold - now
        if rest > 0 { return [.reply(.hold(rest))] }
        guard case .owning = phase, !isTainted else { return [.reply(.fenceMe)] }
        phase = .draining
        return [.closeGate, .drain]
    }

    mutating func drained(_ clean: Bool, _ now: Int64) -> [OwnershipAction] {
        let isHandOver = phase == .draining
        guard clean && !isTainted else {
            // Still the owner until fenced; if the other one changes its mind, for good.
            phase = .owning
            nextCount = now + timing.idleRelease
            return (isHandOver ? [.reply(.fenceMe)] : []) + [.openGate]
        }
        phase = isHandOver ? .releasing : .idling
        return [.release]
    }

    /// Whether the lock is given back when nothing is written. Not after a write whose end is unknown.
    var givesBackUnasked: Bool { timing.idleRelease > 0 && !isTainted }

    mutating func wrote(_ count: UInt64, _ now: Int64) -> [OwnershipAction] {
        nextCount = now + timing.idleRelease
        defer { writesCounted = count }
        guard count == writesCounted, givesBackUnasked else {
            phase = .owning
            return []
        }
        phase = .resting
        return [.rest(count)]
    }

    /// The lock is in use, however long ago the write under way began.
    mutating func stillWrites(_ now: Int64) -> [OwnershipAction] {
        nextCount = now + timing.idleRelease
        phase = .owning
        return []
    }

    mutating func released(_ code: Int32, _ now: Int64) -> [OwnershipAction] {
        let before = phase
        let wasOwner = isOwner
        isOwner = false
        isUnsettled = code != 0
        let answer: [OwnershipAction] =
            before == .releasing ? [.reply(code == OwnershipCode.shutDown ? .fenceMe : .released)] : []
        if code == OwnershipCode.shutDown { return answer + lose(code, now) }
        switch before {
        case .disowning:
            phase = .claiming
            switch code {
            case 0: return again(now)
            case OwnershipCode.timedOut: return unreachable(code, now)
            // It cannot be had from this client, then from the next one.
            default: return lose(code, now)
            }
        case .idling:
            phase = .idle
            return [.rearm, .note(.gaveIdleLock)]
        default:
            // Whatever else the code says: no write is under way and none follows, so if the lock is still there, whoever
            // finds it may break it.
            if wasOwner { givenUpAt = now }
            phase = .deferred(until: now + timing.yield)
            return answer + (wasOwner && before == .releasing ? [.note(.gaveLock)] : [])
        }
    }
}
