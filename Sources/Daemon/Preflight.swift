internal import CLinux
internal import ConfigFS
internal import Configuration
internal import Glibc
internal import KernelModule
internal import Logging
internal import SystemPackage

/// What must hold before the daemon starts, each with the way out in its message.
enum PreflightError: Error, Sendable, CustomStringConvertible {
    /// Not root.
    case notRoot(user: UInt32)
    /// The kernel has no TCMU and none can be loaded.
    case noTCMU(String)
    /// configfs is not mounted, or the target core is not in it.
    case noConfigFS(String)
    /// Another daemon runs.
    case alreadyRunning(String)

    /// One line: what is missing and how to get it.
    var description: String {
        switch self {
        case .notRoot(let user):
            "must run as root (user id is \(user)): TCMU's nodes, netlink and configfs are root's. Try sudo tcmud"
        case .noTCMU(let reason): "the kernel has no TCMU: \(reason)"
        case .noConfigFS(let path):
            """
            no target core at \(path): mount configfs (mount -t configfs configfs /sys/kernel/config) and load \
            target_core_mod
            """
        case .alreadyRunning(let reason): reason
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
            throw .alreadyRunning(error.description)
        }
        try Preflight.prepareKernel(configuration, logger)
        self.lock = lock
        // A write to a vanished peer is an error code, not the end of every disk.
        signal(SIGPIPE, SIG_IGN)
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
            throw .noTCMU(error.description)
        }
        let tree = ConfigFSTree(mountedAt: configuration.configFSRoot)
        guard tree.isPresent else { throw .noConfigFS(tree.root.string) }
    }
}
