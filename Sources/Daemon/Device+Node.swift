internal import ConfigFS
internal import Configuration
internal import Logging
internal import SystemPackage
internal import TCMURing

/// The device's node and its gate: taken before anything else is done, given back on every way out.
extension Device {
    /// What came of an attempt to have the node.
    enum NodeOutcome {
        case ours(NodeClaim)
        case failed(OpenFailure)
        /// The node has gone, or belongs to another device by now.
        case vanished
    }

    /// Takes the node, and takes a device over that was there before us. While it is ours it stays so over further attempts.
    func takeNode() async -> NodeOutcome {
        if let gate {
            // A device that waits may vanish without a word: what has its name now is another one.
            if gate.claim.isGone { return .vanished }
        } else {
            isClaiming = true
            let outcome = await claimNode()
            isClaiming = false
            switch outcome {
            case .ours(let claim):
                gate = DeviceGate(claim, backstore)
                isAsking = await isKernelWaiting()
                guard life.state == .opening else { return .failed(.notWanted) }
            case .failed, .vanished: return outcome
            }
        }
        guard let gate else { return .vanished }
        guard life.origin == .existing else { return .ours(gate.claim) }
        let result = await BlockingCall.run("block-\(node.nodeName)") { () -> Result<Void, ConfigFSError> in
            Result { () throws(ConfigFSError) in try gate.takeOver() }
        }
        guard life.state == .opening else { return .failed(.notWanted) }
        switch result {
        case .success: return .ours(gate.claim)
        case .failure(let error):
            return .failed(OpenFailure(errno: error.errno, message: error.description))
        case nil: return .failed(.noThread)
        }
    }

    private func claimNode() async -> NodeOutcome {
        let (opening, node) = (environment.opening, node)
        var pause = Duration.milliseconds(500)
        var isTold = false
        while true {
            let result = await BlockingCall.run("claim-\(node.nodeName)") { () -> Result<NodeClaim, RingError> in
                Result { () throws(RingError) in try opening.claim(node) }
            }
            guard life.state == .opening else {
                if case .success(let claim) = result { claim.release() }
                return .failed(.notWanted)
            }
            switch result {
            case .success(let claim): return .ours(claim)
            case .failure(.otherDevice): return .vanished
            case .failure(.open(_, .resourceBusy)) where life.origin == .added:
                // Another process that hears the kernel, too, was faster. It may still be opening its backend, and an
                // error of ours would be the kernel's answer to it: the time for an answer is waited out.
                if !isTold { logger.notice("\(label): \(OpenFailure.heldElsewhere(node).message)") }
                isTold = true
                isContended = true
                try? await ControlThread.sleep(for: pause)
                pause = min(pause * 2, .seconds(2))
                guard life.state == .opening else { return .failed(.notWanted) }
            case .failure(.open(_, .resourceBusy)): return .failed(.heldElsewhere(node))
            case .failure(let error):
                return .failed(OpenFailure(errno: DeviceOpening.errno(of: error), message: error.description))
            case nil: return .failed(.noThread)
            }
        }
    }

    /// Whether the kernel waits for an answer about this device at the moment. Where that cannot be found out it is answered: a
    /// line in the kernel's log does less harm than a process that waits for ever. Not for a removal, which is always answered:
    /// configfs is locked then.
    func isKernelWaiting() async -> Bool {
        let backstore = backstore
        let result = await BlockingCall.run("asking-\(node.nodeName)", atMost: .seconds(2)) { () -> Bool in
            do throws(ConfigFSError) { return try backstore.waitsForAnswers() ?? true } catch { return true }
        }
        return result ?? true
    }

    // MARK: - The gate

    /// Blocks or unblocks the device in the kernel; a failure is logged, and the device goes on.
    @discardableResult
    func setBlocked(_ blocked: Bool, atMost limit: Duration = .forEver) async -> Bool {
        guard let gate else { return true }
        return await atGate("not \(blocked ? "blocked" : "unblocked")", atMost: limit) {
            () throws(ConfigFSError) in try gate.setBlocked(blocked)
        }
    }

    /// Unblocks, again and again while the device is at work: blocked it would answer BUSY for ever.
    func unblock() async {
        while life.state == .serving, !(await setBlocked(false)) {
            try? await ControlThread.sleep(for: .seconds(2))
        }
    }

    /// The one way out for a device that stays in the kernel: unblocked if it was blocked here, its node free.
    func leaveNode(atMost limit: Duration = .forEver) async {
        guard let gate else { return }
        await atGate("not unblocked", atMost: limit) { () throws(ConfigFSError) in try gate.leave() }
    }

    /// The other one: the kernel takes the device away, or has done so.
    func nodeIsGone() {
        gate?.deviceIsGone()
    }

    @discardableResult
    private func atGate(
        _ whatFailed: String, atMost limit: Duration, _ body: @escaping @Sendable () throws(ConfigFSError) -> Void
    ) async -> Bool {
        let failure = await BlockingCall.run("block-\(node.nodeName)", atMost: limit) { () -> String in
            do throws(ConfigFSError) {
                try body()
                return ""
            } catch {
                return error.description
            }
        }
        let reason = failure ?? "configfs does not answer, or no thread is left"
        if !reason.isEmpty { logger.warning("\(label): \(whatFailed): \(reason)") }
        return reason.isEmpty
    }
}

extension OpenFailure {
    static let noThread = OpenFailure(errno: .resourceTemporarilyUnavailable, message: "no thread left")
    /// Not told to anybody: the device has been removed meanwhile, or the daemon stops.
    static let notWanted = OpenFailure(errno: .interrupted, message: "not wanted any longer")

    static func heldElsewhere(_ node: UIONode) -> OpenFailure {
        OpenFailure(
            errno: .resourceBusy,
            message: """
                another process has its node /dev/\(node.nodeName) open and serves it, maybe in a container; it is left alone, \
                unblocked and not reset. Expected one daemon for a device: stop one of the two
                """)
    }
}
