internal import Configuration
internal import DBusService
internal import Glibc
public import Logging
internal import ServiceLifecycle
internal import SystemPackage

/// What the command line may change; nil leaves the default.
public struct DaemonOptions: Sendable {
    /// Threads that serve units.
    public var loopThreads: Int?
    /// CPUs for the loop threads, in turn.
    public var loopCPUs: [Int]?
    /// Microseconds that a loop may watch for work before it sleeps, 0 to 32.
    public var spinMicroseconds: Int?
    /// Seconds until a backend that does not open is given up.
    public var openTimeoutSeconds: Int?
    /// Seconds that a device of a subtype not served here is left to its own daemon; 0 is for ever.
    public var foreignTimeoutSeconds: Int?
    /// Subtypes that are always left to their own daemon.
    public var foreignSubtypes: [String] = []
    /// Path of the file whose lock makes this daemon the only one.
    public var lockFile: String?
    /// Switch off the portal groups of a unit whose storage is away.
    public var disablesPortalGroupOnLoss = false
    /// The log's way out; what it still holds at the end is written then, for up to two seconds.
    public var log: LogPipe?
    /// Whether to go on the system bus.
    public var usesDBus: Bool?

    /// All defaults.
    public init() {}

    var configuration: ServiceConfiguration {
        var configuration = ServiceConfiguration()
        if let loopThreads { configuration.loopThreads = loopThreads }
        if let loopCPUs { configuration.loopCPUs = loopCPUs }
        if let spinMicroseconds { configuration.spinMicroseconds = UInt32(clamping: spinMicroseconds) }
        if let openTimeoutSeconds { configuration.openTimeout = .seconds(openTimeoutSeconds) }
        if let seconds = foreignTimeoutSeconds {
            configuration.foreignPatience = seconds == 0 ? nil : .seconds(seconds)
        }
        configuration.foreignSubtypes = Set(foreignSubtypes)
        if let lockFile { configuration.lockFile = FilePath(lockFile) }
        configuration.disablesPortalGroupOnLoss = disablesPortalGroupOnLoss
        if let usesDBus { configuration.usesDBus = usesDBus }
        return configuration
    }

    /// Checks what must hold, then serves until SIGTERM or SIGINT, and ends the process with an ``EndStatus``; the reason is
    /// in the log. To be called on the main thread, after ``ProcessStart``.
    public func runProcess(logger: Logger) -> Never {
        ControlThread.promise()
        Task(executorPreference: ControlThread.shared) {
            let status = await run(logger: logger)
            // Without exit handlers: librados' threads may still be in an open or a close that hangs, and its destructors
            // would pull the ground from under them.
            log?.flush(within: .seconds(2))
            _exit(status.rawValue)
        }
        ControlThread.serveForever()
    }

    private func run(logger: Logger) async -> EndStatus {
        let configuration = configuration
        let signals: SignalListener
        do throws(Errno) {
            signals = try SignalListener(logger: logger)
        } catch {
            logger.critical("signals cannot be heard: \(error)")
            return .systemRefused
        }
        // Only where a service manager starts it again and again.
        let history =
            ServiceManager.isPresent ? StartHistory(file: configuration.runDirectory.appending("starts")) : nil
        if let row = history?.begin(), row.pause > 0 {
            logger.warning(
                """
                start \(row.starts) in a row, none of which lasted a minute; this one goes on in \(row.pause) s. The reason \
                is above in the log
                """)
            if await signals.isStopAsked(within: .seconds(row.pause)) { return .stopped }
        }
        let status = await check(configuration, signals, logger)
        if status == .stopped { history?.end() }
        return status
    }

    private func check(
        _ configuration: ServiceConfiguration, _ signals: SignalListener, _ logger: Logger
    ) async -> EndStatus {
        do throws(PreflightError) {
            let held = try Preflight(configuration, logger: logger)
            let status = await Self.serve(configuration, signals, logger)
            // The lock is held to the very end: the next daemon starts when this one has let go of everything.
            held.release()
            return status
        } catch {
            logger.critical("\(error)")
            return error.status
        }
    }

    private static func serve(
        _ configuration: ServiceConfiguration, _ signals: SignalListener, _ logger: Logger
    ) async -> EndStatus {
        let service = TCMUService(
            configuration: configuration, logger: logger, statusRequests: signals.statusRequests)
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [.init(service: service, successTerminationBehavior: .gracefullyShutdownGroup)],
                logger: logger))
        let listening = Task(executorPreference: ControlThread.shared) {
            await signals.listen { await group.triggerGracefulShutdown() }
        }
        defer { listening.cancel() }
        do {
            try await group.run()
            return .stopped
        } catch {
            logger.critical("\(error)")
            return error is ServiceFailure ? .failed : .systemRefused
        }
    }
}
