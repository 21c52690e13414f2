internal import BlockBackend
internal import Configuration
internal import KernelFiles
internal import Logging
internal import LogicalUnit
internal import Reactor
internal import SCSI
internal import Synchronization
internal import SystemPackage
internal import TCMUNetlink
internal import TCMURing

/// One device of the kernel's, from its announcement to its end.
///
/// Decisions are `DeviceLife`'s; this performs them. Nothing that may block runs here: backend, node and configfs
/// are reached through `BlockingCall`, the unit through its loop.
actor Device {
    nonisolated let node: UIONode
    /// `<subtype>/<device>`: how the log names the unit, as the original's did.
    nonisolated let label: String
    /// The device's configuration text, fit for the log.
    nonisolated let config: String
    let environment: DeviceEnvironment
    let backstore: Backstore
    let logger: Logger

    var life: DeviceLife {
        didSet { if life.isEnding || life.state == .gone { isEnding.store(true, ordering: .releasing) } }
    }
    var unit: (any ControlledUnit)?
    var loop: EngineLoop?
    /// Whom to tell how the opening ends. More than one only from a kernel that asks twice.
    private var addedRequests: [NetlinkRequest] = []
    /// The node and the device's gate, from the moment the node is ours.
    var gate: DeviceGate?
    /// An attempt to have the node is under way: who probes it may meet that attempt and not another process.
    var isClaiming = false
    /// Another process has had the node since the device was announced.
    var isContended = false
    /// Another process has had the node when we wanted it.
    var wasHeldElsewhere = false
    /// The kernel waits for answers about this device, as far as is known (`nl_reply_supported`).
    var isAsking = true
    /// The device has ended, or is ending: whatever is announced under its name and number is another one.
    nonisolated let isEnding = Atomic<Bool>(false)
    /// What the unit tells.
    let inbox = UnitInbox()
    /// How much of it the log gets.
    var measure = LogMeasure()
    private var attempts = 0
    /// The unit's times, until they have been checked against each other.
    var uncheckedTimeouts: TimeoutLadder.Settings?
    /// What configfs could not tell, told once each.
    var toldAboutFacts: Set<String> = []
    private var isReadingFacts = false
    /// What has been asked since the reading under way began.
    private var wantedFacts: FactsRequest?
    var removedRequest: NetlinkRequest?
    /// Reconfigurations that are not answered yet.
    var changesUnderWay = 0
    /// The daemon stops, and the device, which was served, stays in the kernel.
    var isStopping = false
    var recoveries = 0
    var recoveriesInARow = 0
    var lastRecovery: ContinuousClock.Instant?
    /// The recovery under way, or the last one: they never overlap.
    var recovery: Task<Void, Never>?
    /// The device that had this configuration text before; its end is waited for, not for long.
    private var predecessor: Device?
    /// Bytes that initiators see.
    var openedBytes: UInt64 = 0
    /// Bytes of a logical block.
    var blockBytes: UInt64 = 512
    /// What its file of `luns.d` said when it was opened.
    var settings = LUNSettings()
    /// Where its mode parameters are kept, and erasures under way, once they are.
    var keptFiles: [FilePath] = []
    /// The last word of the backend's keeper.
    var availability = BackendAvailability.ready

    /// The unit's place in its copy group, while it is attached.
    var copyMembership: CopyMembership?

    /// A device that is to be opened. `request` is the kernel's, which waits for an answer.
    init(
        node: UIONode, backstore: BackstoreName, origin: DeviceLife.Origin, request: NetlinkRequest?,
        after predecessor: Device?, environment: DeviceEnvironment
    ) {
        self.node = node
        self.predecessor = predecessor
        label = "\(DeviceConfiguration.subtype(of: node.name.configuration))/\(node.name.device)".printable
        config = DeviceConfiguration.withoutSecrets(node.name.configuration).printable
        self.environment = environment
        self.backstore = environment.tree.backstore(backstore)
        life = DeviceLife(origin: origin)
        addedRequests = request.map { [$0] } ?? []
        var logger = environment.logger
        logger[metadataKey: "lun.name"] = "\(node.name.device.printable)"
        logger[metadataKey: "uio.minor"] = "\(node.minor)"
        self.logger = logger
    }

    /// Opens the device and serves it; returns when it is closed for good, or forgotten.
    func run() async {
        async let listening: Void = listen()
        if life.origin == .added { watchDeadline() }
        while await open() {}
        await listening
        // Whatever way it came here: no device stays blocked by us, and no request unanswered.
        await leaveNode()
        answerAdded(.resourceTemporarilyUnavailable)
    }

    /// The kernel announces the device that is here already: the first look at sysfs was faster than the event. One device is
    /// one object, which answers when it knows how it stands.
    ///
    /// - Returns: false if it is another device after all: ours has gone without a word, or is ending.
    func announced(_ request: NetlinkRequest?) -> Bool {
        if let gate, gate.claim.isGone { return false }
        switch life.state {
        case .serving, .recovering:
            if let request {
                addedRequests.append(request)
                answerAdded(nil)
            }
        case .opening, .waiting:
            guard let request else { break }
            addedRequests.append(request)
            watchDeadline()
        case .overdue, .abandoned, .closing, .gone: return false
        }
        return true
    }

    // MARK: - Opening

    /// - Returns: whether to try again; the time between the two attempts is over.
    private func open() async -> Bool {
        await awaitPredecessor()
        attempts += 1
        logger.debug("\(label): opening \(config)")
        let claim: NodeClaim
        switch await takeNode() {
        case .ours(let taken): claim = taken
        case .failed(let failure): return await openFailed(failure)
        case .vanished:
            vanished()
            return false
        }
        let (opening, node, inbox) = (environment.opening, node, inbox)
        let result = await BlockingCall.run("open-\(node.nodeName)") { () -> Result<OpenedDevice, OpenFailure> in
            opening.open(node, claim) { inbox.put($0) }
        }
        switch result ?? .failure(.noThread) {
        case .success(let opened): return await serve(opened)
        case .failure(let failure): return await openFailed(failure)
        }
    }

    /// The node has gone before it was ours, or while the device waited: nobody else would tell.
    private func vanished() {
        logger.notice("\(label): has vanished without a word; forgotten")
        nodeIsGone()
        _ = life.removed()
        life.closed()
        answerAdded(.operationNotSupportedByDevice)
        endEvents()
    }

    private func awaitPredecessor() async {
        guard let before = predecessor else { return }
        predecessor = nil
        // One that is at work stays so: two units on one image, which the backend refuses.
        guard await before.life.isEnding else { return }
        _ = await BlockingCall.wait(atMost: .seconds(5)) { await before.life.state == .gone }
    }

    /// Attaches first and decides then: attaching takes a bounded time, and a removal may come meanwhile.
    private func serve(_ opened: OpenedDevice) async -> Bool {
        guard life.state == .opening else {
            _ = life.opened()
            logger.notice(
                "\(label): \(config) opened after all, and is closed again: nobody waits for it any longer")
            await close(opened.unit)
            life.closed()
            endEvents()
            return false
        }
        let loop = environment.loops.leastLoaded()
        do throws(Errno) {
            try await loop.attach(opened.unit)
        } catch {
            await close(opened.unit)
            return await openFailed(OpenFailure(errno: error, message: "cannot be attached to a loop"))
        }
        (unit, self.loop, openedBytes) = (opened.unit, loop, opened.bytes)
        blockBytes = opened.blockBytes
        settings = opened.settings
        keptFiles = opened.keptFiles
        uncheckedTimeouts = opened.timeouts
        copyMembership = opened.copyMembership
        copyMembership?.join(opened.unit, loop)
        startKeeper(of: opened.unit, loop)
        for note in opened.notes { logger.warning("\(label): \(note.printable)") }
        for remark in opened.remarks { logger.info("\(label): \(remark.printable)") }
        let action = life.opened()
        guard action == .serve || action == .serveAndRecover else {
            await retire()
            return false
        }
        answerAdded(nil)
        logger.info("\(label): serving \(config), \(opened.bytes) bytes")
        // The others of its copy group know it by its serial number. Initiators that knew the unit before this daemon
        // started send no INQUIRY for which that would be read. Of a new unit it is not there yet.
        if copyMembership != nil, life.origin == .existing {
            startReadingFacts(FactsRequest(number: 0, wantsExclusion: false))
        }
        if action == .serveAndRecover {
            startRecovery()
        } else if life.origin == .existing {
            await unblock()
        }
        return false
    }

    private func openFailed(_ failure: OpenFailure) async -> Bool {
        if life.isEnding {
            if failure != .notWanted {
                logger.notice("\(label): \(config) is let go of: nobody waits for it any longer")
            }
        } else {
            logger.error(
                """
                \(label): \(config) cannot be opened: \(failure.message.printable) (errno \(failure.errno.rawValue))
                """)
        }
        switch life.openFailed() {
        case .refuse:
            // The node first: who adds the device again, told why it failed, must not find it taken.
            nodeIsGone()
            answerAdded(failure.errno)
            endEvents()
        case .retry:
            // If somebody waits for it, the kernel takes the device back; if not, it stays.
            answerAdded(failure.errno)
            let pause = min(30, 1 << min(attempts - 1, 5))
            let initiators = gate == nil ? "" : "initiators get BUSY; "
            logger.notice("\(label): \(initiators)next attempt in \(pause) s")
            try? await ControlThread.sleep(for: .seconds(pause))
            if life.retryDue() == .open { return true }
            endEvents()
        default: endEvents()
        }
        return false
    }

    /// Answers whoever waits for the opening when the time is up; the opening goes on.
    private func watchDeadline() {
        Task(executorPreference: ControlThread.shared) { await self.answerAtDeadline() }
    }

    private func answerAtDeadline() async {
        let limit = environment.service.openTimeout
        _ = await BlockingCall.wait(atMost: limit) { await !self.isAwaited }
        guard isAwaited else { return }
        logger.error(
            """
            \(label): the backend has not opened within \(limit); the kernel is told ETIMEDOUT. Is the cluster or \
            file system behind it reachable?
            """)
        // A device that was there before is opened all the same; the kernel may leave it there.
        if life.deadlinePassed() == .timeOut { nodeIsGone() }
        answerAdded(.timedOut)
    }

    /// Whether the kernel waits for the end of the opening.
    private var isAwaited: Bool { !addedRequests.isEmpty && (life.state == .opening || life.state == .waiting) }

    /// Whether the kernel waits for an answer about this device, which a reset of netlink would fail.
    var owesAnAnswer: Bool { !addedRequests.isEmpty || removedRequest != nil || changesUnderWay > 0 }

    /// The kernel takes the device away, so it does not wait for the end of the opening any longer.
    func forgetAdded() {
        addedRequests = []
    }

    func answerAdded(_ errno: Errno?) {
        let requests = addedRequests
        addedRequests = []
        // A device that was set not to ask: the kernel would only log that nobody has.
        guard isAsking, !requests.isEmpty else { return }
        guard isContended else {
            for request in requests { environment.reply(request, errno) }
            return
        }
        // The other process may have answered. An answer to what is not waited for any longer could meet a removal of that device,
        // and then the kernel forgets who waits for that one.
        let (environment, backstore) = (environment, backstore)
        Task(executorPreference: ControlThread.shared) {
            let isWaiting = await BlockingCall.run("asked-uio", atMost: .seconds(10)) { () -> Bool in
                do throws(KernelFileError) { return try !backstore.isEnabled() } catch { return false }
            }
            guard isWaiting ?? false else { return }
            for request in requests { environment.reply(request, errno) }
        }
    }

    // MARK: - Facts

    func startReadingFacts(_ request: FactsRequest) {
        wantedFacts = wantedFacts?.joined(request) ?? request
        // One at a time: configfs may hold a reader for long, and each reader is a thread. The next one begins when it
        // has come back, for all who have asked since.
        guard !isReadingFacts else { return }
        isReadingFacts = true
        Task(executorPreference: ControlThread.shared) { await self.readWantedFacts() }
    }

    private func readWantedFacts() async {
        while let request = wantedFacts {
            wantedFacts = nil
            await deliverFacts(request)
        }
        isReadingFacts = false
    }

    private func deliverFacts(_ request: FactsRequest) async {
        guard let unit, let loop else { return }
        var facts: BackstoreFacts?
        // Not while the device is being removed: configfs would hold the reader.
        if life.state == .serving {
            let reader = FactsReader(tree: environment.tree, backstore: backstore)
            let result = await BlockingCall.run("facts-\(node.nodeName)") {
                Result { () throws(KernelFileError) in try reader.answer(request) }
            }
            switch result {
            case .success(let read):
                facts = read.facts
                let isExplicit = read.facts.targetPortGroupSupport.isExplicit
                unit.keeper?.serves(portGroup: isExplicit ? read.facts.port?.targetPortGroup : nil)
                for skipped in read.skipped where toldAboutFacts.insert(skipped).inserted {
                    logger.warning("\(label): left out: \(skipped)")
                }
            case .failure(let error):
                // Initiators choose how often it is read.
                if toldAboutFacts.insert(error.description).inserted { logger.warning("\(label): \(error)") }
            case nil: say(.facts) { logger.warning("\(label): no thread to read configfs with") }
            }
        }
        loop.post(unit) { [facts] in unit.deliver(facts, for: request.number) }
        // Not waited for: others wait for the next reading.
        Task(executorPreference: ControlThread.shared) { await self.checkTimeouts(facts) }
    }

    // MARK: - Pieces

    /// Closes the backend of a unit that no loop has any longer.
    func close(_ unit: any ControlledUnit) async {
        // Without a thread to close it on it is kept: dropping an open unit is a mistake that stops the process.
        while await BlockingCall.run("close-\(node.nodeName)", { unit.closeBackend() }) == nil {
            logger.error("\(label): no thread left to close it on; tried again")
            try? await ControlThread.sleep(for: .seconds(1))
        }
    }

    /// No more events come.
    func endEvents() {
        inbox.finish()
    }
}
