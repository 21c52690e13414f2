import RBDBackend

/// Two gateways with a machine each, one image of one object, its lock, the cluster's blocklist and an OSD in whose
/// queue writes can be delayed. Everything that may happen next is a ``Step``.
///
/// The cluster is modelled by what Ceph promises: a lock operation is atomic; an OSD carries out the operations of one client in
/// their order and drops those of clients on the blocklist. librbd is modelled by what it keeps to itself: whether it thinks that it
/// has the lock, under which cookie it takes it, and the settings that it read when the image was opened.
struct OwnershipModel: Hashable {
    /// A write on its way to the object.
    struct Write: Hashable {
        let client: Int
        /// Count of takings of the lock at the time it was let through the gate.
        let era: Int
        /// The gateway has given it up: nobody waits for its end.
        var isOrphan = false
    }

    /// Settings of the image's metadata that say what librbd does when it breaks a lock.
    enum Settings: Hashable {
        case stock
        /// `rbd_blocklist_on_break_lock` = false.
        case withoutBlocklist
        /// `rbd_blocklist_expire_seconds` is not 0: librbd breaks no lock.
        case withExpiry

        var next: Settings {
            switch self {
            case .stock: .withoutBlocklist
            case .withoutBlocklist: .withExpiry
            case .withExpiry: .stock
            }
        }
    }

    /// What librbd thinks, which need not be so.
    struct Library: Hashable {
        var hasLock = false
        /// Of its watch; it takes the lock under it.
        var cookie = 0
        /// Read when the image was opened.
        var settings = Settings.stock
    }

    /// The lock as the OSD has it.
    struct Lock: Hashable {
        let client: Int
        let cookie: Int
    }

    /// A gateway: machine, gate, and what a librbd client would hold.
    struct Gateway: Hashable {
        var library = Library()
        var writes: UInt64 = 0
        var machine: OwnershipMachine
        var client: Int
        var gateIsOpen = false
        /// True once the gate told of a write without lock, until rearmed.
        var hasClaimed = false
        var era = 0
        /// What the machine wants done, in order.
        var todo: [OwnershipAction] = []
        /// What has happened while it was busy.
        var inbox: [OwnershipEvent] = []
        /// What it has answered to the other one's question.
        var reply: OwnerReply?
        /// The other one has asked, and waits.
        var isAsked = false
        var claimsEver = 0
        var tookAt: Int64 = -1
        /// The lock that it found when it looked last.
        var found: Lock?
    }

    /// What can go wrong with the next action of a gateway.
    enum Luck: Hashable, CaseIterable {
        case good
        /// It did not take place, and timed out.
        case lostRequest
        /// It took place, and timed out.
        case lostAnswer
        /// The first half of it took place, and the second one timed out: a lock was taken and not looked at afterwards; an
        /// owner was barred and its lock not removed.
        case lostHalf
    }

    enum Step: Hashable {
        /// An initiator writes through the gateway.
        case write(Int)
        /// The next action of the gateway, or the next event it has not looked at.
        case act(Int, Luck)
        /// The OSD takes the oldest write of that client from its queue.
        case carryOut(Int)
        /// The oldest write of the gateway that is waited for times out there and stays in the queue.
        case timeOut(Int)
        /// The gateway's process or link is dead to the world until it acts again: its question stays unanswered.
        case silence(Int)
        /// The gateway is at something else: the call that brought the question answers it.
        case deflect(Int)
        /// Somebody blocklists the gateway's client.
        case blocklist(Int)
        /// librbd's watch broke and was made anew, under another cookie.
        case rewatch(Int)
        /// Somebody changes the image's metadata.
        case configure
        /// Time passes to the next deadline.
        case tick
    }

    /// Rules that can be broken on purpose, to see that the walk finds out.
    struct Mutation: OptionSet, Hashable {
        let rawValue: Int
        /// Waiting for the end of writes says "clean" whatever happened.
        static let drainsCarelessly = Mutation(rawValue: 1)
        /// Breaking a lock does not blocklist the owner.
        static let breaksWithoutBlocklist = Mutation(rawValue: 2)
        /// The gate stays open while the lock is given back.
        static let keepsGateOpen = Mutation(rawValue: 4)
        /// A write that timed out is not told to the machine.
        static let forgetsTimeOuts = Mutation(rawValue: 8)
        /// Breaking bars the owner itself only where the metadata of now say that librbd does not.
        static let believesMetadata = Mutation(rawValue: 16)
        /// Breaking leaves it to librbd to remove the lock.
        static let breaksByLibrary = Mutation(rawValue: 32)
        /// Giving the lock back tells librbd, and not the OSD.
        static let givesBackToLibrary = Mutation(rawValue: 64)
        /// Giving back a lock that the machine does not know of tells the OSD, and not librbd.
        static let givesBackToOSD = Mutation(rawValue: 128)
        /// The owner is barred without another look.
        static let barsUnseen = Mutation(rawValue: 256)
    }

    var gateways: [Gateway]
    var queue: [Write] = []
    var lock: Lock?
    var settings = Settings.stock
    var blocklisted: Set<Int> = []
    var clients: Int
    var era = 0
    var landedEra = 0
    var now: Int64 = 0
    var mutation: Mutation = []
    /// A rule that was broken; the walk stops there.
    var fault: String?

    /// - Parameter settings: of the image, when both opened it and now.
    init(mutation: Mutation = [], settings: Settings = .stock) {
        gateways = (0..<2).map {
            Gateway(library: Library(settings: settings), machine: OwnershipMachine(), client: $0)
        }
        self.settings = settings
        clients = 2
        self.mutation = mutation
    }

    // MARK: - What can happen

    /// What goes wrong in a walk, beside what time brings.
    enum Faults {
        case none
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
                if isEnabled(index) {
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
            if kinds != .none, mine.contains(where: { !$0.isOrphan }) { steps.append(.timeOut(index)) }
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
    private var nextDeadline: Int64? {
        gateways.compactMap { $0.todo.isEmpty && $0.inbox.isEmpty ? $0.machine.deadline : nil }.min()
    }

    /// Whether the gateway's next action can end: a question needs its answer, draining needs an end.
    private func isEnabled(_ index: Int) -> Bool {
        switch gateways[index].todo[0] {
        case .askOwner: !gateways[1 - index].isAsked || gateways[1 - index].reply != nil
        default: true
        }
    }

    private static func canFail(_ action: OwnershipAction) -> Bool {
        switch action {
        case .lookUpOwner, .breakLock, .acquire, .release, .check, .reopen: true
        default: false
        }
    }

    // MARK: - Doing it

    mutating func take(_ step: Step) {
        switch step {
        case .write(let index): write(index)
        case .act(let index, let luck): act(index, luck)
        case .carryOut(let client): carryOut(client)
        case .timeOut(let index): timeOut(index)
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

    private mutating func write(_ index: Int) {
        if gateways[index].gateIsOpen {
            gateways[index].writes += 1
            queue.append(Write(client: gateways[index].client, era: gateways[index].era))
        } else if !gateways[index].hasClaimed {
            gateways[index].hasClaimed = true
            gateways[index].claimsEver += 1
            post(.claim, to: index)
        }
    }

    private mutating func carryOut(_ client: Int) {
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

    private mutating func timeOut(_ index: Int) {
        let client = gateways[index].client
        guard let place = queue.firstIndex(where: { $0.client == client && !$0.isOrphan }) else { return }
        queue[place].isOrphan = true
        if !mutation.contains(.forgetsTimeOuts) { post(.writeFailed(110), to: index) }
    }

    private mutating func blocklist(_ client: Int) {
        blocklisted.insert(client)
        // Its watch breaks.
        if let index = gateways.firstIndex(where: { $0.client == client }) { post(.doubt, to: index) }
    }

    private mutating func post(_ event: OwnershipEvent, to index: Int) {
        // Bound: the keeper's queue holds each kind once, too.
        if !gateways[index].inbox.contains(event) || event == .peerAsks { gateways[index].inbox.append(event) }
    }

    private mutating func act(_ index: Int, _ luck: Luck) {
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

    private mutating func feed(_ event: OwnershipEvent, to index: Int) {
        gateways[index].todo += gateways[index].machine.handle(event, now: now)
    }

    private mutating func perform(_ action: OwnershipAction, _ index: Int, _ luck: Luck) -> OwnershipEvent? {
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

    // MARK: - The lock

    private func isDead(_ client: Int) -> Bool { !gateways.contains { $0.client == client } }

    private mutating func breakLock(_ index: Int, _ luck: Luck) -> Int32 {
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
    private mutating func acquire(_ index: Int, _ luck: Luck) -> Int32 {
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
    private mutating func release(_ index: Int, _ luck: Luck) -> Int32 {
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

    // MARK: - What must hold

    private mutating func checkRules() {
        guard fault == nil else { return }
        let writers = gateways.filter { $0.gateIsOpen && !blocklisted.contains($0.client) }
        if writers.count > 1 { fault = "two gateways may write" }
        for gateway in gateways where gateway.gateIsOpen && !gateway.machine.isOwner {
            // Only between the machine's decision and the closing of the gate.
            if gateway.todo.isEmpty { fault = "a gate is open without the lock" }
        }
        for gateway in gateways where lock?.client == gateway.client && gateway.claimsEver == 0 {
            fault = "the lock was taken without a write"
        }
    }

    /// With nothing else going wrong: nil if a write through `index` gets through, else what comes in between.
    func obstacle(_ index: Int) -> String? {
        let none = "no way back to writing"
        var model = self
        for _ in 0..<400 {
            if let fault = model.fault { return fault }
            let gateway = model.gateways[index]
            if gateway.gateIsOpen && !model.blocklisted.contains(gateway.client) && gateway.todo.isEmpty
                && gateway.inbox.isEmpty
            {
                return nil
            }
            if !gateway.gateIsOpen && !gateway.hasClaimed { model.take(.write(index)) }
            // Round robin over what is not a fault, time last.
            let steps = model.steps(.none)
            let work = steps.filter {
                if case .act = $0 { true } else if case .carryOut = $0 { true } else { false }
            }
            if work.isEmpty {
                guard steps.contains(.tick) else { return none }
                model.take(.tick)
            }
            for step in work { model.take(step) }
        }
        return none
    }
}
