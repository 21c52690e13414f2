internal import ConfigFS
internal import Configuration
internal import Logging
internal import LogicalUnit
internal import SystemPackage
internal import TCMUNetlink
internal import TCMURing

/// How a device ends: removed, stopped with the daemon, or given a new ring.
extension Device {
    /// The kernel removes the device and waits for `request` to be answered; the answer comes within the limit
    /// whatever the backend does.
    func remove(_ request: NetlinkRequest?) async {
        let answer = { if let request { self.environment.reply(request, nil) } }
        switch life.removed() {
        case .drain:
            let drained = await drain(atMost: environment.service.removeTimeout)
            if drained { await letGo() }
            answer()
            if !drained {
                logger.error("\(label): removed with commands still in the backend; closed when they come back")
                _ = await drain(atMost: .seconds(1 << 32))
                await letGo()
            }
            await closeUnit()
            logger.info("\(label): removed")
        default:
            answer()
            // What is being opened or recovered is closed when that ends.
            if life.state == .gone { endEvents() }
        }
    }

    /// The daemon stops: everything in flight is answered, the image closed, and the device left configured and
    /// unblocked for the next daemon.
    ///
    /// - Parameter limit: for draining, and again for closing.
    func stop(within limit: Duration) async {
        guard life.state == .serving else {
            _ = life.removed()
            return
        }
        // New commands get BUSY and come again; what the ring already holds is served.
        await setBlocked(true)
        let quiet = await BlockingCall.wait(atMost: limit) { await self.isQuiet() }
        _ = life.removed()
        let drained = await drain(atMost: limit)
        guard quiet && drained else {
            logger.error("\(label): not closed, commands are still in the backend; the next daemon resets the ring")
            return await setBlocked(false)
        }
        await letGo()
        let closing = Task { await closeUnit() }
        // Closing an image may take three time-outs of its cluster; the process does not wait for that.
        let closed = await BlockingCall.wait(atMost: limit) { await self.life.state == .gone }
        if closed { await closing.value } else { logger.error("\(label): its backend does not close; left so") }
        await setBlocked(false)
        if closed { logger.info("\(label): closed") }
    }

    /// Takes an opened unit off its loop again and closes it; nobody was told of it.
    func retire() async {
        _ = await drain(atMost: .seconds(1 << 32))
        await letGo()
        await closeUnit()
        logger.info("\(label): closed again, not wanted any longer")
    }

    // MARK: - Steps

    private func isQuiet() async -> Bool {
        guard let unit, let loop else { return true }
        return await loop.run(unit) { unit.isQuiet } ?? true
    }

    /// Takes no more commands and waits for those in flight. - Returns: false if some are left at the limit.
    private func drain(atMost limit: Duration) async -> Bool {
        guard let unit, let loop else { return true }
        await loop.run(unit) { unit.stopTaking() }
        return await BlockingCall.wait(atMost: limit) {
            await loop.run(unit) { unit.commandsInFlight == 0 } ?? true
        }
    }

    /// Takes the unit off its loop and unmaps the ring.
    private func letGo() async {
        guard let unit, let loop else { return }
        await loop.detach(unit)
        unit.dropRing()
        self.loop = nil
    }

    private func closeUnit() async {
        if let unit { await close(unit) }
        unit = nil
        life.closed()
        endEvents()
    }

    // MARK: - Recovery

    /// Replaces a ring that became impossible: blocked, drained, reset, attached anew, unblocked.
    func recover() async {
        recoveries += 1
        await setBlocked(true)
        guard let unit, let loop else { return }
        // Buffers of the old ring are in the backend's hands until its answers are back; however long it takes.
        _ = await BlockingCall.wait(atMost: .seconds(1 << 32)) {
            await loop.run(unit) { unit.commandsInFlight == 0 } ?? true
        }
        do throws(Errno) { try await loop.watchRing(of: unit, false) } catch {
            logger.warning("\(label): the old ring is still watched: \(error)")
        }
        await loop.run(unit) { unit.dropRing() }
        var pause = Duration.milliseconds(100) * (1 << min(recoveries, 8))
        while life.state == .recovering {
            if let failure = await attachNewRing(unit, loop) {
                logger.error("\(label): the ring cannot be replaced: \(failure); next attempt in \(pause)")
                try? await Task.sleep(for: pause)
                pause = min(pause * 2, .seconds(30))
                continue
            }
            if life.recovered() {
                await setBlocked(false)
                logger.notice("\(label): at work again with a new ring")
                return
            }
        }
        await retire()
    }

    /// - Returns: why it failed, or nil.
    private func attachNewRing(_ unit: any ControlledUnit, _ loop: EngineLoop) async -> String? {
        let (backstore, opening, node) = (backstore, environment.opening, node)
        let box = RingBox()
        let failure = await BlockingCall.run("reset-\(node.nodeName)") { () -> String? in
            do throws(ConfigFSError) { try backstore.resetRing(.busy) } catch { return error.description }
            do throws(RingError) { box.put(try opening.attachRing(node)) } catch { return error.description }
            return nil
        }
        if let failure = failure ?? "no thread left" as String? { return failure }
        await loop.run(unit) { unit.install(box.take()) }
        do throws(Errno) {
            try await loop.watchRing(of: unit, true)
            return nil
        } catch {
            return "\(error)"
        }
    }
}

/// Carries a noncopyable ring from the thread that attached it to the loop.
private final class RingBox: @unchecked Sendable {
    // SAFETY: put before the blocking call returns, taken once afterwards.
    private var ring: CommandRing?

    func put(_ ring: consuming CommandRing) {
        self.ring = consume ring
    }

    func take() -> CommandRing {
        guard let ring = ring.take() else { preconditionFailure("a ring is taken once") }
        return ring
    }
}
