internal import Configuration
internal import KernelFiles
internal import Logging
internal import LogicalUnit
internal import Reactor
internal import SystemPackage
internal import TCMUNetlink

/// How a device ends: removed, stopped with the daemon, or vanished without a word.
extension Device {
    /// The kernel removes the device and waits for `request` to be answered; the answer comes within the limit
    /// whatever the backend does. Without a request the device has gone already.
    func remove(_ request: NetlinkRequest?) async {
        removedRequest = removedRequest ?? request
        let limit = environment.service.removeTimeout
        // A clock of its own: the steps below wait for a loop, and a loop may be stuck in a backend.
        let answering = Task(executorPreference: ControlThread.shared) {
            try await ControlThread.sleep(for: limit)
            await self.answerRemoved()
        }
        defer { answering.cancel() }
        // Behind the answer, whichever way it ends.
        defer { Task(executorPreference: ControlThread.shared) { await self.forgetKept() } }
        switch life.removed() {
        case .drain:
            guard await drain(atMost: limit) else {
                answerRemoved()
                logger.error("\(label): removed with commands still in the backend; closed when they come back")
                _ = await drain(atMost: .forEver)
                await letGo()
                nodeIsGone()
                await closeUnit()
                return
            }
            await letGo()
            nodeIsGone()
            // Closed before the answer, so that the same image can be added again right after it.
            let closed = await closeUnit(atMost: limit)
            answerRemoved()
            if closed {
                logger.info("\(label): removed")
            } else {
                logger.error("\(label): removed, but not closed yet")
            }
        default:
            if life.state != .closing { nodeIsGone() }
            answerRemoved()
            answerAdded(.interrupted)
            // What is being opened or recovered is closed when that ends.
            if life.state == .gone { endEvents() }
        }
    }

    /// The daemon stops: everything in flight is answered, the image closed, and the device left configured and
    /// unblocked for the next daemon. Whoever waits in the kernel for this device is answered, too.
    ///
    /// - Parameter limit: for draining, and again for closing.
    func stop(within limit: Duration) async {
        switch life.state {
        case .serving: break
        case .closing:
            // Its removal is under way; it has the same time as the others.
            _ = await BlockingCall.wait(atMost: limit) { await self.life.state == .gone }
            return answerRemoved()
        default:
            _ = life.removed()
            answerAdded(.resourceTemporarilyUnavailable)
            answerRemoved()
            // A recovery ends by closing the unit, as soon as it sees that nobody wants it any longer.
            if unit != nil { _ = await BlockingCall.wait(atMost: limit) { await self.life.state == .gone } }
            await leaveNode(atMost: limit)
            if life.state == .gone { endEvents() }
            return
        }
        // From here on a broken ring is not replaced any more.
        isStopping = true
        _ = life.removed()
        // New commands get BUSY and come again; what the ring already holds is served.
        await setBlocked(true, atMost: limit)
        let quiet = await BlockingCall.wait(atMost: limit) { await self.isQuiet() }
        let drained = await drain(atMost: limit)
        if !quiet { logger.warning("\(label): the ring still held commands when it was given up; they come again") }
        guard drained else {
            logger.error("\(label): not closed, commands are still in the backend; the next daemon resets the ring")
            await leaveNode(atMost: limit)
            return answerRemoved()
        }
        await letGo()
        // Closing an image may take three time-outs of its cluster; the process does not wait for that.
        let closed = await closeUnit(atMost: limit)
        await leaveNode(atMost: limit)
        if closed { logger.info("\(label): closed") } else { logger.error("\(label): does not close; left so") }
        answerRemoved()
    }

    /// The daemon stops without this device, which does not: its waiters are answered, and it is unblocked.
    func giveUp(within limit: Duration) async {
        guard life.state != .gone else { return }
        answerAdded(.resourceTemporarilyUnavailable)
        answerRemoved()
        await leaveNode(atMost: limit)
    }

    /// Takes an opened unit off its loop again and closes it; nobody was told of it.
    func retire() async {
        _ = await drain(atMost: .forEver)
        await letGo()
        await closeUnit()
        logger.info("\(label): closed again, not wanted any longer")
    }

    // MARK: - Steps

    private func answerRemoved() {
        guard let request = removedRequest else { return }
        removedRequest = nil
        environment.reply(request, nil)
    }

    private func isQuiet() async -> Bool {
        guard let unit, let loop else { return true }
        return await loop.run(unit) { unit.isQuiet } ?? true
    }

    /// Takes no more commands and waits for those in flight. Returns false if some are left at the limit.
    func drain(atMost limit: Duration) async -> Bool {
        guard let unit, let loop else { return true }
        await loop.run(unit) { unit.stopTaking() }
        return await BlockingCall.wait(atMost: limit) {
            await loop.run(unit) { unit.commandsInFlight == 0 } ?? true
        }
    }

    /// Takes the unit off its loop and unmaps the ring.
    private func letGo() async {
        guard let unit, let loop else { return }
        copyMembership?.leave()
        await stopKeeper(of: unit)
        leavePortalGroups()
        await loop.detach(unit)
        unit.dropRing()
        self.loop = nil
    }

    private func closeUnit() async {
        // Taken first: whoever comes while this one is being closed finds nothing to close.
        let closing = unit
        unit = nil
        if let closing { await close(closing) }
        life.closed()
        endEvents()
    }

    /// As `closeUnit`, but waits no longer than `limit`. Returns false if it is not closed by then.
    private func closeUnit(atMost limit: Duration) async -> Bool {
        Task(executorPreference: ControlThread.shared) { await self.closeUnit() }
        return await BlockingCall.wait(atMost: limit) { await self.life.state == .gone }
    }
}

extension Duration {
    /// Longer than any daemon lives.
    static let forEver = Duration.seconds(1 << 32)
}
