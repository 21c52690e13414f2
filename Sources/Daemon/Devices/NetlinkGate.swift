internal import Configuration
internal import Glibc
internal import KernelFiles
internal import Logging
internal import SystemPackage
internal import TCMURing

/// The module's switches for all netlink events at once. They are every daemon's, so they are used only where nothing speaks
/// for another daemon at work: one with other subtypes, or one in a container, whose lock file is another one.
struct NetlinkGate: Sendable {
    let service: ServiceConfiguration
    let logger: Logger
    /// Netlink ports of other sockets that hear the kernel.
    let otherListeners: @Sendable () -> [UInt32]
    /// Opens a node to see whether another process has it.
    var openNode: DeviceOpening.NodeOpener = { path, size throws(RingError) in
        try RingDescriptors.openNode(path: path, mapSize: size)
    }

    private var parameters: ModuleParameters { ModuleParameters(sysfs: service.sysfsRoot) }

    /// Wakes whoever waits in the kernel for an answer that will never come, with EINTR: events sent to a daemon that has ended,
    /// or lost. For the moment that takes, further events fail with EAGAIN.
    ///
    /// - Parameters:
    ///   - own: minors of nodes that this daemon has.
    ///   - isTold: people know already that another daemon stands in the way.
    /// - Returns: false if another daemon is at work: then they go on waiting (``WaiterRelease`` comes back to them).
    func releaseWaiters(own: Set<UInt32>, isTold: Bool = false) -> Bool {
        // Who waits has a node: it is made before the event is sent, and taken away after the answer.
        let nodes = nodes()
        guard let sole = proof(nodes, own, isTold: isTold) else { return false }
        if !nodes.isEmpty {
            set(blocked: true, sole)
            reset(sole)
        }
        // In any case: a daemon that was killed while it stopped has left netlink blocked.
        set(blocked: false, sole)
        return true
    }

    /// Lets further events fail with EAGAIN while the daemon stops. Returns what ``open(_:)`` takes; nil if that was not done.
    func shut(own: Set<UInt32>) -> SoleDaemon? {
        guard let sole = proof(nodes(), own) else { return nil }
        set(blocked: true, sole)
        return sole
    }

    /// The end of ``shut(own:)``: nobody waits any longer, and the next daemon hears events again.
    func open(_ sole: SoleDaemon) {
        reset(sole)
        set(blocked: false, sole)
    }

    // MARK: - Other daemons

    private func proof(_ nodes: [UIONode], _ own: Set<UInt32>, isTold: Bool = false) -> SoleDaemon? {
        let signs = signs(nodes, own)
        if let sole = SoleDaemon(ifNoneOf: signs) { return sole }
        if isTold { return nil }
        logger.notice(
            """
            another TCMU daemon is at work here: \(signs.joined(separator: ", ")). Netlink is not reset, which would fail its \
            devices. A process that waits in the kernel for an answer of a daemon that has ended goes on waiting until the other \
            daemon ends, too; to release it before, write 1, 1 and 0 to block_netlink, reset_netlink and block_netlink in /sys/module/target_core_user/parameters
            """)
        return nil
    }

    /// What speaks for another daemon.
    func signs(_ nodes: [UIONode], _ own: Set<UInt32>) -> [String] {
        let listeners = otherListeners()
        guard listeners.isEmpty else {
            return listeners.map { "netlink port \($0) hears the kernel" }
        }
        // Only now: another daemon that is about to open a node would find it taken for a moment.
        return nodes.filter { !own.contains($0.minor) && isHeldElsewhere($0) }.map {
            "/dev/\($0.nodeName) (\($0.name.device.printable)) is held by another process"
        }
    }

    /// Whether another process has the node. The kernel tells by refusing it (EBUSY), also across containers.
    func isHeldElsewhere(_ node: UIONode) -> Bool {
        do throws(RingError) {
            try openNode(service.deviceRoot.appending(node.nodeName).string, node.mapSize).closeAll()
            return false
        } catch {
            if case .open(_, .resourceBusy) = error { return true }
            return false
        }
    }

    private func nodes() -> [UIONode] {
        do throws(UIONodeError) {
            return try UIONode.scan(sysfs: service.sysfsRoot).nodes
        } catch {
            logger.error("UIO devices cannot be listed: \(error)")
            return []
        }
    }

    // MARK: - Writes

    private func set(blocked: Bool, _ sole: SoleDaemon) {
        do throws(KernelFileError) {
            try parameters.setNetlinkBlocked(blocked, by: sole)
        } catch {
            logger.warning("netlink cannot be \(blocked ? "blocked" : "unblocked"): \(error)")
        }
    }

    private func reset(_ sole: SoleDaemon) {
        do throws(KernelFileError) {
            try parameters.resetNetlink(by: sole)
        } catch {
            logger.warning("netlink cannot be reset: \(error)")
        }
    }
}
