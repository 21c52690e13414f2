internal import Configuration
internal import Glibc
public import Logging
internal import ServiceLifecycle
internal import SystemPackage
internal import UnixSignals

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
    /// Path of the file whose lock makes this daemon the only one.
    public var lockFile: String?
    /// Switch off the portal groups of a unit whose storage is away.
    public var disablesPortalGroupOnLoss = false
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
        if let lockFile { configuration.lockFile = FilePath(lockFile) }
        configuration.disablesPortalGroupOnLoss = disablesPortalGroupOnLoss
        if let usesDBus { configuration.usesDBus = usesDBus }
        return configuration
    }

    /// Checks what must hold, then serves until SIGTERM or SIGINT, and ends the process: with status 1 if the daemon could
    /// not start or go on; the reason is in the log. To be called on the main thread.
    public func runProcess(logger: Logger) -> Never {
        ControlThread.promise()
        Task(executorPreference: ControlThread.shared) {
            let served = await run(logger: logger)
            // Without exit handlers: librados' threads may still be in an open or a close that hangs, and its destructors
            // would pull the ground from under them.
            _exit(served ? 0 : 1)
        }
        ControlThread.serveForever()
    }

    /// - Returns: false if the daemon could not start or go on.
    private func run(logger: Logger) async -> Bool {
        let configuration = configuration
        do throws(PreflightError) {
            let held = try Preflight(configuration, logger: logger)
            let served = await Self.serve(configuration, logger)
            // The lock is held to the very end: the next daemon starts when this one has let go of everything.
            held.release()
            return served
        } catch {
            logger.critical("\(error)")
            return false
        }
    }

    private static func serve(_ configuration: ServiceConfiguration, _ logger: Logger) async -> Bool {
        let service = TCMUService(configuration: configuration, logger: logger)
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [.init(service: service, successTerminationBehavior: .gracefullyShutdownGroup)],
                gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        do {
            try await group.run()
            return true
        } catch {
            logger.critical("\(error)")
            return false
        }
    }
}
