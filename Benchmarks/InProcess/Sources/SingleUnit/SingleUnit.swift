internal import LogicalUnit
internal import Reactor
internal import SCSI
internal import TCMURing
public import TCMUTestKit

/// A logical unit without a loop: kernel, loop and backend are played by one thread, one step at a time, so that a
/// step does the same each time it is run.
///
/// The unit is entered as a loop enters it, with dynamic calls per turn and specialised code behind them.
public final class SingleUnit {
    /// The other side of the ring.
    public let kernel: RingSimulator
    private let unit: any ControlledUnit
    private let inbox: CompletionInbox
    private let wake: WakeSignal
    private let held: HeldTickets?

    private init(kernel: RingSimulator, unit: any ControlledUnit, held: HeldTickets?) throws {
        wake = try WakeSignal()
        self.kernel = kernel
        self.unit = unit
        self.held = held
        inbox = CompletionInbox(wakeDescriptor: wake.descriptor)
        precondition(unit.attach(index: 0, inbox: inbox), "no address space for the unit's commands")
    }

    /// A unit whose backend answers at once.
    public static func answeringAtOnce() throws -> SingleUnit {
        let kernel = try RingSimulator(geometry)
        // The concrete type stands here, as it does in the daemon: this is where the engine is specialised.
        let unit = EngineUnit<InstantBackend>(
            profile: profile, backend: InstantBackend(), ring: try CommandRing(kernel.ringDescriptors())
        ) { _ in }
        return try SingleUnit(kernel: kernel, unit: unit, held: nil)
    }

    /// A unit whose backend answers when ``answerHeld()`` says so.
    public static func answeringLater() throws -> SingleUnit {
        let kernel = try RingSimulator(geometry)
        let held = HeldTickets()
        let unit = EngineUnit<HoldingBackend>(
            profile: profile, backend: HoldingBackend(held), ring: try CommandRing(kernel.ringDescriptors())
        ) { _ in }
        return try SingleUnit(kernel: kernel, unit: unit, held: held)
    }

    /// Ring and data area on pages, as the kernel's are; room for a thousand commands of 4 KiB.
    static var geometry: RingGeometry { RingGeometry(pages: 64, dataBlocks: 1024) }

    private static var profile: UnitProfile {
        UnitProfile(
            name: "benchmark/unit", capacity: Capacity(blocks: InstantBackend.bytes / 512, blockSize: 512),
            maximumTransferBlocks: 8192, configString: "benchmark/unit")
    }

    deinit {
        unit.closeBackend()
        inbox.destroy()
    }

    // MARK: - The loop's part

    /// Turns of the unit, as its loop gives them, until nothing waits in the ring: it takes, decodes, dispatches,
    /// completes, publishes, rings.
    @inline(never)
    public func serve() {
        while unit.service(now: 0) == .again {}
    }

    /// Gives the unit the answers in the inbox, and a turn to publish them.
    @inline(never)
    public func collect() {
        var chain = inbox.takeAll()
        while let node = chain { chain = unit.takeCompletions(node, now: 0) }
        serve()
    }

    // MARK: - The backend's part

    /// Posts the answers to all commands that the backend holds, oldest first.
    @inline(never)
    public func answerHeld() {
        held?.answerAll()
    }
}

extension RingSimulator {
    /// Puts commands of one kind into the ring. Traps if they do not fit.
    public func post(_ cdb: [UInt8], count: Int, outBytes: Int = 0, inBytes: Int = 0) {
        cdb.withUnsafeBytes { bytes in
            for _ in 0..<count {
                let id = postBare(bytes, outBytes: outBytes, inBytes: inBytes)
                precondition(id != 0, "the ring is full")
            }
        }
    }

    /// Takes what was answered. Traps unless that is `count` commands, all of them GOOD.
    public func reap(count: Int) {
        var wrong = 0
        let answered = reapBare { _, status in wrong += status == 0 ? 0 : 1 }
        precondition(
            answered == count && wrong == 0 && violations.isEmpty,
            "\(answered) of \(count) commands were answered, \(wrong) with another status; \(violations)")
    }
}
