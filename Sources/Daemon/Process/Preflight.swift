internal import CLinux
internal import Configuration
internal import Glibc
internal import KernelFiles
internal import KernelModule
internal import Logging
internal import SystemPackage

/// What must hold before the daemon starts, each with the way out in its message.
enum PreflightError: Error, Sendable, CustomStringConvertible {
    /// Not root.
    case notRoot(user: UInt32)
    /// The kernel has no TCMU and none can be loaded.
    case noTCMU(KernelModuleError)
    /// configfs is not mounted, or the target core is not in it.
    case noConfigFS(String)
    /// Another daemon runs.
    case alreadyRunning(String)
    /// The lock file cannot be made or locked.
    case lockUnusable(String)

    /// What the process ends with.
    var status: EndStatus {
        switch self {
        case .notRoot: .notPermitted
        case .noTCMU(let error):
            switch error.reason {
            case .notInstalled, .blacklisted: .noTCMU
            case .notPermitted: .notPermitted
            case .failed: .systemRefused
            }
        case .noConfigFS: .noConfigFS
        case .alreadyRunning: .alreadyRunning
        case .lockUnusable: .lockUnusable
        }
    }

    /// One line: what is missing and how to get it.
    var description: String {
        switch self {
        case .notRoot(let user):
            "must run as root (user id is \(user)): TCMU's nodes, netlink and configfs are root's. Try sudo tcmud"
        case .noTCMU(let error): "the kernel has no TCMU: \(error)"
        case .noConfigFS(let path):
            """
            no target core at \(path): mount configfs (mount -t configfs configfs /sys/kernel/config) and load \
            target_core_mod
            """
        case .alreadyRunning(let reason), .lockUnusable(let reason): reason
        }
    }
}

/// The checks before the start, and what they hold on to.
struct Preflight: ~Copyable {
    private let lock: InstanceLock

    /// Checks rights, takes the instance lock, loads target_core_user and looks for configfs.
    init(_ configuration: ServiceConfiguration, logger: Logger) throws(PreflightError) {
        guard geteuid() == 0 else { throw .notRoot(user: geteuid()) }
        let lock: InstanceLock
        do throws(InstanceLockError) {
            lock = try InstanceLock(path: configuration.lockFile)
        } catch {
            switch error {
            case .held: throw .alreadyRunning(error.description)
            case .unusable: throw .lockUnusable(error.description)
            }
        }
        try Preflight.prepareKernel(configuration, logger)
        self.lock = lock
        // Inherited by every thread started from here on. Refused without CAP_SYS_RESOURCE; then it is as before.
        if clinux_set_io_flusher() < 0 { logger.debug("PR_SET_IO_FLUSHER refused") }
    }

    /// Lets go of the instance lock.
    consuming func release() {}

    private static func prepareKernel(
        _ configuration: ServiceConfiguration, _ logger: Logger
    ) throws(PreflightError) {
        do throws(KernelModuleError) {
            let outcome = try KernelModule("target_core_user", sysfs: configuration.sysfsRoot).load()
            logger.debug("target_core_user: \(outcome)")
        } catch {
            throw .noTCMU(error)
        }
        let tree = ConfigFSTree(mountedAt: configuration.configFSRoot)
        guard tree.isPresent else { throw .noConfigFS(tree.root.string) }
    }
}
