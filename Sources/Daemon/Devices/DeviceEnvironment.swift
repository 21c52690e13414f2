internal import BlockBackend
internal import Configuration
internal import KernelFiles
internal import Logging
internal import LogicalUnit
internal import Reactor
internal import SystemPackage
internal import TCMUNetlink
internal import TCMURing

/// What every device needs from the daemon around it.
struct DeviceEnvironment: Sendable {
    let service: ServiceConfiguration
    let loops: LoopPool
    let logger: Logger
    /// Answers the kernel; a refused answer is logged by whoever receives the refusal.
    let reply: @Sendable (NetlinkRequest, Errno?) -> Void
    /// Opens nodes; tests put a simulated ring in their place.
    var openNode: DeviceOpening.NodeOpener = { path, size throws(RingError) in
        try RingDescriptors.openNode(path: path, mapSize: size)
    }

    /// How long a node that another process holds is tried again at once; a dying daemon or container lets go of it in its own
    /// time.
    var busyPatience = Duration.seconds(3)

    /// How long an answer waits for an attempt of ours at a node that is under way.
    var claimPatience = Duration.seconds(10)

    /// Another process has let go of a device, perhaps without an answer to what it was asked about it.
    var waitersMayBeLeft: @Sendable () -> Void = {}

    /// Which devices may copy from and to one another.
    var copyGroups = CopyGroups()

    /// Switches portal groups off while storage is away, for units that want it.
    var portalGroups: PortalGroupSwitch?

    /// Asked for threads and descriptors by whoever opens something; one for the whole daemon.
    var budget = ResourceBudget.none

    var opening: DeviceOpening {
        DeviceOpening(
            service: service, copyGroups: copyGroups, budget: budget, openNode: openNode,
            busyPatience: busyPatience)
    }
    var tree: ConfigFSTree { ConfigFSTree(mountedAt: service.configFSRoot) }
}

/// The loop threads of the daemon; a new unit goes to the one with the fewest.
final class LoopPool: Sendable {
    private let loops: [EngineLoop]

    /// Starts `count` loops, at least one, on the CPUs of `cpus` in turn.
    init(count: Int, cpus: [Int] = []) throws(Errno) {
        var loops: [EngineLoop] = []
        for number in 0..<max(count, 1) {
            let cpu = cpus.isEmpty ? nil : cpus[number % cpus.count]
            loops.append(try EngineLoop.start(name: "tcmud-loop\(number)", cpu: cpu))
        }
        self.loops = loops
    }

    /// The loop that has the least to do, by number of units.
    func leastLoaded() -> EngineLoop {
        guard let loop = loops.min(by: { $0.attachedUnits < $1.attachedUnits }) else {
            preconditionFailure("a pool has at least one loop")
        }
        return loop
    }

    /// Ends all loops. No unit is attached any longer.
    func stop() async {
        for loop in loops { await loop.stop() }
    }
}
