internal import BlockBackend
internal import ConfigFS
internal import Configuration
internal import Logging
internal import LogicalUnit
internal import SCSI
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

    var life: DeviceLife
    var unit: (any ControlledUnit)?
    var loop: EngineLoop?
    private var addedRequest: NetlinkRequest?
    private let events: AsyncStream<UnitEvent>
    private let reporter: AsyncStream<UnitEvent>.Continuation
    private var attempts = 0
    /// The unit's times, until they have been checked against each other.
    var uncheckedTimeouts: TimeoutLadder.Settings?
    /// What configfs could not tell, told once each.
    private var toldAboutFacts: Set<String> = []
    private var isReadingFacts = false
    /// What has been asked since the reading under way began.
    private var wantedFacts: FactsRequest?
    var removedRequest: NetlinkRequest?
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
        addedRequest = request
        var logger = environment.logger
        logger[metadataKey: "lun.name"] = "\(node.name.device.printable)"
        logger[metadataKey: "uio.minor"] = "\(node.minor)"
        self.logger = logger
        // Unbounded: a unit reports rarely, and losing the word of a broken ring would leave it broken for ever.
        (events, reporter) = AsyncStream.makeStream()
    }

    /// Opens the device and serves it; returns when it is closed for good, or forgotten.
    func run() async {
        async let listening: Void = listen()
        async let watching: Void = watchDeadline()
        while await open() {}
        await watching
        await listening
    }

    // MARK: - Opening

    /// - Returns: whether to try again; the time between the two attempts is over.
    private func open() async -> Bool {
        await awaitPredecessor()
        attempts += 1
        let (opening, node, backstore) = (environment.opening, node, backstore)
        let existing = life.origin == .existing
        let reporter = reporter
        logger.debug("\(label): opening \(config)")
        let result = await BlockingCall.run("open-\(node.nodeName)") { () -> Result<OpenedDevice, OpenFailure> in
            if existing {
                do throws(ConfigFSError) {
                    // What a daemon before us left in flight is answered BUSY and comes again.
                    try backstore.setBlocked(true)
                    try backstore.resetRing(.busy)
                } catch {
                    return .failure(OpenFailure(errno: error.errno, message: error.description))
                }
            }
            return opening.open(node) { reporter.yield($0) }
        }
        switch result ?? .failure(OpenFailure(errno: .resourceTemporarilyUnavailable, message: "no thread left")) {
        case .success(let opened): return await serve(opened)
        case .failure(let failure): return await openFailed(failure)
        }
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
            await close(opened.unit)
            life.closed()
            logger.notice(
                "\(label): \(config) opened after all, and was closed again: nobody waits for it any longer")
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
        uncheckedTimeouts = opened.timeouts
        copyMembership = opened.copyMembership
        copyMembership?.join(opened.unit, loop)
        startKeeper(of: opened.unit, loop, reporter)
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
        logger.error(
            """
            \(label): \(config) cannot be opened: \(failure.message.printable) (errno \(failure.errno.rawValue))
            """)
        switch life.openFailed() {
        case .refuse:
            answerAdded(failure.errno)
            reporter.finish()
        case .retry:
            let pause = min(30, 1 << min(attempts - 1, 5))
            logger.notice("\(label): initiators get BUSY; next attempt in \(pause) s")
            try? await ControlThread.sleep(for: .seconds(pause))
            if life.retryDue() == .open { return true }
            reporter.finish()
        default: reporter.finish()
        }
        return false
    }

    private func watchDeadline() async {
        guard life.origin == .added else { return }
        let limit = environment.service.openTimeout
        _ = await BlockingCall.wait(atMost: limit) { await self.life.state != .opening }
        guard life.deadlinePassed() == .timeOut else { return }
        logger.error(
            """
            \(label): the backend has not opened within \(limit); the kernel is told ETIMEDOUT. Is the cluster or \
            file system behind it reachable?
            """)
        answerAdded(.timedOut)
    }

    func answerAdded(_ errno: Errno?) {
        guard let request = addedRequest else { return }
        addedRequest = nil
        environment.reply(request, errno)
    }

    // MARK: - Events of the unit

    private func listen() async {
        for await event in events { await handle(event) }
    }

    private func handle(_ event: UnitEvent) async {
        switch event {
        case .ringFailed(let error):
            logger.critical("\(label): impossible ring: \(error). The unit is blocked and its ring reset")
            if life.ringLost() == .recover { startRecovery() }
        case .factsNeeded(let request): startReadingFacts(request)
        case .accessStatesWanted(let plan):
            Task(executorPreference: ControlThread.shared) { await self.changeAccessStates(plan) }
        case .ringGone:
            // After a removal this is no news. Without one (netlink was blocked) nobody else will tell.
            guard life.state != .closing && life.state != .gone else { return }
            logger.notice("\(label): has vanished without a word; closed")
            Task(executorPreference: ControlThread.shared) { await self.remove(nil) }
        case .taskManagement(let name, let commands):
            logger.notice("\(label): \(name) for \(commands) commands in flight")
        case .commandsLate(let cdb, let count, let milliseconds):
            logger.error(
                """
                \(label): \(count) commands not answered within \(milliseconds) ms, first of them [\(cdb)]; further \
                ones get BUSY until they are
                """)
        case .lateCommandsAnswered: logger.notice("\(label): all late commands are answered")
        case .unsupportedOperation(let cdb): logger.info("\(label): [\(cdb)] is not supported")
        case .shortBuffer(let cdb, let expected, let delivered):
            logger.error("\(label): [\(cdb)] came with \(delivered) bytes of buffer, expected \(expected)")
        case .tooManySegments(let count):
            logger.error("\(label): a command in \(count) pieces, at most \(Limits.segments) are taken")
        case .erasureFailed(let cdb, let errno):
            logger.error(
                """
                \(label): [\(cdb)] did not reach its end: \(Errno(rawValue: errno)). The medium holds neither what it did \
                nor what it should; initiators get MEDIUM ERROR until the command is repeated, or the daemon restarts
                """)
        case .spaceLow(let available, let threshold):
            logger.warning(
                """
                \(label): \(available) bytes of space left, less than the soft threshold of \(threshold); initiators are \
                told by a unit attention. Make room before writes fail
                """)
        case .spaceUnknown(let errno):
            logger.warning(
                """
                \(label): how much space is left cannot be found out: \(Errno(rawValue: errno)). Initiators are not told \
                before writes fail
                """)
        case .backend(let notice): hear(notice)
        case .backendError(let cdb, let errno):
            logger.error("\(label): [\(cdb)] failed: \(Errno(rawValue: errno))")
        }
    }

    private func startReadingFacts(_ request: FactsRequest) {
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
                Result { () throws(ConfigFSError) in try reader.answer(request) }
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
            case nil: logger.warning("\(label): no thread to read configfs with")
            }
        }
        loop.post(unit) { [facts] in unit.deliver(facts, for: request.number) }
        // Not waited for: others wait for the next reading.
        Task(executorPreference: ControlThread.shared) { await self.checkTimeouts(facts) }
    }

    // MARK: - Pieces

    /// Blocks or unblocks the device in the kernel; a failure is logged, and the device goes on.
    @discardableResult
    func setBlocked(_ blocked: Bool, atMost limit: Duration = .forEver) async -> Bool {
        let backstore = backstore
        let failure = await BlockingCall.run("block-\(node.nodeName)", atMost: limit) { () -> String in
            do throws(ConfigFSError) {
                try backstore.setBlocked(blocked)
                return ""
            } catch {
                return error.description
            }
        }
        let reason = failure ?? "configfs does not answer, or no thread is left"
        if !reason.isEmpty { logger.warning("\(label): not \(blocked ? "blocked" : "unblocked"): \(reason)") }
        return reason.isEmpty
    }

    /// Unblocks, again and again while the device is at work: blocked it would answer BUSY for ever.
    func unblock() async {
        while life.state == .serving, !(await setBlocked(false)) {
            try? await ControlThread.sleep(for: .seconds(2))
        }
    }

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
        reporter.finish()
    }
}
