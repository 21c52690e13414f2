import Configuration
import Glibc
import SystemPackage
import Testing

@testable import Daemon
@testable import KernelModule

/// Each check runs in a process of its own: what Preflight sets (signals, locks, flags) stays with that process.
@Suite("What must hold before the daemon starts")
struct PreflightTests {
    private static let isRoot = geteuid() == 0

    /// What Preflight says to a system below `path`; nil if it is content.
    private static func objection(_ path: String) -> String? { refusal(path)?.description }

    private static func refusal(_ path: String) -> PreflightError? {
        var configuration = ServiceConfiguration()
        configuration.sysfsRoot = FilePath(path).appending("sys")
        configuration.configFSRoot = FilePath(path).appending("config")
        configuration.lockFile = FilePath(path).appending("lock")
        do throws(PreflightError) {
            let held = try Preflight(configuration, logger: LogRecorder().logger)
            held.release()
            return nil
        } catch {
            return error
        }
    }

    @Test("another user than root is told so, with the way out")
    func notRoot() async {
        await #expect(processExitsWith: .success) {
            if geteuid() == 0 { precondition(seteuid(65534) == 0, "root cannot become nobody") }
            let user = geteuid()
            #expect(
                Self.objection("/nonexistent") == """
                    must run as root (user id is \(user)): TCMU's nodes, netlink and configfs are root's. \
                    Try sudo tcmud
                    """)
        }
    }

    @Test(
        "with module, configfs and a free lock there is no objection",
        .enabled(if: isRoot))
    func content() async {
        let tree = KernelTree()
        tree.write("live\n", to: "sys/module/target_core_user/initstate")
        await #expect(processExitsWith: .success) { [path = tree.path as String] in
            #expect(Self.objection(path) == nil)
            // Let go of, the lock can be had again.
            #expect(Self.objection(path) == nil)
        }
        withExtendedLifetime(tree) {}
    }

    @Test("configfs without the target core: the path, and how to get it there", .enabled(if: isRoot))
    func noTargetCore() async {
        let tree = KernelTree()
        tree.write("live\n", to: "sys/module/target_core_user/initstate")
        await #expect(processExitsWith: .success) { [path = tree.path as String] in
            #expect(
                Self.objection("\(path)/./") == nil, "the tree as it is has a target core")
            precondition(rename("\(path)/config", "\(path)/elsewhere") == 0)
            #expect(
                Self.objection(path) == """
                    no target core at \(path)/config/target: mount configfs (mount -t configfs configfs \
                    /sys/kernel/config) and load target_core_mod
                    """)
        }
        withExtendedLifetime(tree) {}
    }

    @Test("a daemon that runs is named", .enabled(if: isRoot))
    func alreadyRunning() async throws {
        let tree = KernelTree()
        let lock = try InstanceLock(path: FilePath(tree.path).appending("lock"))
        let pid = getpid()
        await #expect(processExitsWith: .success) { [path = tree.path as String, pid = pid as Int32] in
            let objection = Self.objection(path) ?? ""
            #expect(objection.hasPrefix("already running: "))
            #expect(objection.hasSuffix("(pid \(pid)) holds \(path)/lock"))
            #expect(Self.refusal(path)?.status == .alreadyRunning)
        }
        withExtendedLifetime(lock) {}
    }

    @Test("a lock file that cannot be is another matter than a daemon that runs", .enabled(if: isRoot))
    func unusableLock() async {
        let tree = KernelTree()
        tree.write("", to: "lock/below")
        await #expect(processExitsWith: .success) { [path = tree.path as String] in
            #expect(Self.refusal(path)?.status == .lockUnusable)
        }
        withExtendedLifetime(tree) {}
    }

    @Test(
        "what the process ends with, by what is missing",
        arguments: [
            (PreflightError.notRoot(user: 1), EndStatus.notPermitted), (.noConfigFS("/x"), .noConfigFS),
            (.alreadyRunning("x"), .alreadyRunning), (.lockUnusable("x"), .lockUnusable),
            (.noTCMU(module(.notInstalled)), .noTCMU), (.noTCMU(module(.blacklisted)), .noTCMU),
            (.noTCMU(module(.notPermitted)), .notPermitted),
            (.noTCMU(module(.failed(.noMemory))), .systemRefused),
        ])
    func status(_ error: PreflightError, _ expected: EndStatus) {
        #expect(error.status == expected)
    }

    private static func module(_ reason: KernelModuleError.Reason) -> KernelModuleError {
        KernelModuleError(
            module: "target_core_user", kernelRelease: "6.1", reason: reason,
            distribution: Distribution(osReleaseFile: "/nonexistent"))
    }
}
