internal import BlockBackend
internal import Configuration
internal import KernelFiles
internal import Logging
internal import ServiceLifecycle
internal import Synchronization
internal import SystemPackage
internal import TCMUNetlink

/// Why a service ended without having been asked to.
enum ServiceFailure: Error, CustomStringConvertible {
    /// The netlink socket failed; its reason is in the log.
    case netlinkLost

    var description: String { "netlink is lost; devices are closed and stay configured. Start the daemon again" }
}

/// The daemon as a service: takes over what is there, serves what comes, and leaves everything configured.
///
/// Order at start: the socket joins the kernel's group, so that from here on no event is lost; who waits for an answer of a daemon
/// that has ended is released, if no other daemon is at work; devices are found. One that is found and announced is one device.
struct TCMUService: Service {
    private let configuration: ServiceConfiguration
    private let logger: Logger
    /// Threads and descriptors, for all that opens something.
    private let budget = ResourceBudget.ofSystem()
    /// Each asks for a line per device in the log.
    private let statusRequests: AsyncStream<Void>

    /// How long a stop waits for commands in flight, and again for closing an image.
    private static let stopLimit = Duration.seconds(10)

    /// A service that has not started.
    init(configuration: ServiceConfiguration, logger: Logger, statusRequests: AsyncStream<Void>) {
        self.statusRequests = statusRequests
        self.configuration = configuration
        self.logger = logger
    }

    /// Serves until asked to stop.
    ///
    /// - Throws: what keeps it from starting: netlink missing, no threads.
    func run() async throws {
        let portalGroups = PortalGroupSwitch(
            tree: ConfigFSTree(mountedAt: configuration.configFSRoot), journal: configuration.runDirectory,
            logger: logger)
        let session = try NetlinkSession(receiveBuffer: configuration.netlinkReceiveBuffer)
        let gate = NetlinkGate(service: configuration, logger: logger) { session.otherListeners }
        let owner = TableOwner()
        let release = WaiterRelease {
            // What our own devices are being asked is answered first: a reset would fail it.
            guard let table = owner.table, !(await table.owesAnAnswer()) else { return false }
            return await Self.releaseWaiters(gate, own: table.minors.withLock { $0 }, isTold: true)
        }
        var environment = try environment(session, portalGroups)
        environment.waitersMayBeLeft = { release.want() }
        let table = DeviceTable(environment: environment)
        owner.table = table
        let listener = try NetlinkListener(session, logger: logger)
        if !(await Self.releaseWaiters(gate, own: [])) { release.want() }
        let found = await table.rescan()
        logger.info(
            "serving", metadata: ["devices": "\(found)", "subtypes": "\(DeviceOpening.subtypes.sorted())"])
        // Nobody waits for these. The first one also without the option: the daemon before may have had it. A status may
        // hang with the loop it asks.
        Task(executorPreference: ControlThread.shared) { await portalGroups.recover() }
        // Devices that went while no daemon was there to see it.
        let (runDirectory, tree) = (configuration.runDirectory, ConfigFSTree(mountedAt: configuration.configFSRoot))
        Task(executorPreference: ControlThread.shared) {
            _ = await BlockingCall.run("prune") { ModeStore.prune(runDirectory, tree: tree) }
        }
        let reporting = Task(executorPreference: ControlThread.shared) { await reportStatus(of: table) }
        defer { reporting.cancel() }
        // Nor for this one: what came before may take its time, and events are heard meanwhile.
        let presence = BusPresence(configuration, budget: budget, logger: logger)
        Task(executorPreference: ControlThread.shared) { await presence.begin(whenSettled: table) }
        let wasAsked = await withGracefulShutdownHandler {
            for await event in listener.events {
                if await table.handle(event) { await recoverEvents(table, gate, release) }
                if Task.isShuttingDownGracefully { break }
            }
            return Task.isShuttingDownGracefully
        } onGracefulShutdown: {
            listener.wake()
        }
        logger.info("stopping: closing devices")
        presence.end()
        release.end()
        // Order: no new events, if that is ours to say; what has come, and comes all the same, is answered while the devices are
        // closed.
        let own = table.minors.withLock { $0 }
        let shut = await BlockingCall.run("shut", atMost: Self.gateLimit) { gate.shut(own: own) } ?? nil
        let answering = Task(executorPreference: ControlThread.shared) {
            for await event in listener.events { _ = await table.handle(event) }
        }
        await table.stopAll(within: Self.stopLimit)
        listener.stop()
        // What has been received is answered, within a bound: an event may be for a device that does not stop.
        _ = await BlockingCall.wait(atMost: .seconds(2)) { listener.hasEnded }
        answering.cancel()
        // Whatever was sent between the last event heard and the block: nobody will answer it.
        if let shut { _ = await BlockingCall.run("open", atMost: Self.gateLimit) { gate.open(shut) } }
        logger.info("stopped; devices stay configured")
        guard wasAsked else { throw ServiceFailure.netlinkLost }
    }

    private func environment(
        _ session: NetlinkSession, _ portalGroups: PortalGroupSwitch
    ) throws -> DeviceEnvironment {
        let logger = logger
        var environment = DeviceEnvironment(
            service: configuration,
            loops: try LoopPool(count: configuration.loopThreads, cpus: configuration.loopCPUs), logger: logger
        ) { request, errno in
            do throws(NetlinkError) {
                try session.reply(to: request, error: errno)
            } catch {
                logger.error("the kernel could not be answered: \(error)", metadata: ["request": "\(request)"])
            }
        }
        environment.portalGroups = portalGroups
        environment.budget = budget
        return environment
    }

    /// Events were lost (ENOBUFS): their waiters are released, and sysfs tells what there is.
    private func recoverEvents(_ table: DeviceTable, _ gate: NetlinkGate, _ release: WaiterRelease) async {
        if !(await Self.releaseWaiters(gate, own: table.minors.withLock { $0 })) { release.want() }
        await table.rescan()
    }

    /// Bound for what opens nodes of others and writes parameters of the module: it may hang in the kernel, and events are heard by
    /// the thread that would wait for it.
    private static let gateLimit = Duration.seconds(10)

    private static func releaseWaiters(_ gate: NetlinkGate, own: Set<UInt32>, isTold: Bool = false) async -> Bool {
        await BlockingCall.run("release", atMost: gateLimit) { gate.releaseWaiters(own: own, isTold: isTold) }
            ?? false
    }

    // MARK: - Status

    /// SIGUSR1: a line per device into the log.
    private func reportStatus(of table: DeviceTable) async {
        for await _ in statusRequests { await table.reportStatus() }
    }
}

/// Knows the table once there is one.
private final class TableOwner: Sendable {
    private let place = Mutex<DeviceTable?>(nil)

    var table: DeviceTable? {
        get { place.withLock { $0 } }
        set { place.withLock { $0 = newValue } }
    }
}
