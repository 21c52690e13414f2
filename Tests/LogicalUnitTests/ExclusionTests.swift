import BlockBackend
import LogicalUnit
import TCMUTestKit
import Testing

@Suite("COMPARE AND WRITE put together from a read and a write is atomic")
struct ExclusionTests {
    static let size: UInt64 = 64 * 512
    static let zero = [UInt8](repeating: 0, count: 512)

    static func filled(_ byte: UInt8, blocks: Int = 1) -> [UInt8] {
        [UInt8](repeating: byte, count: 512 * blocks)
    }

    /// A rig whose backend has answered as many reads at once as slots that the test will use, so that nothing
    /// in a slot is fresh; then it holds.
    static func start(
        _ script: BackendScript, usedSlots: Int = 8
    ) async throws -> UnitRig<ScriptedBackend> {
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        for _ in 0..<usedSlots {
            try #require(rig.kernel.post(cdb: InitiatorCDB.read10(60, 1), dataInLength: 512) != nil)
        }
        rig.kernel.notify()
        #expect(script.waitForHeld(usedSlots))
        script.release()
        #expect(rig.kernel.reapCompletions(count: usedSlots).count == usedSlots)
        return rig
    }

    @Test(
        "An overlapping command waits for it and is then carried out as what it is",
        arguments: ["write", "read", "writeSame", "unmap"])
    func waits(_ kind: String) async throws {
        var capabilities = BackendCapabilities()
        capabilities.nativeWriteSame = true
        capabilities.discard = DiscardCapability(granularity: 512, maximumBytes: 1 << 20, readsZeros: true)
        let script = BackendScript(size: Self.size, capabilities: capabilities)
        let rig = try await Self.start(script)
        let new = Self.filled(0x11)
        let later = Self.filled(0x22)
        let compare = try #require(
            rig.kernel.post(cdb: InitiatorCDB.compareAndWrite(4, 1), dataOut: Self.zero + new))
        rig.kernel.notify()
        #expect(script.waitForHeld(1))

        let second: UInt16?
        switch kind {
        case "write": second = rig.kernel.post(cdb: InitiatorCDB.write10(4, 1), dataOut: later)
        case "read": second = rig.kernel.post(cdb: InitiatorCDB.read10(3, 2), dataInLength: 1024)
        case "writeSame": second = rig.kernel.post(cdb: InitiatorCDB.writeSame10(2, 4), dataOut: later)
        default:
            second = rig.kernel.post(
                cdb: InitiatorCDB.unmap(parameterListLength: 24),
                dataOut: InitiatorCDB.unmapParameters([(lba: 4, blocks: 2)]))
        }
        // A command elsewhere passes both; when it is held, the one before it has been looked at.
        let elsewhere = try #require(rig.kernel.post(cdb: InitiatorCDB.write10(40, 1), dataOut: later))
        rig.kernel.notify()
        #expect(script.waitForOperation(at: 40 * 512))
        #expect(script.heldCount == 2, "the overlapping command reached the backend beside COMPARE AND WRITE")

        script.answer(.immediate)
        script.release()
        var finished: [UInt16: RingCompletion] = [:]
        for completion in rig.kernel.reapCompletions(count: 3) { finished[completion.id] = completion }
        #expect(finished[compare]?.status == 0)
        #expect(finished[elsewhere]?.status == 0)
        let waitedID = try #require(second)
        let waited = try #require(finished[waitedID])
        #expect(waited.status == 0)
        let block = Array(script.content[4 * 512..<5 * 512])
        switch kind {
        case "write", "writeSame": #expect(block == later, "the later command's data must be what stays")
        case "read": #expect(waited.dataIn == Self.zero + new, "the read must see all of COMPARE AND WRITE")
        default: #expect(block == Self.zero)
        }
        #expect(rig.kernel.violations.isEmpty)
        await rig.stop()
    }

    @Test("It waits for overlapping commands that were there first")
    func waitsForOthers() async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await Self.start(script)
        let write = rig.kernel.post(cdb: InitiatorCDB.write10(4, 2), dataOut: Self.filled(0x33, blocks: 2))
        let compare = rig.kernel.post(
            cdb: InitiatorCDB.compareAndWrite(5, 1), dataOut: Self.filled(0x33) + Self.filled(0x44))
        rig.kernel.notify()
        #expect(write != nil && compare != nil)
        #expect(script.waitForHeld(1))
        #expect(script.operations.last?.kind == .write)
        script.answer(.immediate)
        script.release()
        let finished = rig.kernel.reapCompletions(count: 2)
        #expect(finished.map(\.id) == [write, compare].compactMap { $0 })
        #expect(finished.allSatisfy { $0.status == 0 }, "the comparison must see what the write before it left")
        #expect(Array(script.content[5 * 512..<6 * 512]) == Self.filled(0x44))
        await rig.stop()
    }

    @Test("A lock word taken by many at once goes to exactly one")
    func contention() async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await Self.start(script, usedSlots: 24)
        for number in 1...20 {
            let id = rig.kernel.post(
                cdb: InitiatorCDB.compareAndWrite(9, 1), dataOut: Self.zero + Self.filled(UInt8(number)))
            #expect(id != nil)
        }
        rig.kernel.notify()
        let threads = ReleasingThreads(script, count: 2, seed: SeededRandom.replayable().seed)
        let finished = rig.kernel.reapCompletions(count: 20)
        threads.stop()
        #expect(finished.count == 20)
        #expect(finished.count { $0.status == 0 } == 1)
        let losers = finished.filter { $0.status != 0 }
        #expect(losers.allSatisfy { $0.senseTriple?.key == 0x0E && $0.senseTriple?.asc == 0x1D })
        await rig.stop()
    }

    @Test("One done by the backend does not slip into one put together by the unit")
    func nativeAgainstEmulated() async throws {
        // With a volatile cache and FUA the unit puts it together; without FUA the backend does it natively.
        var capabilities = BackendCapabilities()
        capabilities.volatileCache = true
        capabilities.nativeCompareAndWriteBytes = 512
        let script = BackendScript(size: Self.size, capabilities: capabilities)
        let rig = try await Self.start(script)
        var durable = InitiatorCDB.compareAndWrite(7, 1)
        durable[1] = 0x08
        let first = rig.kernel.post(cdb: durable, dataOut: Self.zero + Self.filled(1))
        rig.kernel.notify()
        #expect(script.waitForHeld(1))
        // Now the comparison of the first has been submitted; the second must not change the block under it.
        let second = rig.kernel.post(cdb: InitiatorCDB.compareAndWrite(7, 1), dataOut: Self.zero + Self.filled(2))
        let elsewhere = rig.kernel.post(cdb: InitiatorCDB.read10(40, 1), dataInLength: 512)
        rig.kernel.notify()
        #expect(first != nil && second != nil && elsewhere != nil)
        #expect(script.waitForOperation(at: 40 * 512))
        script.answer(.immediate)
        script.release()
        let finished = rig.kernel.reapCompletions(count: 3)
        #expect(finished.count == 3)
        let winners = finished.filter { $0.status == 0 && $0.id != elsewhere }
        #expect(winners.count == 1, "both found zeros, so the lock word has two owners")
        await rig.stop()
    }
}
