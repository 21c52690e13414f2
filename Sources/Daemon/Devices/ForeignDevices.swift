internal import Configuration
internal import KernelFiles
internal import Logging
internal import Synchronization
internal import SystemPackage
internal import TCMUNetlink

/// Events of devices whose subtype is not served here. Most likely another daemon's, so that one has the first word; but an event
/// that no daemon answers holds up for ever who waits for it in the kernel, and every LUN of a saved configuration behind it.
///
/// After ``ServiceConfiguration/foreignPatience`` the kernel is answered, if the device is still waited for and no process has
/// its node. A daemon that answers later finds its answer refused, and no harm done (docs/adr/0022).
struct ForeignDevices: Sendable {
    let environment: DeviceEnvironment
    /// Requests that will be answered here, unless another daemon does.
    private let pending = Pending()
    let isHeldElsewhere: @Sendable (UIONode) -> Bool

    init(_ environment: DeviceEnvironment) {
        self.environment = environment
        let openNode = environment.openNode
        let gate = NetlinkGate(
            service: environment.service, logger: environment.logger, otherListeners: { [] }, openNode: openNode)
        isHeldElsewhere = { gate.isHeldElsewhere($0) }
    }

    /// How a request of a foreign device stands.
    private enum Standing: Sendable {
        /// It has been answered, or its device has gone.
        case over
        /// A process has the device's node: its daemon is at work, and will answer.
        case held
        /// Nobody will answer.
        case deserted
    }

    /// Whether the kernel may wait for an answer that will be given here.
    var oweAnswers: Bool { pending.count.load(ordering: .acquiring) > 0 }

    private final class Pending: Sendable {
        let count = Atomic<Int>(0)
    }

    /// Answers in time, on the control thread.
    private func later(_ body: @escaping @Sendable () async -> Void) {
        pending.count.add(1, ordering: .acquiringAndReleasing)
        Task(executorPreference: ControlThread.shared) {
            await body()
            pending.count.subtract(1, ordering: .acquiringAndReleasing)
        }
    }

    /// Waits for another daemon to answer, and answers in its place if none does.
    func hear(_ announced: AnnouncedDevice, _ name: UIODeviceName) {
        let subtype = DeviceConfiguration.subtype(of: name.configuration)
        guard let request = announced.request else { return }
        let patience = environment.service.foreignPatience
        let isLeft = environment.service.foreignSubtypes.contains(subtype)
        if request.kind == .added {
            let whatHappens =
                if isLeft || patience == nil {
                    "Left to its own daemon, unanswered"
                } else {
                    "Left to its own daemon; if none takes it in time, who enables it gets ENOENT"
                }
            environment.logger.notice(
                """
                \(name.device.printable) wants backend "\(subtype.printable)"; served here: \
                \(DeviceOpening.subtypes.sorted().joined(separator: ", ")). \(whatHappens)
                """)
        }
        guard let patience, !isLeft else { return }
        later {
            await self.answer(request, announced.minor, name, after: patience)
        }
    }

    /// Answers an event about a device of a subtype that is served here, of which this daemon has not the node: at once, unless
    /// another process has it. Then that one answers.
    func answerUnlessHeld(_ request: NetlinkRequest, _ minor: UInt32, _ name: UIODeviceName, _ errno: Errno?) {
        later {
            var isHeld = false
            while true {
                let standing = await BlockingCall.run("asked-uio\(minor)", atMost: .seconds(10)) {
                    self.standing(.removed, minor, name)
                }
                guard standing == .held else {
                    // Gone behind another process's hands: that one has answered.
                    if isHeld && standing == .over { return }
                    return self.environment.reply(request, errno)
                }
                isHeld = true
                // Only a removal ends with the node.
                guard request.kind == .removed else { return }
                try? await ControlThread.sleep(for: .seconds(1))
            }
        }
    }

    private func answer(
        _ request: NetlinkRequest, _ minor: UInt32, _ name: UIODeviceName, after patience: Duration
    ) async {
        var standing = Standing.held
        while standing == .held {
            try? await ControlThread.sleep(for: patience)
            let found = await BlockingCall.run("foreign-uio\(minor)", atMost: .seconds(10)) {
                self.standing(request.kind, minor, name)
            }
            // Configfs does not answer: somebody works there. Looked at again.
            standing = found ?? .held
        }
        guard standing == .deserted else { return }
        environment.logger.warning(
            """
            \(name.device.printable): no daemon has taken it, with backend \
            "\(DeviceConfiguration.subtype(of: name.configuration).printable)", within \(patience); the kernel is answered in \
            its place. To leave it alone for longer see --foreign-timeout, for ever --foreign-subtypes
            """)
        environment.reply(request, Self.errno(for: request.kind))
    }

    /// What the original answers for a handler that it does not have; a removal is never refused.
    private static func errno(for kind: NetlinkRequest.Kind) -> Errno? {
        switch kind {
        case .added: .noSuchFileOrDirectory
        case .removed: nil
        case .reconfigured: .notSupportedOnSocket
        }
    }

    /// Blocks. An answer of another kind than what is waited for would leave its waiter without any (``NetlinkRequest/Kind``), so
    /// in doubt there is none.
    private func standing(_ kind: NetlinkRequest.Kind, _ minor: UInt32, _ name: UIODeviceName) -> Standing {
        let node: UIONode
        do throws(UIONodeError) {
            node = try UIONode(minor: minor, sysfs: environment.service.sysfsRoot)
        } catch {
            return .over
        }
        guard node.name == name else { return .over }
        // Not while the device is being removed: configfs would hold the reader.
        if kind == .added {
            guard let backstore = BackstoreName(hba: name.hba, name: name.device) else { return .over }
            do throws(KernelFileError) {
                if try environment.tree.backstore(backstore).isEnabled() { return .over }
            } catch {
                return .over
            }
        }
        return isHeldElsewhere(node) ? .held : .deserted
    }
}
