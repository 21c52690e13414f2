import RBDBackend

/// What a gateway does as its machine says, and what comes of it in librbd and at the OSD.
extension OwnershipModel {
    mutating func act(_ index: Int, _ luck: Luck) {
        if gateways[index].todo.isEmpty {
            guard !gateways[index].inbox.isEmpty else { return }
            feed(gateways[index].inbox.removeFirst(), to: index)
            return
        }
        let action = gateways[index].todo[0]
        // The question is put when the action is first looked at, and ends when it was answered.
        if action == .askOwner, !gateways[1 - index].isAsked {
            gateways[1 - index].isAsked = true
            gateways[1 - index].reply = nil
            post(.peerAsks, to: 1 - index)
            return
        }
        gateways[index].todo.removeFirst()
        if let answer = perform(action, index, luck) { feed(answer, to: index) }
    }

    mutating func feed(_ event: OwnershipEvent, to index: Int) {
        gateways[index].todo += gateways[index].machine.handle(event, now: now)
    }

    mutating func perform(_ action: OwnershipAction, _ index: Int, _ luck: Luck) -> OwnershipEvent? {
        let me = gateways[index].client
        let isFenced = blocklisted.contains(me)
        switch action {
        case .lookUpOwner:
            if luck != .good { return .lookUpFailed(110) }
            if isFenced { return .lookUpFailed(108) }
            gateways[index].found = lock
            guard let lock else { return .foundOwner(.nobody) }
            if lock.client == me { return .foundOwner(.me) }
            return .foundOwner(.other(name: "client.\(lock.client)", isDead: isDead(lock.client)))
        case .askOwner:
            let reply = gateways[1 - index].reply ?? .silence
            gateways[1 - index].isAsked = false
            gateways[1 - index].reply = nil
            return .replied(reply)
        case .breakLock: return isFenced ? .broke(108) : .broke(breakLock(index, luck))
        case .acquire: return isFenced ? .acquired(108) : .acquired(acquire(index, luck))
        case .countWrites:
            let isWaitedFor = queue.contains { $0.client == me && !$0.isOrphan }
            return isWaitedFor ? .writing : .wrote(gateways[index].writes)
        case .rest(let count):
            guard gateways[index].writes == count, !queue.contains(where: { $0.client == me && !$0.isOrphan })
            else {
                return .writing
            }
            if !mutation.contains(.keepsGateOpen) { gateways[index].gateIsOpen = false }
            return .drained(clean: !gateways[index].inbox.contains(.writeFailed(110)))
        case .drain:
            let pending = queue.filter { $0.client == me }
            if mutation.contains(.drainsCarelessly) { return .drained(clean: true) }
            // Writes that are waited for still: the keeper does not wait long, and says that they are not over.
            return .drained(
                clean: !pending.contains { !$0.isOrphan } && !gateways[index].inbox.contains(.writeFailed(110)))
        case .release: return isFenced ? .released(108) : .released(release(index, luck))
        case .check:
            if luck != .good { return .checked(.failed(110)) }
            if isFenced { return .checked(.failed(108)) }
            return .checked(gateways[index].machine.isOwner && lock?.client != me ? .lockGone : .fine)
        case .reopen:
            if luck != .good { return .reopened(.failed(110)) }
            // A tainted client is not left alive behind its successor's back.
            if gateways[index].machine.isTainted || queue.contains(where: { $0.client == me }) {
                blocklisted.insert(me)
            } else if gateways[index].library.hasLock, lock?.client == me {
                // Closing gives the lock back.
                lock = nil
            }
            gateways[index].library = Library(settings: settings)
            gateways[index].client = clients
            clients += 1
            gateways[index].gateIsOpen = false
            gateways[index].inbox.removeAll { $0 == .writeFailed(110) || $0 == .writeFailed(108) || $0 == .doubt }
            return .reopened(.fine)
        case .openGate:
            if !gateways[index].gateIsOpen {
                if gateways[index].era == 0 || lock?.client == me { era += 1 }
                gateways[index].era = era
            }
            gateways[index].gateIsOpen = true
            gateways[index].hasClaimed = false
        case .closeGate:
            if !mutation.contains(.keepsGateOpen) { gateways[index].gateIsOpen = false }
        case .shut: gateways[index].gateIsOpen = false
        case .rearm: gateways[index].hasClaimed = false
        case .reply(let reply):
            if gateways[index].reply == nil { gateways[index].reply = reply }
        case .tell, .count, .note, .refuse: break
        }
        return nil
    }

    func isDead(_ client: Int) -> Bool { !gateways.contains { $0.client == client } }

    mutating func breakLock(_ index: Int, _ luck: Luck) -> Int32 {
        if luck == .lostRequest { return 110 }
        guard let found = gateways[index].found else { return 2 }
        if lock != found && !mutation.contains(.barsUnseen) { return 2 }
        let captured = gateways[index].library.settings
        if mutation.contains(.breaksByLibrary), captured == .withExpiry { return 22 }
        let bars =
            if mutation.contains(.breaksWithoutBlocklist) {
                false
            } else if mutation.contains(.believesMetadata) {
                settings == .withoutBlocklist || captured != .withoutBlocklist
            } else {
                true
            }
        if bars { blocklist(found.client) }
        if bars, lock != found { fault = "a client is barred that has given the lock back" }
        if luck == .lostHalf { return 110 }
        if lock == found { lock = nil }
        return luck == .good ? 0 : 110
    }

    /// As `ImageLock.acquire`: librbd's taking, and the question at the OSD whether it was so.
    mutating func acquire(_ index: Int, _ luck: Luck) -> Int32 {
        let me = Lock(client: gateways[index].client, cookie: gateways[index].library.cookie)
        if !gateways[index].library.hasLock {
            if luck == .lostRequest { return 110 }
            if let lock, lock.client == me.client { return lock == me ? 17 : 22 }
            if let lock {
                guard isDead(lock.client) else { return 30 }
                // Breaks a lock by itself whose owner has no watch.
                switch gateways[index].library.settings {
                case .withExpiry: return 22
                case .stock: blocklist(lock.client)
                case .withoutBlocklist: break
                }
            }
            lock = me
            gateways[index].tookAt = now
            if luck == .lostAnswer { return 110 }
            gateways[index].library.hasLock = true
        }
        if luck != .good { return 110 }
        return lock == me ? 0 : 30
    }

    /// As `ImageLock.release`: librbd's, and then the OSD's.
    mutating func release(_ index: Int, _ luck: Luck) -> Int32 {
        let me = gateways[index].client
        let gateway = gateways[index]
        if gateway.machine.isOwner, gateway.machine.phase == .releasing, now - gateway.tookAt < 500 {
            fault = "given away after \(now - gateway.tookAt) ms"
        }
        let isKnown = gateway.machine.isOwner
        let librarys = gateway.library.hasLock
        if isKnown || !mutation.contains(.givesBackToOSD) { gateways[index].library.hasLock = false }
        if luck == .lostRequest { return 110 }
        if lock?.client == me, librarys || !mutation.contains(.givesBackToLibrary) { lock = nil }
        return luck == .good ? 0 : 110
    }
}
