import RBDBackend

/// What may happen next, and what comes of it.
extension OwnershipModel {
    /// What goes wrong in a walk, beside what time brings.
    enum Faults {
        case none
        /// Writes that an OSD refuses.
        case refusals
        /// Writes that time out at their gateway.
        case timeOuts
        /// The same, and metadata that change.
        case settings
        /// Everything.
        case all
    }

    /// Every step that is possible now. Bounds keep the number of states small: so many writes, so many clients.
    func steps(_ kinds: Faults) -> [Step] {
        let faults = kinds == .all
        var steps: [Step] = []
        for index in 0..<2 {
            let gateway = gateways[index]
            if !gateway.todo.isEmpty {
                if isEnabled(index, kinds) {
                    steps.append(.act(index, .good))
                    if faults, Self.canFail(gateway.todo[0]) {
                        steps += [.act(index, .lostRequest), .act(index, .lostAnswer)]
                    }
                    if faults, [.acquire, .breakLock].contains(gateway.todo[0]) {
                        steps.append(.act(index, .lostHalf))
                    }
                }
            } else if !gateway.inbox.isEmpty {
                steps.append(.act(index, .good))
            }
            let mine = queue.filter { $0.client == gateway.client }
            if gateway.gateIsOpen ? mine.count < 2 : !gateway.hasClaimed { steps.append(.write(index)) }
            if kinds == .refusals, mine.contains(where: { !$0.isOrphan }) { steps.append(.refuse(index)) }
            if kinds != .none, kinds != .refusals, mine.contains(where: { !$0.isOrphan }) {
                steps.append(.timeOut(index))
            }
            if faults, gateway.isAsked, gateway.reply == nil { steps.append(.silence(index)) }
            let isBusy = !gateway.todo.isEmpty || gateway.inbox.first != .peerAsks
            if faults, isBusy, gateway.reply == nil, gateway.inbox.contains(.peerAsks) {
                steps.append(.deflect(index))
            }
            if faults, clients < 5, !blocklisted.contains(gateway.client) { steps.append(.blocklist(index)) }
            // With the lock librbd takes it along to the new cookie.
            if faults, !gateway.library.hasLock, gateway.library.cookie == 0, lock?.client == gateway.client {
                steps.append(.rewatch(index))
            }
        }
        if kinds == .settings { steps.append(.configure) }
        for client in Set(queue.map(\.client)).sorted() { steps.append(.carryOut(client)) }
        if nextDeadline != nil { steps.append(.tick) }
        return steps
    }

    /// Something due that is not waited for by anybody else.
    var nextDeadline: Int64? {
        gateways.compactMap { $0.todo.isEmpty && $0.inbox.isEmpty ? $0.machine.deadline : nil }.min()
    }

    /// Whether the gateway's next action can end: a question needs its answer, draining needs an end.
    func isEnabled(_ index: Int, _ kinds: Faults) -> Bool {
        switch gateways[index].todo[0] {
        case .askOwner: !gateways[1 - index].isAsked || gateways[1 - index].reply != nil
        // An OSD that refuses has answered: nothing takes longer than an owner waits.
        case .drain where kinds == .refusals: !queue.contains { $0.client == gateways[index].client }
        default: true
        }
    }

    static func canFail(_ action: OwnershipAction) -> Bool {
        switch action {
        case .lookUpOwner, .breakLock, .acquire, .release, .check, .reopen: true
        default: false
        }
    }

    mutating func take(_ step: Step) {
        switch step {
        case .write(let index): write(index)
        case .act(let index, let luck): act(index, luck)
        case .carryOut(let client): carryOut(client)
        case .timeOut(let index): timeOut(index)
        case .refuse(let index): refuse(index)
        case .silence(let index): gateways[index].reply = .silence
        case .deflect(let index):
            gateways[index].reply = .hold(100)
            gateways[index].inbox.removeAll { $0 == .peerAsks }
        case .blocklist(let index): blocklist(gateways[index].client)
        case .rewatch(let index): gateways[index].library.cookie += 1
        case .configure: settings = settings.next
        case .tick:
            guard let next = nextDeadline else { return }
            now = max(now, next)
            for index in 0..<2 where gateways[index].todo.isEmpty && gateways[index].inbox.isEmpty {
                if let deadline = gateways[index].machine.deadline, deadline <= now { post(.timer, to: index) }
            }
        }
        checkRules()
    }

    mutating func write(_ index: Int) {
        if gateways[index].gateIsOpen {
            gateways[index].writes += 1
            queue.append(Write(client: gateways[index].client, era: gateways[index].era))
        } else if !gateways[index].hasClaimed {
            gateways[index].hasClaimed = true
            gateways[index].claimsEver += 1
            post(.claim, to: index)
        }
    }

    mutating func carryOut(_ client: Int) {
        guard let place = queue.firstIndex(where: { $0.client == client }) else { return }
        let write = queue.remove(at: place)
        let owner = gateways.firstIndex { $0.client == client }
        if blocklisted.contains(client) {
            if !write.isOrphan, let owner { post(.writeFailed(108), to: owner) }
            return
        }
        if write.era < landedEra { fault = "a write of era \(write.era) landed after one of era \(landedEra)" }
        landedEra = max(landedEra, write.era)
    }

    mutating func timeOut(_ index: Int) {
        let client = gateways[index].client
        guard let place = queue.firstIndex(where: { $0.client == client && !$0.isOrphan }) else { return }
        queue[place].isOrphan = true
        if !mutation.contains(.forgetsTimeOuts) { post(.writeFailed(110), to: index) }
    }

    mutating func refuse(_ index: Int) {
        let client = gateways[index].client
        guard let place = queue.firstIndex(where: { $0.client == client && !$0.isOrphan }) else { return }
        queue.remove(at: place)
        post(.writeFailed(28), to: index)
    }

    mutating func blocklist(_ client: Int) {
        blocklisted.insert(client)
        // Its watch breaks.
        if let index = gateways.firstIndex(where: { $0.client == client }) { post(.doubt, to: index) }
    }

    mutating func post(_ event: OwnershipEvent, to index: Int) {
        // Bound: the keeper's queue holds each kind once, too.
        if !gateways[index].inbox.contains(event) || event == .peerAsks { gateways[index].inbox.append(event) }
    }
}
