import BlockBackend
import DBusService
import SystemPackage
import Testing

@testable import Daemon

@Suite("What the system may run out of")
struct SystemLimitsTests {
    private static let unified = """
        24 1 0:22 / / rw - ext4 /dev/vda rw
        31 24 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
        """
    private static let legacy = """
        31 24 0:27 /docker/x /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids
        32 24 0:28 /docker/x /sys/fs/cgroup/my\\040cpu ro - cgroup cgroup rw,cpu
        """

    /// A tree with what the kernel would show. Files of directories below `sys/fs/cgroup`: limit and current number.
    private static func tree(
        _ mounts: String, _ group: String, _ groups: [(directory: String, limit: String, used: Int)]
    ) -> KernelTree {
        let tree = KernelTree()
        tree.write(mounts, to: "proc/self/mountinfo")
        tree.write(group, to: "proc/self/cgroup")
        for (directory, limit, used) in groups {
            tree.write("\(limit)\n", to: "sys/fs/cgroup/\(directory)/pids.max")
            tree.write("\(used)\n", to: "sys/fs/cgroup/\(directory)/pids.current")
        }
        return tree
    }

    private static func bounds(_ tree: KernelTree) -> [String: Int] {
        let found = SystemLimits(root: FilePath(tree.path)).threadBounds().filter { $0.name.hasPrefix("pids.max") }
        return Dictionary(found.map { ($0.name, $0.free) }, uniquingKeysWith: { first, _ in first })
    }

    @Test("version 2: every group up to the root, and none without a limit")
    func version2() {
        let tree = Self.tree(
            Self.unified, "0::/system.slice/tcmud.service\n",
            [("system.slice/tcmud.service", "100", 90), ("system.slice", "max", 200), ("", "500", 499)])
        #expect(
            Self.bounds(tree) == [
                "pids.max of /sys/fs/cgroup/system.slice/tcmud.service": 10, "pids.max of /sys/fs/cgroup": 1,
            ])
    }

    @Test(
        "version 1: the controller's own hierarchy, also where a container sees a part of it as its root",
        arguments: ["5:cpu:/docker/x\n4:pids:/docker/x\n0::/\n", "4:pids:/\n", "4:pids:/../x\n"])
    func version1(_ group: String) {
        let tree = Self.tree(Self.legacy, group, [("pids", "2048", 2040)])
        #expect(Self.bounds(tree) == ["pids.max of /sys/fs/cgroup/pids": 8])
    }

    @Test("threads-max and pid_max bound the whole system")
    func kernel() {
        let tree = KernelTree()
        tree.write("0.0 0.0 0.0 2/990 4711\n", to: "proc/loadavg")
        tree.write("1000\n", to: "proc/sys/kernel/threads-max")
        tree.write("32768\n", to: "proc/sys/kernel/pid_max")
        let bounds = SystemLimits(root: FilePath(tree.path)).threadBounds()
        #expect(bounds.first { $0.name == "kernel.threads-max" }?.free == 10)
        #expect(bounds.first { $0.name == "kernel.pid_max" }?.free == 31778)
    }

    @Test("two maps for each thread, of vm.max_map_count")
    func maps() {
        let tree = KernelTree()
        tree.write("100\n", to: "proc/sys/vm/max_map_count")
        tree.write(String(repeating: "a map\n", count: 90), to: "proc/self/maps")
        let bounds = SystemLimits(root: FilePath(tree.path)).threadBounds()
        #expect(bounds.first { $0.name == "vm.max_map_count" }?.free == 5)
    }

    @Test("this machine has descriptors left, and says nothing that stops a LUN of its own")
    func here() throws {
        let limits = SystemLimits()
        for bound in limits.descriptorBounds() { #expect(bound.used > 2 && bound.free > 0, "\(bound)") }
        #expect(!limits.threadBounds().isEmpty)
    }

    @Test("a LUN too many is refused in words: the limit, what it is, what is in use, what is needed")
    func refusal() throws {
        let tree = Self.tree(Self.unified, "0::/t\n", [("t", "100", 76)])
        let budget = ResourceBudget.ofSystem(SystemLimits(root: FilePath(tree.path)))
        let first = try budget.claim(ResourceNeed(threads: 8, descriptors: 0))
        do throws(BackendError) {
            _ = try budget.claim(ResourceNeed(threads: 8, descriptors: 0))
            Issue.record("16 in reserve, 8 promised and 8 more are 32 of 24")
        } catch {
            #expect(error.errno == .resourceTemporarilyUnavailable)
            #expect(
                error.message == """
                    not enough threads: 32 are needed (8 for it, 16 kept free for what is at work, 8 promised to others that are \
                    being opened), and pids.max of /sys/fs/cgroup/t leaves 24: 76 of 100 are in use. Raise it (TasksMax= of its \
                    systemd unit, --pids-limit of a container), or serve fewer LUNs here
                    """)
        }
        withExtendedLifetime(first) {}
    }

    @Test("a promise ends with its holder")
    func promise() throws {
        let budget = ResourceBudget(reserve: ResourceNeed(threads: 0, descriptors: 0)) { request in
            request.total.threads > 10 ? BackendError(.resourceTemporarilyUnavailable, "no") : nil
        }
        var claim: ResourceClaim? = try budget.claim(ResourceNeed(threads: 8, descriptors: 1))
        #expect(budget.open == ResourceNeed(threads: 8, descriptors: 1))
        #expect(throws: BackendError.self) { try budget.claim(ResourceNeed(threads: 8, descriptors: 0)) }
        claim = nil
        #expect(claim == nil && budget.open == ResourceNeed(threads: 0, descriptors: 0))
        _ = try budget.claim(ResourceNeed(threads: 8, descriptors: 0))
    }

    @Test("an image is refused before anything connects, and a check of its text as well")
    func image() {
        let budget = ResourceBudget(reserve: ResourceNeed(threads: 0, descriptors: 0)) { request in
            request.need.threads >= 8 ? BackendError(.resourceTemporarilyUnavailable, "no threads") : nil
        }
        let verdict = ConfigurationCheck.verdict("rbd/rbd/a;conf=/nonexistent", subtype: "rbd", budget)
        #expect(!verdict.isValid && verdict.text.contains("no threads"), "\(verdict)")
    }
}
