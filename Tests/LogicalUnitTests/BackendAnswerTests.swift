import BlockBackend
import Glibc
import LogicalUnit
import TCMUTestKit
import Testing

@Suite("Answers of a backend, in time and late")
struct BackendAnswerTests {
    static let size: UInt64 = 1024 * 512

    @Test(
        "An errno becomes the sense of the one table",
        arguments: [
            (EIO, false, 0x02 as UInt8, [3, 0x0C, 0] as [UInt8]?), (EIO, true, 0x02, [3, 0x11, 0]),
            (ENOSPC, false, 0x02, [7, 0x27, 0x07]), (EDQUOT, false, 0x02, [7, 0x27, 0x07]),
            (EROFS, false, 0x02, [7, 0x27, 0]), (EPERM, false, 0x02, [3, 0x0C, 0]),
            (ETIMEDOUT, true, 0x08, nil), (EBUSY, false, 0x08, nil), (EAGAIN, true, 0x08, nil),
            (ESHUTDOWN, false, 0x08, nil), (ENOMEM, true, 0x28, nil), (ENXIO, true, 0x02, [3, 0x11, 0]),
            (9999, false, 0x02, [3, 0x0C, 0]),
        ])
    func errnos(_ row: (errno: Int32, isRead: Bool, status: UInt8, sense: [UInt8]?)) async throws {
        for timing in [BackendScript.Timing.immediate, .held] {
            let script = BackendScript(size: Self.size)
            let rig = try await UnitRig.start(ScriptedBackend(script))
            script.answer(timing)
            script.fail(row.isRead ? .read : .write, with: row.errno)
            let id =
                row.isRead
                ? rig.kernel.post(cdb: InitiatorCDB.read10(1, 1), dataInLength: 512)
                : rig.kernel.post(cdb: InitiatorCDB.write10(1, 1), dataOut: [UInt8](repeating: 7, count: 512))
            #expect(id != nil)
            rig.kernel.notify()
            if case .held = timing {
                #expect(script.waitForHeld(1))
                script.release()
            }
            let done = try #require(rig.kernel.reapCompletions(count: 1).first)
            #expect(done.status == row.status)
            #expect(done.senseTriple.map { [$0.key, $0.asc, $0.ascq] } == row.sense)
            // To wait for the right to write is no failure; all others are told.
            if row.errno != EAGAIN {
                let isReported = await rig.events.wait {
                    if case .backendError(_, row.errno) = $0 { true } else { false }
                }
                #expect(isReported)
            }
            // One failed command does not spoil the unit.
            script.fail(row.isRead ? .read : .write, with: nil)
            script.answer(.immediate)
            #expect(rig.perform(cdb: InitiatorCDB.read10(1, 1), dataInLength: 512)?.status == 0)
            await rig.stop()
        }
    }

    @Test("Answers in any order, from other threads, each reach their own command", arguments: [1, 3])
    func foreignThreads(_ threadCount: Int) async throws {
        var random = SeededRandom.replayable()
        let script = BackendScript(size: Self.size)
        script.content = random.bytes(Int(Self.size))
        let content = script.content
        var geometry = RingGeometry(pages: 64, dataBlocks: 1000)
        geometry.ringBytes -= 24
        let rig = try await UnitRig.start(ScriptedBackend(script), geometry: geometry)
        script.answer(.held)
        let threads = ReleasingThreads(script, count: threadCount, seed: random.next())
        var expected: [UInt16: ArraySlice<UInt8>] = [:]
        var finished = 0
        let wanted = 5000
        var sent = 0
        while finished < wanted {
            while sent < wanted {
                let lba = Int.random(in: 0..<1016, using: &random)
                let count = Int.random(in: 1...8, using: &random)
                let cdb = InitiatorCDB.read16(UInt64(lba), UInt32(count))
                guard let id = rig.kernel.post(cdb: cdb, dataInLength: count * 512) else { break }
                expected[id] = content[lba * 512..<(lba + count) * 512]
                sent += 1
            }
            rig.kernel.notify()
            let batch = rig.kernel.reapCompletions(count: 1)
            try #require(!batch.isEmpty, "the unit fell silent after \(finished) commands, \(random)")
            for done in batch {
                #expect(done.status == 0)
                #expect(
                    expected.removeValue(forKey: done.id).map { done.dataIn.elementsEqual($0) } == true, "\(random)"
                )
            }
            finished += batch.count
        }
        threads.stop()
        #expect(rig.kernel.violations.isEmpty)
        #expect(rig.kernel.inFlight == 0)
        await rig.stop()
    }

    @Test("FUA without the backend's help is a flush after the write, answered after both")
    func durableWrite() async throws {
        var capabilities = BackendCapabilities()
        capabilities.volatileCache = true
        let script = BackendScript(size: Self.size, capabilities: capabilities)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        let data = [UInt8](repeating: 7, count: 512)
        #expect(rig.perform(cdb: InitiatorCDB.write10(1, 1, flags: 0x08), dataOut: data)?.status == 0)
        #expect(script.operations.map(\.kind) == [.write, .flush])
        #expect(rig.perform(cdb: InitiatorCDB.write10(1, 1), dataOut: data)?.status == 0)
        #expect(script.operations.map(\.kind) == [.write, .flush, .write])
        await rig.stop()
    }

    @Test("FUA goes to a backend that has it, as part of the write")
    func durableWriteNative() async throws {
        var capabilities = BackendCapabilities()
        capabilities.volatileCache = true
        capabilities.forceUnitAccess = true
        let script = BackendScript(size: Self.size, capabilities: capabilities)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        let data = [UInt8](repeating: 7, count: 512)
        #expect(rig.perform(cdb: InitiatorCDB.write16(1, 1, flags: 0x08), dataOut: data)?.status == 0)
        #expect(script.operations.map(\.isDurable) == [true])
        await rig.stop()
    }

    @Test("A failed flush after a FUA write fails the write")
    func failedFlush() async throws {
        var capabilities = BackendCapabilities()
        capabilities.volatileCache = true
        let script = BackendScript(size: Self.size, capabilities: capabilities)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.fail(.flush, with: EIO)
        let data = [UInt8](repeating: 7, count: 512)
        let done = try #require(rig.perform(cdb: InitiatorCDB.write10(1, 1, flags: 0x08), dataOut: data))
        #expect(done.senseTriple.map { [$0.key, $0.asc, $0.ascq] } == [3, 0x0C, 0])
        await rig.stop()
    }

    @Test("A read-only backend refuses every command that writes, and reads on")
    func readOnly() async throws {
        var capabilities = BackendCapabilities()
        capabilities.readOnly = true
        let script = BackendScript(size: Self.size, capabilities: capabilities)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        let data = [UInt8](repeating: 7, count: 512)
        let writes: [([UInt8], [UInt8])] = [
            (InitiatorCDB.write10(1, 1), data), (InitiatorCDB.writeSame16(1, 4), data),
            (InitiatorCDB.compareAndWrite(1, 1), data + data), (InitiatorCDB.orWrite16(1, 1), data),
            (InitiatorCDB.writeAndVerify10(1, 1), data), (InitiatorCDB.formatUnit(), []),
            (InitiatorCDB.sanitizeOverwrite(parameterListLength: 5), [1, 0, 0, 1, 0]),
        ]
        for (cdb, out) in writes {
            let done = try #require(rig.perform(cdb: cdb, dataOut: out))
            #expect(done.senseTriple.map { [$0.key, $0.asc, $0.ascq] } == [7, 0x27, 0])
        }
        #expect(script.operations.isEmpty)
        #expect(rig.perform(cdb: InitiatorCDB.read10(1, 1), dataInLength: 512)?.status == 0)
        let modes = try #require(rig.perform(cdb: InitiatorCDB.modeSense6(), dataInLength: 255))
        #expect(modes.dataIn[2] & 0x80 != 0, "WP bit")
        await rig.stop()
    }

    @Test("WRITE SAME without the backend's help fills the whole range", arguments: [1, 3, 4097, 10_000])
    func replicatedWriteSame(_ blocks: UInt32) async throws {
        let script = BackendScript(size: 10_001 * 512)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        let pattern = (0..<512).map { UInt8(truncatingIfNeeded: $0 ^ 0x3C) }
        #expect(rig.perform(cdb: InitiatorCDB.writeSame16(1, blocks), dataOut: pattern)?.status == 0)
        let content = script.content
        #expect(content.prefix(512).allSatisfy { $0 == 0 })
        for block in 1...Int(blocks) {
            try #require(content[block * 512..<(block + 1) * 512].elementsEqual(pattern), "block \(block)")
        }
        #expect(content.dropFirst((Int(blocks) + 1) * 512).allSatisfy { $0 == 0 })
        await rig.stop()
    }

    @Test("Operations reach the backend in batches, not one by one")
    func batches() async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        for _ in 0..<100 { #expect(rig.kernel.post(cdb: InitiatorCDB.read10(0, 1), dataInLength: 512) != nil) }
        rig.kernel.notify()
        #expect(script.waitForHeld(100))
        // Twice a turn at most, and a full turn but for the last.
        #expect(script.batches <= 2 * (100 / Limits.batch + 1))
        let before = rig.kernel.doorbells
        script.release()
        #expect(rig.kernel.reapCompletions(count: 100).count == 100)
        #expect(rig.kernel.doorbells - before <= 100)
        await rig.stop()
    }
}
