import Configuration
import Glibc
import SystemPackage
import Testing

@testable import Daemon

/// Each check runs in a process of its own: what Preflight sets (signals, locks, flags) stays with that process.
@Suite("What must hold before the daemon starts")
struct PreflightTests {
    private static let isRoot = geteuid() == 0

    /// What Preflight says to a system below `path`; nil if it is content.
    private static func objection(_ path: String) -> String? {
        var configuration = ServiceConfiguration()
        configuration.sysfsRoot = FilePath(path).appending("sys")
        configuration.configFSRoot = FilePath(path).appending("config")
        configuration.lockFile = FilePath(path).appending("lock")
        do throws(PreflightError) {
            let held = try Preflight(configuration, logger: LogRecorder().logger)
            held.release()
            return nil
        } catch {
            return error.description
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
        "with module, configfs and a free lock there is no objection; SIGPIPE is ignored from then on",
        .enabled(if: isRoot))
    func content() async {
        let tree = KernelTree()
        tree.write("live\n", to: "sys/module/target_core_user/initstate")
        await #expect(processExitsWith: .success) { [path = tree.path as String] in
            #expect(Self.objection(path) == nil)
            var action = sigaction()
            sigaction(SIGPIPE, nil, &action)
            let handler = unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
            #expect(handler == unsafeBitCast(SIG_IGN, to: Int.self))
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
        }
        withExtendedLifetime(lock) {}
    }
}
