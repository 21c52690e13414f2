internal import CLinux
internal import Glibc
internal import KernelFiles
internal import SystemPackage

/// A bound on how many threads or descriptors there may be, and how much of it is in use.
struct SystemBound: Equatable, Sendable {
    /// As people find it: `pids.max of /sys/fs/cgroup/system.slice/tcmud.service`.
    let name: String
    /// In the bound's own unit.
    let limit: UInt64
    /// In the same unit.
    let used: UInt64
    /// Units that one thread, or one descriptor, takes.
    var cost: UInt64 = 1
    /// How to raise it.
    let remedy: String

    /// How many more there may be.
    var free: Int { Int(clamping: (limit > used ? limit - used : 0) / max(cost, 1)) }
}

/// Every bound that may keep this process from a thread or a descriptor, as the kernel shows them now.
struct SystemLimits: Sendable {
    /// Where everything is looked for: `/`, but for tests.
    var root: FilePath = "/"

    // MARK: - Threads

    /// Bounds on threads, the kernel's for this process among them. What cannot be read bounds nothing.
    func threadBounds() -> [SystemBound] {
        var bounds = controlGroups()
        bounds += processesOfUser()
        bounds += wholeSystem()
        bounds += memoryMaps()
        return bounds
    }

    /// pids.max, up the tree to its root: of version 2, and of the controller `pids` of version 1.
    private func controlGroups() -> [SystemBound] {
        let mounts = ControlGroupMount.all(in: text("proc/self/mountinfo"))
        return text("proc/self/cgroup").split(separator: "\n").flatMap { line -> [SystemBound] in
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { return [] }
            let controllers = parts[1].split(separator: ",")
            let isUnified = parts[0] == "0" && controllers.isEmpty
            guard isUnified || controllers.contains("pids"),
                let mount = mounts.first(where: { $0.isUnified == isUnified })
            else { return [] }
            return mount.directories(of: String(parts[2])).compactMap { directory in
                guard let limit = number("\(directory)/pids.max"), let used = number("\(directory)/pids.current")
                else {
                    return nil
                }
                return SystemBound(
                    name: "pids.max of \(directory)", limit: limit, used: used,
                    remedy: "TasksMax= of its systemd unit, --pids-limit of a container")
            }
        }
    }

    /// RLIMIT_NPROC, from which the initial namespace's root is exempt: root of a user namespace is not.
    private func processesOfUser() -> [SystemBound] {
        let map = text("proc/self/uid_map").split { $0 == " " || $0 == "\n" || $0 == "\t" }
        if geteuid() == 0 && map.count >= 3 && map[0] == "0" && map[1] == "0" && map[2] == "4294967295" {
            return []
        }
        guard let soft = ResourceLimit.processes.values?.soft, soft != .max else { return [] }
        return [
            SystemBound(
                name: "RLIMIT_NPROC of user \(getuid())", limit: soft, used: threads(of: getuid()),
                remedy: "ulimit -u, LimitNPROC= of its systemd unit")
        ]
    }

    private func threads(of user: uid_t) -> UInt64 {
        let names = (try? DirectoryReader.names(in: path("proc"))) ?? []
        var sum: UInt64 = 0
        for name in names where name.utf8.allSatisfy({ (48...57).contains($0) }) {
            let status = text("proc/\(name)/status")
            guard field("Uid", in: status) == UInt64(user) else { continue }
            sum += field("Threads", in: status) ?? 0
        }
        return sum
    }

    private func wholeSystem() -> [SystemBound] {
        // The fourth word is `runnable/all`.
        let words = text("proc/loadavg").split(separator: " ")
        guard words.count > 3, let all = words[3].split(separator: "/").last.flatMap({ UInt64($0) }) else {
            return []
        }
        return ["threads-max", "pid_max"].compactMap { name in
            number("/proc/sys/kernel/\(name)").map {
                SystemBound(
                    name: "kernel.\(name)", limit: $0, used: all, remedy: "sysctl kernel.\(name)")
            }
        }
    }

    /// A stack and its guard are two maps, and count as address space.
    private func memoryMaps() -> [SystemBound] {
        var bounds: [SystemBound] = []
        if let limit = number("/proc/sys/vm/max_map_count") {
            let maps = text("proc/self/maps", limit: 64 << 20).utf8.count { $0 == 10 }
            bounds.append(
                SystemBound(
                    name: "vm.max_map_count", limit: limit, used: UInt64(maps), cost: 2,
                    remedy: "sysctl vm.max_map_count"))
        }
        let status = text("proc/self/status")
        for (limit, usage, option) in [
            (ResourceLimit.addressSpace, "VmSize", "-v"), (.data, "VmData", "-d"),
        ] {
            guard let soft = limit.values?.soft, soft != .max, let used = field(usage, in: status) else { continue }
            bounds.append(
                SystemBound(
                    name: "\(limit.name), bytes", limit: soft, used: used << 10, cost: Self.stackBytes,
                    remedy: "ulimit \(option)"))
        }
        return bounds
    }

    /// What a thread's stack takes of the address space.
    private static var stackBytes: UInt64 {
        var (soft, hard): (UInt64, UInt64) = (0, 0)
        guard clinux_get_limit(CLINUX_LIMIT_STACK, &soft, &hard) == 0, soft != .max else { return 8 << 20 }
        return max(soft, 1 << 20)
    }

    // MARK: - Descriptors

    /// Bounds on descriptors.
    func descriptorBounds() -> [SystemBound] {
        guard let soft = ResourceLimit.descriptors.values?.soft, soft != .max, let used = openDescriptors() else {
            return []
        }
        return [
            SystemBound(
                name: "RLIMIT_NOFILE", limit: soft, used: used,
                remedy: "ulimit -n, LimitNOFILE= of its systemd unit")
        ]
    }

    private func openDescriptors() -> UInt64? {
        guard let names = try? DirectoryReader.names(in: path("proc/self/fd")) else { return nil }
        // One is the descriptor that the directory is read by.
        return UInt64(max(names.count - 1, 0))
    }

    // MARK: - Reading

    /// Absolute, below the root that was given.
    private func path(_ path: String) -> FilePath {
        root.appending(path.hasPrefix("/") ? String(path.dropFirst()) : path)
    }

    /// The content of a file; nothing where it cannot be read.
    private func text(_ name: String, limit: Int = 1 << 20) -> String {
        String(decoding: (try? SmallFile.prefix(of: path(name), limit)) ?? [], as: UTF8.self)
    }

    /// The number in a file; nil for "max", for anything else, and where there is no file.
    private func number(_ name: String) -> UInt64? {
        text(name).split { $0 == "\n" || $0 == " " }.first.flatMap { UInt64($0) }
    }

    /// The first number of a line `name: number …`.
    private func field(_ name: String, in text: String) -> UInt64? {
        for line in text.split(separator: "\n") where line.hasPrefix("\(name):") {
            return line.dropFirst(name.count + 1).split { $0 == " " || $0 == "\t" }.first.flatMap { UInt64($0) }
        }
        return nil
    }
}

/// Where a hierarchy of control groups with the controller `pids` is mounted.
struct ControlGroupMount: Equatable {
    /// Version 2.
    let isUnified: Bool
    /// Which control group the mount shows as its root: a container sees its own there.
    let root: String
    let point: String

    /// Out of /proc/self/mountinfo (proc(5)).
    static func all(in text: String) -> [ControlGroupMount] {
        text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ").map(String.init)
            guard let dash = words.firstIndex(of: "-"), dash >= 6, words.count > dash + 3 else { return nil }
            let isUnified = words[dash + 1] == "cgroup2"
            let isPids = words[dash + 1] == "cgroup" && words[dash + 3].split(separator: ",").contains("pids")
            guard isUnified || isPids else { return nil }
            return ControlGroupMount(isUnified: isUnified, root: unescaped(words[3]), point: unescaped(words[4]))
        }
    }

    /// Directories of the group `path` (/proc/self/cgroup) and those above it, innermost first. What lies outside of what
    /// the mount shows leaves the mount's own root.
    func directories(of path: String) -> [String] {
        let mine = path.split(separator: "/")
        let top = root.split(separator: "/")
        let inner = mine.starts(with: top) && !mine.contains("..") ? mine.dropFirst(top.count) : []
        return (0...inner.count).reversed().map { count in
            ([point] + inner.prefix(count).map(String.init)).joined(separator: "/")
        }
    }

    /// Blanks and backslashes are `\040` and `\134` there.
    private static func unescaped(_ text: String) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let first = rest.popFirst() {
            let digits = rest.prefix(3)
            if first == UInt8(ascii: "\\"), digits.count == 3,
                let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
            {
                bytes.append(value)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(first)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
