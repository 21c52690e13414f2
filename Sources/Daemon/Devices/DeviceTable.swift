internal import Configuration
internal import KernelFiles
internal import Logging
internal import Synchronization
internal import SystemPackage
internal import TCMUNetlink

/// All devices that are ours, by the minor of their UIO node.
///
/// Decides which device an event is for and lets go of it at once: every device works in tasks of its own, so that
/// none waits for another one's backend.
actor DeviceTable {
    private var devices: [UInt32: Device] = [:] {
        didSet { minors.withLock { $0 = Set(devices.keys) } }
    }
    /// The minors of the devices that are ours.
    nonisolated let minors = Mutex<Set<UInt32>>([])
    /// Devices whose removal has been told and whose end has not come yet.
    private var leaving: [Device] = []
    private let environment: DeviceEnvironment
    private var logger: Logger { environment.logger }
    private var isStopping = false
    private let foreign: ForeignDevices
    /// Foreign devices that the log has a line of.
    private var told: Set<String> = []

    init(environment: DeviceEnvironment) {
        self.environment = environment
        foreign = ForeignDevices(environment)
    }

    /// Takes over what an earlier daemon left, and forgets what has vanished.
    ///
    /// - Returns: how many devices are ours now.
    @discardableResult
    func rescan() -> Int {
        let scan: UIONode.Scan
        do throws(UIONodeError) {
            scan = try UIONode.scan(sysfs: environment.service.sysfsRoot)
        } catch {
            logger.error("UIO devices cannot be listed: \(error)")
            return devices.count
        }
        for rejected in scan.rejected { logger.warning("\(rejected)") }
        let present = Dictionary(scan.nodes.map { ($0.minor, $0.name) }, uniquingKeysWith: { first, _ in first })
        // A number may have a new owner meanwhile; the name tells.
        for (minor, device) in devices
        where !scan.listed.contains(minor) || present[minor].map({ $0 != device.node.name }) ?? false {
            logger.notice("\(device.label): has vanished without a word; closed")
            dismiss(device, nil)
        }
        for node in scan.nodes where !isOurs(node.name) && told.insert("\(node.minor) \(node.name)").inserted {
            let subtype = DeviceConfiguration.subtype(of: node.name.configuration).printable
            logger.notice(
                "\(node.name.device.printable) wants backend \"\(subtype)\", which is not served here; left alone")
        }
        for node in scan.nodes where devices[node.minor] == nil && isOurs(node.name) {
            begin(node, origin: .existing, request: nil)
        }
        return devices.count
    }

    /// Whether no device is in its first opening: each is at work, or has failed and is tried again or given up.
    func hasSettled() async -> Bool {
        for device in Array(devices.values) where await device.life.state == .opening { return false }
        return true
    }

    /// Whether the kernel waits for an answer of this daemon, which a reset of netlink would fail.
    func owesAnAnswer() async -> Bool {
        if foreign.oweAnswers { return true }
        for device in Array(devices.values) where await device.owesAnAnswer { return true }
        return false
    }

    /// Handles one event. Returns true if events were lost and the kernel's waiters must be released.
    func handle(_ event: TCMUEvent) -> Bool {
        switch event {
        case .added(let announced): added(announced)
        case .removed(let announced): removed(announced)
        case .reconfigured(let announced, let change): reconfigured(announced, change)
        case .overrun:
            logger.error("netlink events were lost: the receive buffer was full")
            return true
        case .familyGone:
            logger.notice(
                "target_core_user was taken out of the kernel; it is waited for, and there are no devices until then"
            )
        case .familyCame: rescan()
        case .replyRefused(let request, let errno):
            logger.notice("the kernel no longer waits for an answer: \(errno)", metadata: Self.metadata(request))
        case .malformed(let reason, let request):
            logger.error("malformed netlink event: \(reason)", metadata: Self.metadata(request))
            if let request { environment.reply(request, .invalidArgument) }
        case .ignored(let reason): logger.debug("netlink message ignored: \(reason)")
        }
        return false
    }

    /// Closes every device; each is left configured and unblocked.
    func stopAll(within limit: Duration) async {
        isStopping = true
        let all = Array(devices.values) + leaving
        let stopped = StopCount()
        for device in all {
            Task(executorPreference: ControlThread.shared) {
                await device.stop(within: limit)
                stopped.add()
            }
        }
        // Not a task group: a device whose loop is stuck in a backend never returns, and the others must not wait.
        guard await !BlockingCall.wait(atMost: limit * 3, until: { stopped.count == all.count }) else { return }
        logger.error("\(all.count - stopped.count) devices do not stop; left so")
        // All at once: each may wait for a configfs that does not answer, and a service manager's patience is for all of them.
        let givenUp = StopCount()
        for device in all {
            Task(executorPreference: ControlThread.shared) {
                await device.giveUp(within: limit)
                givenUp.add()
            }
        }
        // Side by side, too: a service manager's patience (the unit's TimeoutStopSec) does not grow with their number.
        _ = await BlockingCall.wait(atMost: limit * 3 / 2) { givenUp.count == all.count }
    }

    /// A line per device: what it is and what it has done.
    func status() async -> [String] {
        var lines: [String] = []
        for device in devices.values.sorted(by: { $0.node.minor < $1.node.minor }) {
            lines.append(await device.statusLine())
        }
        return lines
    }

    /// Logs a line per device, each as soon as its loop answers: one that does not is told by its missing line.
    func reportStatus() {
        logger.notice("status: \(devices.count) devices")
        for device in devices.values.sorted(by: { $0.node.minor < $1.node.minor }) {
            Task(executorPreference: ControlThread.shared) {
                let line = await device.statusLine()
                device.logger.notice("status: \(line)")
            }
        }
    }

    // MARK: - Events

    private func added(_ announced: AnnouncedDevice) {
        guard let name = name(of: announced) else { return }
        guard isOurs(name) else {
            foreign.hear(announced, name)
            return
        }
        if isStopping {
            if let request = announced.request { environment.reply(request, .resourceTemporarilyUnavailable) }
            return
        }
        if let known = devices[announced.minor] {
            if known.node.name == name, !known.isEnding.load(ordering: .acquiring) {
                Task(executorPreference: ControlThread.shared) { await self.announcedAgain(known, announced) }
                return
            }
            // Its removal was never told; its node's number has a new owner.
            dismiss(known, nil)
        }
        do throws(UIONodeError) {
            let node = try UIONode(minor: announced.minor, sysfs: environment.service.sysfsRoot)
            begin(node, origin: .added, request: announced.request)
        } catch {
            logger.error("\(DeviceConfiguration.withoutSecrets(announced.name).printable): \(error)")
            if let request = announced.request { environment.reply(request, .operationNotSupportedByDevice) }
        }
    }

    private func announcedAgain(_ known: Device, _ announced: AnnouncedDevice) async {
        if await known.announced(announced.request) { return }
        if devices[announced.minor] === known { dismiss(known, nil) }
        added(announced)
    }

    private func removed(_ announced: AnnouncedDevice) {
        guard let device = device(of: announced) else {
            // Refused before, or not ours. The kernel waits if the subtype is ours and we were told of it.
            guard let name = name(of: announced) else { return }
            guard isOurs(name) else { return foreign.hear(announced, name) }
            if let request = announced.request { foreign.answerUnlessHeld(request, announced.minor, name, nil) }
            return
        }
        dismiss(device, announced.request)
    }

    /// The device that an event names: number and name must agree, for a number may have a new owner.
    private func device(of announced: AnnouncedDevice) -> Device? {
        guard let device = devices[announced.minor], device.node.name == name(of: announced) else { return nil }
        return device
    }

    /// Takes a device out of the table and lets it end by itself.
    private func dismiss(_ device: Device, _ request: NetlinkRequest?) {
        devices[device.node.minor] = nil
        leaving.append(device)
        let foreign = foreign
        Task(executorPreference: ControlThread.shared) {
            // A device that waits for another process to let go of it is that one's to answer for.
            if let request, await device.gate == nil {
                await device.forgetAdded()
                await device.remove(nil)
                return foreign.answerUnlessHeld(request, device.node.minor, device.node.name, nil)
            }
            await device.remove(request)
        }
    }

    private func reconfigured(_ announced: AnnouncedDevice, _ change: DeviceChange) {
        let environment = environment
        guard let device = device(of: announced) else {
            guard let name = name(of: announced) else { return }
            guard isOurs(name) else { return foreign.hear(announced, name) }
            if let request = announced.request {
                foreign.answerUnlessHeld(request, announced.minor, name, .operationNotSupportedByDevice)
            }
            return
        }
        let foreign = foreign
        Task(executorPreference: ControlThread.shared) {
            // A probe cannot tell our own attempt at the node from another process, so that one ends first.
            let isClear = await BlockingCall.wait(atMost: environment.claimPatience) {
                if await device.isContended { return true }
                return await !device.isClaiming
            }
            // No other process has refused it to us, so none will answer.
            if !isClear, await device.gate == nil {
                if let request = announced.request { environment.reply(request, .resourceTemporarilyUnavailable) }
                return
            }
            guard await device.gate != nil else {
                if let request = announced.request {
                    foreign.answerUnlessHeld(
                        request, announced.minor, device.node.name, .operationNotSupportedByDevice)
                }
                return
            }
            let errno = await device.reconfigure(change)
            guard let request = announced.request, await device.isKernelWaiting() else { return }
            environment.reply(request, errno)
        }
    }

    private func begin(_ node: UIONode, origin: DeviceLife.Origin, request: NetlinkRequest?) {
        do throws(OpenFailure) {
            let name = try DeviceOpening.backstoreName(node.name)
            let device = Device(
                node: node, backstore: name, origin: origin, request: request,
                after: (leaving + devices.values).last { $0.node.name.configuration == node.name.configuration },
                environment: environment)
            devices[node.minor] = device
            Task(executorPreference: ControlThread.shared) {
                await device.run()
                await self.forget(device)
            }
        } catch {
            logger.error(
                "\(DeviceConfiguration.withoutSecrets(node.name.configuration).printable): \(error.message)")
            if let request { environment.reply(request, error.errno) }
        }
    }

    /// A device has ended by itself: refused, or closed.
    private func forget(_ device: Device) {
        if devices[device.node.minor] === device { devices[device.node.minor] = nil }
        leaving.removeAll { $0 === device }
    }

    /// Whether a device is for us: its subtype, exactly. All others are another daemon's.
    private func isOurs(_ name: UIODeviceName) -> Bool {
        DeviceOpening.subtypes.contains(DeviceConfiguration.subtype(of: name.configuration))
    }

    private func name(of announced: AnnouncedDevice) -> UIODeviceName? {
        do throws(UIONodeError.Reason) {
            return try UIODeviceName(parsing: announced.name)
        } catch {
            logger.warning("netlink names a device \(announced.name.debugDescription), which cannot be: \(error)")
            return nil
        }
    }

    private static func metadata(_ request: NetlinkRequest?) -> Logger.Metadata {
        guard let request else { return [:] }
        return ["request": "\(request.kind)", "device.id": "\(request.deviceID)"]
    }
}

/// How many devices have stopped.
private final class StopCount: Sendable {
    private let stopped = Atomic<Int>(0)

    var count: Int { stopped.load(ordering: .acquiring) }

    func add() {
        stopped.add(1, ordering: .releasing)
    }
}
