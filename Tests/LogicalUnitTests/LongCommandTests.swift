import BlockBackend
import Glibc
import MemoryBackend
import Reactor
import TCMUTestKit
import Testing

@testable import LogicalUnit

@Suite("Long commands end within a step, whatever ends them")
struct LongCommandTests {
    typealias Row = LongCommandRow

    static func start(
        _ row: Row, rightPatience: Int64 = Limits.rightPatience
    ) async throws -> (UnitRig<ScriptedBackend>, BackendScript) {
        let script = BackendScript(size: Row.size, capabilities: row.capabilities)
        let rig = try await UnitRig.start(
            ScriptedBackend(script), isGivenUpByKernel: true, rightPatience: rightPatience)
        let unit: any ControlledUnit = rig.unit
        var facts = BackstoreFacts(serial: CopyTests.serial)
        facts.commandTimeoutSeconds = 0
        await rig.loop.run(unit) { [facts] in unit.deliver(facts) }
        rig.events.answerFacts(facts)
        return (rig, script)
    }

    @Test("Left alone each ends well, in as many steps as its length says", arguments: LongCommandRow.all)
    func undisturbed(_ row: Row) async throws {
        for timing in [BackendScript.Timing.immediate, .held] {
            let (rig, script) = try await Self.start(row)
            script.answer(timing)
            let id = try rig.send(row.cdb, dataOut: row.dataOut)
            if case .held = timing {
                for _ in 0..<row.steps {
                    #expect(script.waitForHeld(1))
                    #expect(script.heldCount == 1)
                    script.release()
                }
            }
            #expect(rig.ends(1)[id]?.status == 0)
            #expect(script.operations.count == row.steps)
            #expect(script.operations.allSatisfy { $0.extent.length <= 1 << 20 || $0.kind == .write })
            try expectMemoryIsFree(rig, script)
            await rig.stop()
        }
    }

    /// Makes it happen while a step of the command is under way.
    func interrupt(
        _ interruption: Interruption, _ rig: borrowing UnitRig<ScriptedBackend>, _ script: BackendScript,
        _ id: UInt16
    ) async throws {
        let unit: any ControlledUnit = rig.unit
        switch interruption {
        case .aborted:
            #expect(rig.kernel.postTaskManagement(type: 1, ids: [id]))
            rig.kernel.notify()
        case .expired: usleep(700_000)
        case .stopping: await rig.loop.run(unit) { unit.stopTaking() }
        case .ringLost:
            rig.kernel.forceHead(7)
            rig.kernel.notify()
            #expect(await rig.events.wait { if case .ringFailed = $0 { true } else { false } })
        case .rightLost:
            script.ownership.generation += 1
            script.ownership.takeovers += 1
        case .erasing:
            _ = try rig.send(
                InitiatorCDB.formatUnit(hasList: true),
                dataOut: InitiatorCDB.formatParameters(pattern: [0x11], immediate: true))
            // Taken behind it; with an erasure under way both are refused.
            _ = try rig.run(InitiatorCDB.testUnitReady)
        }
    }

    @Test(
        "At most the step under way is done after an interruption, and the answer says so",
        arguments: LongCommandRow.all, Interruption.allCases)
    func interrupted(_ row: Row, _ interruption: Interruption) async throws {
        let (rig, script) = try await Self.start(row)
        if interruption == .expired {
            let unit: any ControlledUnit = rig.unit
            var facts = BackstoreFacts(serial: CopyTests.serial)
            facts.commandTimeoutSeconds = 1
            await rig.loop.run(unit) { [facts] in unit.deliver(facts) }
        }
        script.answer(.held)
        let id = try rig.send(row.cdb, dataOut: row.dataOut)
        for _ in 0..<2 {
            #expect(script.waitForHeld(1))
            script.release()
        }
        #expect(script.waitForHeld(1))
        let before = script.operations.count
        #expect(before == 3)
        try await interrupt(interruption, rig, script, id)
        let end = row.end(after: interruption)
        // An aborted erasure is answered at once, and goes on.
        let goesOn = end == .goesOn || interruption == .aborted && row.command == .erasure
        // What waits for the blocks of the command begins when it has ended.
        if goesOn || interruption == .erasing { script.answer(.immediate) }
        var finished: RingCompletion?
        if interruption == .aborted && row.command != .erasure { try rig.passBy() }
        if interruption == .aborted && row.command == .erasure { finished = rig.kernel.completion(of: id) }
        script.release()
        if end != .nothing && finished == nil { finished = rig.kernel.completion(of: id) }
        #expect(await rig.waitUntilIdle())
        if !goesOn {
            let more = script.operations.dropFirst(before).filter { interruption != .erasing || $0.kind != .write }
            #expect(more.filter { $0.kind != .flush }.isEmpty, "steps after it")
        } else {
            #expect(script.operations.count == row.steps)
        }
        switch end {
        case .goesOn: #expect(finished?.status == 0)
        case .status(let status): #expect(finished?.status == status)
        case .codes(let codes): #expect(finished?.codes == codes)
        case .nothing: #expect(rig.kernel.reapCompletions().isEmpty)
        }
        await rig.stop()
    }

    @Test(
        "Of a backend that answers at once, a turn's steps are all that an abort finds done",
        arguments: LongCommandRow.all)
    func atOnce(_ row: Row) async throws {
        // An erasure goes on, and what ends within a turn has ended.
        guard row.command != .erasure, row.steps > 8 else { return }
        let (rig, script) = try await Self.start(row)
        let id = try #require(rig.kernel.post(cdb: row.cdb, dataOut: row.dataOut))
        #expect(rig.kernel.postTaskManagement(type: 5, ids: [id]))
        rig.kernel.notify()
        #expect(rig.ends(1)[id]?.status == 0x40)
        #expect(script.operations.count <= 8)
        await rig.stop()
    }

    @Test("In memory, WRITE SAME of the greatest length is aborted before its end")
    func memory() async throws {
        let size = Limits.writeSameBytes
        let rig = try await UnitRig.start(MemoryBackend.open(size: size))
        let id = try #require(
            rig.kernel.post(cdb: InitiatorCDB.writeSame16(0, UInt32(size / 512)), dataOut: Row.block))
        #expect(rig.kernel.postTaskManagement(type: 5, ids: [id]))
        rig.kernel.notify()
        #expect(rig.ends(1)[id]?.status == 0x40)
        let last = try rig.run(InitiatorCDB.read16(16 << 11, 1), dataInLength: 512)
        #expect(last.dataIn.allSatisfy { $0 == 0 })
        await rig.stop()
    }

    // MARK: - Many of them

    @Test("However many are sent, one full step of the backend's own is under way, and each has its turn")
    func room() async throws {
        let script = BackendScript(size: Row.size, capabilities: Row.native)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        // 4 MiB each.
        let ids = try (0..<4).map {
            try rig.send(InitiatorCDB.writeSame16(UInt64($0) * 8192, 8192), dataOut: Row.block)
        }
        let other = try rig.send(InitiatorCDB.read10(0, 1), dataInLength: 512)
        #expect(script.waitForHeld(2))
        try rig.passBy()
        #expect(script.heldCount == 2, "a step of one WRITE SAME, and the READ")
        script.release()
        var finished = rig.ends(1)
        #expect(finished[other]?.status == 0)
        for _ in 0..<15 {
            #expect(script.waitForHeld(1))
            #expect(script.heldCount == 1)
            script.release()
        }
        finished = rig.ends(4)
        #expect(ids.allSatisfy { finished[$0]?.status == 0 })
        let order = script.operations.filter { $0.kind == .writeSame }.map { $0.extent.offset >> 22 }
        #expect(order == (0..<4).flatMap { _ in [0, 1, 2, 3] as [UInt64] }, "in turn")
        #expect(Content.consists(script.content, of: Row.block))
        await rig.stop()
    }

    @Test("One that waits for its turn is aborted at once, and all end with a stop")
    func roomEnds() async throws {
        let script = BackendScript(size: Row.size, capabilities: Row.native)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        let ids = try (0..<4).map {
            try rig.send(InitiatorCDB.writeSame16(UInt64($0) * 8192, 8192), dataOut: Row.block)
        }
        #expect(script.waitForHeld(1))
        #expect(rig.kernel.postTaskManagement(type: 1, ids: [ids[2]]))
        rig.kernel.notify()
        #expect(rig.ends(1)[ids[2]]?.status == 0x40)
        #expect(script.heldCount == 1)
        let unit: any ControlledUnit = rig.unit
        await rig.loop.run(unit) { unit.stopTaking() }
        script.release()
        let finished = rig.ends(3)
        #expect(finished.values.allSatisfy { $0.status == 0x08 })
        #expect(script.operations.count == 1)
        #expect(await rig.waitUntilIdle())
        await rig.stop()
    }

    @Test("What waits for its blocks and is aborted is not carried out any more")
    func waiting() async throws {
        let script = BackendScript(size: Row.size)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        let zero = [UInt8](repeating: 0, count: 512)
        let compare = try rig.send(InitiatorCDB.compareAndWrite(4, 1), dataOut: zero + Row.block)
        #expect(script.waitForHeld(1))
        let write = try rig.send(InitiatorCDB.write10(4, 1), dataOut: zero)
        #expect(rig.kernel.postTaskManagement(type: 1, ids: [write]))
        rig.kernel.notify()
        #expect(rig.ends(1)[write]?.status == 0x40)
        script.answer(.immediate)
        script.release()
        #expect(rig.ends(1)[compare]?.status == 0)
        #expect(script.operations.map(\.kind) == [.read, .write])
        await rig.stop()
    }

    // MARK: - Limits

    @Test(
        "WRITE SAME longer than page B0h promises is refused, and WSNZ is kept", arguments: [512, 4096] as [UInt32])
    func limit(_ blockSize: UInt32) async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: 1 << 30), blockSize: blockSize)
        let page = try rig.run(InitiatorCDB.inquiry(page: 0xB0), dataInLength: 255).dataIn
        let longest = page[36..<44].reduce(0) { $0 << 8 | UInt32($1) }
        #expect(longest == UInt32(Limits.writeSameBytes) / blockSize)
        // Linux takes the 16-byte form from here on, and no more than 7FFFFFh blocks.
        #expect(longest > 0xFFFF && longest <= 0x7F_FFFF)
        #expect(page[4] & 1 == 1, "WSNZ")
        let block = [UInt8](repeating: 0, count: Int(blockSize))
        #expect(try rig.run(InitiatorCDB.writeSame16(0, longest), dataOut: block).status == 0)
        #expect(try rig.run(InitiatorCDB.writeSame16(0, longest + 1), dataOut: block).codes == Codes.invalidField)
        #expect(try rig.run(InitiatorCDB.writeSame16(0, 0), dataOut: block).codes == Codes.invalidField)
        await rig.stop()
    }

    @Test("Zeros with UNMAP are deallocated over any length, whatever one discard may cover")
    func unmaps() async throws {
        let rows = LongCommandRow.rows(of: .writeSame).filter { $0.dataOut.allSatisfy { $0 == 0 } }
        for row in rows where row.capabilities.discard != nil {
            let (rig, script) = try await Self.start(row)
            #expect(try rig.run(row.cdb, dataOut: row.dataOut).status == 0)
            #expect(script.operations.map(\.kind) == .init(repeating: .discard, count: row.steps))
            await rig.stop()
        }
    }
}
