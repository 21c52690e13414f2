internal import BlockBackend
internal import ConfigFS
internal import Configuration
internal import Logging
internal import ServiceLifecycle
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
/// Order at start (contract of the original, main.c): netlink blocked and reset, so that no event is lost between a
/// look at the devices and the first event heard; devices found; netlink unblocked.
struct TCMUService: Service {
    private let configuration: ServiceConfiguration
    private let logger: Logger
    private let gate: ModuleParameters
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
        gate = ModuleParameters(sysfs: configuration.sysfsRoot)
    }

    /// Serves until asked to stop.
    ///
    /// - Throws: what keeps it from starting: netlink missing, no threads.
    func run() async throws {
        blockNetlink(true)
        releaseWaiters()
        let session: NetlinkSession
        let table: DeviceTable
        let listener: NetlinkListener
        let portalGroups = PortalGroupSwitch(
            tree: ConfigFSTree(mountedAt: configuration.configFSRoot), journal: configuration.runDirectory,
            logger: logger)
        do {
            session = try NetlinkSession(receiveBuffer: configuration.netlinkReceiveBuffer)
            table = DeviceTable(environment: try environment(session, portalGroups))
            listener = try NetlinkListener(session, logger: logger)
        } catch {
            blockNetlink(false)
            throw error
        }
        let found = await table.rescan()
        blockNetlink(false)
        // A device may have been removed unannounced while netlink was blocked.
        await table.rescan()
        logger.info(
            "serving", metadata: ["devices": "\(found)", "subtypes": "\(DeviceOpening.subtypes.sorted())"])
        // Nobody waits for these. The first one also without the option: the daemon before may have had it. A status may
        // hang with the loop it asks.
        Task(executorPreference: ControlThread.shared) { await portalGroups.recover() }
        let reporting = Task(executorPreference: ControlThread.shared) { await reportStatus(of: table) }
        defer { reporting.cancel() }
        // Nor for this one: what came before may take its time, and events are heard meanwhile.
        let presence = BusPresence(configuration, budget: budget, logger: logger)
        Task(executorPreference: ControlThread.shared) { await presence.begin(whenSettled: table) }
        let wasAsked = await withGracefulShutdownHandler {
            for await event in listener.events where await table.handle(event) { await recoverEvents(table) }
            return Task.isShuttingDownGracefully
        } onGracefulShutdown: {
            // Order: no new events, then what has come is heard, then the devices are closed.
            blockNetlink(true)
            listener.stop()
        }
        logger.info("stopping: closing devices")
        presence.end()
        blockNetlink(true)
        await table.stopAll(within: Self.stopLimit)
        // Whatever was sent between the last event heard and the block: nobody will answer it.
        releaseWaiters()
        blockNetlink(false)
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

    // MARK: - Netlink's gate

    private func blockNetlink(_ blocked: Bool) {
        do throws(ConfigFSError) {
            try gate.setNetlinkBlocked(blocked)
        } catch {
            logger.warning("netlink cannot be \(blocked ? "blocked" : "unblocked"): \(error)")
        }
    }

    /// Wakes whoever waits in the kernel for an answer that will never come, with EINTR.
    private func releaseWaiters() {
        do throws(ConfigFSError) {
            try gate.resetNetlink()
        } catch {
            logger.warning("netlink cannot be reset: \(error)")
        }
    }

    /// Events were lost (ENOBUFS): their waiters are released, and sysfs tells what there is.
    private func recoverEvents(_ table: DeviceTable) async {
        blockNetlink(true)
        releaseWaiters()
        await table.rescan()
        blockNetlink(false)
        await table.rescan()
    }

    // MARK: - Status

    /// SIGUSR1: a line per device into the log.
    private func reportStatus(of table: DeviceTable) async {
        for await _ in statusRequests { await table.reportStatus() }
    }
}
