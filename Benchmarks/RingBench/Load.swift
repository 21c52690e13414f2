import BlockBackend
import Glibc
import LogicalUnit
import Reactor
import TCMUTestKit

/// A stream of 4 KiB commands at a fixed depth against one unit.
///
/// The calling thread plays the kernel: it refills the ring whenever the daemon rings, as the block layer does
/// from the completions. Its own work is not counted; the loop's thread is measured by itself.
struct Load {
    let isRead: Bool
    let depth: Int
    let commands: Int

    /// Bytes of the unit that the load touches: fits the processor's caches, so that the memory copy does not
    /// hide the rest.
    static let span: UInt64 = 4 << 20

    func run<Backend: BlockBackend & ~Copyable>(
        _ backend: consuming Backend, name: String
    ) async throws -> Measurement {
        // Ring and data area start on pages, as the kernel's do: copies between unaligned pages cost three times more.
        let rig = try await UnitRig.start(backend, geometry: RingGeometry(pages: 64, dataBlocks: 1024))
        // Written once, or reads would all come from the system's page of zeros; then a warm-up of the load itself.
        let fill = Load(isRead: false, depth: depth, commands: Int(Load.span / 4096))
        _ = try fill.drive(rig, count: fill.commands)
        _ = try drive(rig, count: max(commands / 10, 1000))
        let unit: any ControlledUnit = rig.unit
        let before = await rig.loop.run(unit) { LoopUsage.now() }
        let doorbells = rig.kernel.doorbells
        let seconds = try drive(rig, count: commands)
        let after = await rig.loop.run(unit) { LoopUsage.now() }
        let again = await rig.loop.run(unit) { LoopUsage.now() }
        guard let before, let after, let again, rig.kernel.violations.isEmpty else {
            throw Failure(text: "the unit was lost: \(rig.kernel.violations)")
        }
        let rung = rig.kernel.doorbells - doorbells
        await rig.stop()
        // What reading the counters costs is taken off.
        let own = again.allocations - after.allocations
        return Measurement(
            backend: name, operation: isRead ? "read" : "write", depth: depth, commands: commands, seconds: seconds,
            cpuNanoseconds: after.cpuNanoseconds - before.cpuNanoseconds, doorbells: rung,
            allocations: max(0, Int(after.allocations - before.allocations) - Int(own)),
            contextSwitches: after.contextSwitches - before.contextSwitches)
    }

    /// Sends `count` commands, `depth` at a time. Returns seconds it took.
    private func drive<Backend: BlockBackend & ~Copyable>(_ rig: UnitRig<Backend>, count: Int) throws -> Double {
        let kernel = rig.kernel
        let places = Int(Load.span / 4096)
        let cdbs = (0..<places).map { place in
            let lba = UInt32((place * 167) % places * 8)
            return isRead ? InitiatorCDB.read10(lba, 8) : InitiatorCDB.write10(lba, 8)
        }
        var sent = 0
        var finished = 0
        var failed = 0
        let start = monotonicNanoseconds()
        while finished < count {
            while sent < count && kernel.inFlight < depth {
                let id = cdbs[sent % places].withUnsafeBytes {
                    kernel.postBare($0, outBytes: isRead ? 0 : 4096, inBytes: isRead ? 4096 : 0)
                }
                if id == 0 { break }
                sent += 1
            }
            kernel.notify()
            try awaitDoorbell(kernel)
            finished += kernel.reapBare { _, status in failed += status == 0 ? 0 : 1 }
        }
        if failed > 0 { throw Failure(text: "\(failed) commands failed") }
        return Double(monotonicNanoseconds() - start) / 1e9
    }

    /// Looks at the tail for a short while before it sleeps, so that at small depths the kernel's side is as quick
    /// as a real one, which completes inside the doorbell's system call.
    private func awaitDoorbell(_ kernel: RingSimulator) throws {
        for _ in 0..<2000 where kernel.hasFinishedEntries { return }
        if !kernel.waitForDoorbell(milliseconds: 20_000) { throw Failure(text: "the unit fell silent") }
    }

    struct Failure: Error, CustomStringConvertible {
        let text: String
        var description: String { text }
    }
}

private func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
