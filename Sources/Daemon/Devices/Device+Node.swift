internal import Configuration
internal import KernelFiles
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
                await learnWhetherServed()
                guard life.state == .opening else { return .failed(.notWanted) }
                // That process may have ended without an answer to what it was asked.
                if wasHeldElsewhere { environment.waitersMayBeLeft() }
            case .failed, .vanished: return outcome
            }
        }
        guard let gate else { return .vanished }
        guard life.origin == .existing else { return .ours(gate.claim) }
        let result = await BlockingCall.run("block-\(node.nodeName)") { () -> Result<Void, KernelFileError> in
            Result { () throws(KernelFileError) in try gate.takeOver() }
        }
        guard life.state == .opening else { return .failed(.notWanted) }
        switch result {
        case .success: return .ours(gate.claim)
        case .failure(let error):
            return .failed(OpenFailure(errno: error.errno, message: error.description))
        case nil: return .failed(.noThread)
        }
    }

    /// Finds out whether another daemon has answered for a device that was announced to us. Until a daemon has, the kernel has no
    /// command for the device (and refuses to reset its ring, EINVAL); afterwards its ring may hold commands that were begun, and
    /// the device is one that was there before. In doubt it is looked again: a ring that another daemon has worked on must not be
    /// served from its tail.
    private func learnWhetherServed() async {
        while life.origin == .added, life.state == .opening {
            switch await isServed() {
            case true:
                logger.notice("\(label): is enabled already; taken over as one that was there before")
                life.servedBefore()
                forgetAdded()
            case false: return
            case nil: try? await ControlThread.sleep(for: .milliseconds(500))
            }
        }
    }

    /// Whether the device is enabled, so that a daemon has answered for it; nil if that cannot be found out.
    private func isServed() async -> Bool? {
        let backstore = backstore
        // Bound: configfs holds up readers while the device is being removed.
        let result = await BlockingCall.run("asked-uio", atMost: .seconds(2)) { () -> Bool? in
            do throws(KernelFileError) { return try backstore.isEnabled() } catch {
                switch error.errno {
                // It has gone.
                case .noSuchFileOrDirectory, .operationNotSupportedByDevice: return false
                default: return nil
                }
            }
        }
        return result ?? nil
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
                wasHeldElsewhere = true
                // Once the other daemon has answered no process waits, and the device is looked at as one that was there before.
                if await isServed() == true {
                    life.servedBefore()
                    forgetAdded()
                    guard life.origin == .added else { return .failed(.heldElsewhere(node)) }
                }
                try? await ControlThread.sleep(for: pause)
                pause = min(pause * 2, .seconds(2))
                guard life.state == .opening else { return .failed(.notWanted) }
            case .failure(.open(_, .resourceBusy)):
                wasHeldElsewhere = true
                return .failed(.heldElsewhere(node))
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
            do throws(KernelFileError) { return try backstore.waitsForAnswers() ?? true } catch { return true }
        }
        return result ?? true
    }

    // MARK: - The gate

    /// Blocks or unblocks the device in the kernel; a failure is logged, and the device goes on.
    @discardableResult
    func setBlocked(_ blocked: Bool, atMost limit: Duration = .forEver) async -> Bool {
        guard let gate else { return true }
        return await atGate("not \(blocked ? "blocked" : "unblocked")", atMost: limit) {
            () throws(KernelFileError) in try gate.setBlocked(blocked)
        }
    }

    /// Unblocks, again and again while the device is at work: blocked it would answer BUSY for ever.
    func unblock() async {
        while life.state == .serving, !(await setBlocked(false)) {
            try? await ControlThread.sleep(for: .seconds(2))
        }
    }

    /// The one way out for a device that stays in the kernel: unblocked if it was blocked here, its node free.
    /// Tried until it is done, within the limit and ``DeviceGate/unblockPatience``: what is missing, a thread or a descriptor, comes
    /// back when others end.
    func leaveNode(atMost limit: Duration = .forEver) async {
        guard let gate else { return }
        let end = ContinuousClock.now + min(limit, DeviceGate.unblockPatience)
        var pause = Duration.milliseconds(50)
        var isTold = false
        while true {
            // An attempt that hangs in configfs is waited for to the end: another one would hang behind it.
            let left = max(end - .now, .zero)
            let isLeft = await atGate(isTold ? nil : "not unblocked", atMost: min(limit, max(left, .seconds(1)))) {
                () throws(KernelFileError) in try gate.leave()
            }
            if isLeft { return }
            isTold = true
            guard ContinuousClock.now + pause < end else { break }
            try? await ControlThread.sleep(for: pause)
            pause = min(pause * 2, .seconds(5))
        }
        if gate.claim.isGone { return }
        logger.error(
            """
            \(label): let go of without having been unblocked: initiators get BUSY until a daemon takes the device over. Expected \
            configfs to take 0 in \(backstore.name)/action/block_dev; write it by hand
            """)
        gate.giveUp()
    }

    /// The other one: the kernel takes the device away, or has done so.
    func nodeIsGone() {
        gate?.deviceIsGone()
    }

    /// - Parameter whatFailed: for the log; nil if that has been told.
    @discardableResult
    private func atGate(
        _ whatFailed: String?, atMost limit: Duration,
        _ body: @escaping @Sendable () throws(KernelFileError) -> Void
    ) async -> Bool {
        let failure = await BlockingCall.run("block-\(node.nodeName)", atMost: limit) { () -> String in
            do throws(KernelFileError) {
                try body()
                return ""
            } catch {
                return error.description
            }
        }
        let reason = failure ?? "configfs does not answer, or no thread is left"
        if let whatFailed, !reason.isEmpty { logger.warning("\(label): \(whatFailed): \(reason)") }
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
