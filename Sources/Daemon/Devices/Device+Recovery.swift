internal import KernelFiles
internal import Logging
internal import LogicalUnit
internal import Reactor
internal import SystemPackage
internal import TCMURing

/// How an impossible ring is replaced under a unit that goes on.
extension Device {
    /// Time without a broken ring after which the next one is treated as the first.
    private static let calm = Duration.seconds(60)

    /// Starts a recovery behind the one before it.
    func startRecovery() {
        let before = recovery
        recovery = Task(executorPreference: ControlThread.shared) {
            await before?.value
            await self.recover()
        }
    }

    /// Replaces the ring: blocked, drained, reset, attached anew, unblocked.
    private func recover() async {
        if life.state == .recovering { await setBlocked(true) }
        guard let unit, let loop else { return }
        var pause = recoveryPause()
        if recoveriesInARow > 0 { try? await ControlThread.sleep(for: pause) }
        while life.state == .recovering {
            await giveUpRing(unit, loop)
            // Without a ring nobody tells that the device has gone, if netlink did not.
            guard gate?.claim.isGone == false else {
                logger.notice("\(label): has vanished without a word; closed")
                _ = life.removed()
                break
            }
            if let failure = await attachNewRing(unit, loop) {
                logger.error("\(label): the ring cannot be replaced: \(failure); next attempt in \(pause)")
                try? await ControlThread.sleep(for: pause)
                pause = min(pause * 2, .seconds(30))
                continue
            }
            if life.recovered() == .serve {
                await unblock()
                logger.notice("\(label): at work again with a new ring")
                return
            }
        }
        await retire()
    }

    /// Drains the unit and unmaps its ring, if it has one.
    private func giveUpRing(_ unit: any ControlledUnit, _ loop: EngineLoop) async {
        // Buffers of the old ring are in the backend's hands until its answers are back; however long it takes.
        _ = await drain(atMost: .forEver)
        do throws(Errno) { try await loop.watchRing(of: unit, false) } catch {
            logger.warning("\(label): the old ring is still watched: \(error)")
        }
        await loop.run(unit) { unit.dropRing() }
    }

    /// How long to leave the unit blocked after a failed attempt, or before this one if its rings keep breaking:
    /// from 100 ms, doubled each time, up to 30 s.
    private func recoveryPause() -> Duration {
        let now = ContinuousClock.now
        let sinceLast = lastRecovery.map { now - $0 } ?? Self.calm
        recoveries += 1
        recoveriesInARow = sinceLast < Self.calm ? recoveriesInARow + 1 : 0
        lastRecovery = now
        return min(.milliseconds(100) * (1 << min(recoveriesInARow, 9)), .seconds(30))
    }

    /// - Returns: why it failed, or nil.
    private func attachNewRing(_ unit: any ControlledUnit, _ loop: EngineLoop) async -> String? {
        guard let gate else { return "its node is not held" }
        let box = RingBox()
        let failure = await BlockingCall.run("reset-\(node.nodeName)") { () -> String? in
            do throws(KernelFileError) { try gate.resetRing() } catch { return error.description }
            do throws(RingError) { box.put(try gate.claim.mapRing(openLimit: Limits.openEntries)) } catch {
                return error.description
            }
            return nil
        }
        if let failure = failure ?? "no thread left" as String? { return failure }
        guard life.state == .recovering else { return nil }
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
