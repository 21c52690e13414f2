import BlockBackend
import Glibc
import LogicalUnit
import MemoryBackend
import SCSI
import TCMUTestKit
import Testing

@testable import struct LogicalUnit.MediumErasure

/// The faults known of tcmu-runner's data path, in the order of its users' reports, and a test for each. What takes
/// more than one command to show has its own suite, which the comment names.
@Suite("Defects of the original that this target does not have")
struct OriginalDefectTests {
    static let size: UInt64 = 1024 * 512
    static let block = [UInt8](repeating: 0x3C, count: 512)
    static let zero = [UInt8](repeating: 0, count: 512)

    static func unmap(_ ranges: [(lba: UInt64, blocks: UInt32)]) -> (cdb: [UInt8], list: [UInt8]) {
        let list = InitiatorCDB.unmapParameters(ranges)
        return (InitiatorCDB.unmap(parameterListLength: UInt16(list.count)), list)
    }

    static func start(
        _ change: (inout BackendCapabilities) -> Void = { _ in }
    ) async throws -> (UnitRig<ScriptedBackend>, BackendScript) {
        var capabilities = BackendCapabilities()
        capabilities.discard = DiscardCapability(granularity: 512, maximumBytes: 1 << 20, readsZeros: true)
        change(&capabilities)
        let script = BackendScript(size: size, capabilities: capabilities)
        return (try await UnitRig.start(ScriptedBackend(script)), script)
    }

    @Test("1: a discard that fails fails its UNMAP, whichever of several it is", arguments: [0, 1, 2])
    func failedDiscard(_ failing: Int) async throws {
        let (rig, script) = try await Self.start()
        script.answer(.held)
        let (cdb, list) = Self.unmap([(lba: 0, blocks: 8), (lba: 16, blocks: 8), (lba: 32, blocks: 8)])
        _ = try rig.send(cdb, dataOut: list)
        for index in 0...failing {
            #expect(script.waitForHeld(1))
            if index == failing { script.fail(.discard, with: EIO) }
            script.release()
        }
        #expect(rig.kernel.reapCompletions(count: 1).first?.codes == Codes.writeError)
        script.fail(.discard, with: nil)
        script.answer(.immediate)
        #expect(try rig.run(cdb, dataOut: list).status == 0, "no range of the failed one is left behind")
        #expect(script.operations.suffix(3).map(\.extent.offset) == [0, 8192, 16384])
        await rig.stop()
    }

    @Test("2: WRITE SAME with UNMAP discards only what is to be zero")
    func patternOfUnmap() async throws {
        let (rig, script) = try await Self.start()
        #expect(try rig.run(InitiatorCDB.writeSame16(4, 4, flags: 0x08), dataOut: Self.block).status == 0)
        #expect(!script.operations.contains { $0.kind == .discard })
        #expect(script.content[2048..<4096].allSatisfy { $0 == 0x3C })
        #expect(try rig.run(InitiatorCDB.writeSame16(4, 4, flags: 0x08), dataOut: Self.zero).status == 0)
        #expect(script.operations.last?.kind == .discard)
        await rig.stop()
    }

    @Test("3: an unmap alignment of 0 divides nothing", arguments: [0, 512, 4096] as [UInt64])
    func alignment(_ granularity: UInt64) async throws {
        let (rig, script) = try await Self.start {
            $0.discard = DiscardCapability(
                granularity: granularity, alignment: 0, maximumBytes: 1 << 20, readsZeros: true)
        }
        #expect(try rig.run(InitiatorCDB.writeSame16(3, 5, flags: 0x08), dataOut: Self.zero).status == 0)
        let limits = try rig.run(InitiatorCDB.inquiry(page: 0xB0), dataInLength: 255).dataIn
        #expect(limits[28..<32].reduce(0) { $0 << 8 | Int($1) } >= 1, "OPTIMAL UNMAP GRANULARITY")
        #expect(script.operations.map(\.extent) == [ByteExtent(offset: 1536, length: 2560)])
        await rig.stop()
    }

    @Test("4: with alignment 0 each range reaches the backend as it is, and one too long is refused")
    func wholeRanges() async throws {
        let (rig, script) = try await Self.start {
            $0.discard = DiscardCapability(
                granularity: 4096, alignment: 0, maximumBytes: 64 * 512, readsZeros: true)
        }
        let (cdb, list) = Self.unmap([(lba: 3, blocks: 64), (lba: 1023, blocks: 1)])
        #expect(try rig.run(cdb, dataOut: list).status == 0)
        #expect(
            script.operations.map(\.extent) == [
                ByteExtent(offset: 1536, length: 64 * 512), ByteExtent(offset: 1023 * 512, length: 512),
            ])
        let (long, longList) = Self.unmap([(lba: 3, blocks: 65)])
        #expect(try rig.run(long, dataOut: longList).codes == [5, 0x26, 0])
        await rig.stop()
    }

    /// See also ``BackendAnswerTests`` and ``ModeSelectTests``.
    @Test("5: FUA is honoured where there is a cache, DPO is taken", arguments: [false, true])
    func forceUnitAccess(_ isNative: Bool) async throws {
        let (rig, script) = try await Self.start {
            $0.volatileCache = true
            $0.forceUnitAccess = isNative
        }
        #expect(try rig.run(InitiatorCDB.write10(1, 1, flags: 0x18), dataOut: Self.block).status == 0)
        #expect(script.operations.map(\.kind) == (isNative ? [.write] : [.write, .flush]))
        #expect(script.operations.first?.isDurable == isNative)
        var read = InitiatorCDB.read10(1, 1)
        read[1] = 0x18
        #expect(try rig.run(read, dataInLength: 512).dataIn == Self.block)
        await rig.stop()
    }

    @Test("6: UNMAP reads no byte behind what was delivered", arguments: [0, 7, 8, 23, 24, 39])
    func unmapList(_ delivered: Int) async throws {
        let (rig, script) = try await Self.start()
        let (cdb, list) = Self.unmap([(lba: 0, blocks: 1), (lba: 8, blocks: 1)])
        #expect(try rig.run(cdb, dataOut: Array(list.prefix(delivered))).codes == [5, 0x1A, 0])
        // A block descriptor length that promises more than the list has.
        var lying = list
        lying[3] = 64
        #expect(try rig.run(cdb, dataOut: lying).status != 0x28)
        #expect(script.operations.allSatisfy { $0.extent.length <= 512 && $0.extent.offset <= 4096 })
        await rig.stop()
    }

    /// Errors in the middle of FORMAT UNIT: ``ErasureTests``.
    @Test("7: FORMAT UNIT of more than 2^32 blocks ends, and its progress overflows nothing")
    func largeFormat() {
        let size: UInt64 = 1 << 50
        var erasure = MediumErasure(.format, .zeroes, size: size)
        var end: UInt64 = 0
        var last: UInt16 = 0
        while let piece = erasure.take(upTo: 1 << 36) {
            #expect(piece.offset == end)
            end += piece.length
            #expect(erasure.progress >= last)
            last = erasure.progress
            if end == size / 2 { #expect(last == 32768) }
        }
        #expect(end == size && end / 512 > 1 << 32)
        #expect(erasure.progress == .max)
        var largest = MediumErasure(.sanitize, .deallocation, size: .max - 511)
        #expect(largest.take(upTo: .max) == ByteExtent(offset: 0, length: .max - 511))
        #expect(largest.take(upTo: .max) == nil)
    }

    /// Against each kind of command: ``ExclusionTests``; against each other: ``AtomicCommandTests``.
    @Test("8: COMPARE AND WRITE is atomic against plain writes, too")
    func compareAndWrite() async throws {
        let (rig, script) = try await Self.start()
        script.answer(.held)
        let compare = try rig.send(InitiatorCDB.compareAndWrite(4, 1), dataOut: Self.zero + Self.block)
        #expect(script.waitForHeld(1))
        let write = try rig.send(
            InitiatorCDB.write10(4, 1), dataOut: [UInt8](repeating: 0x77, count: 512))
        try rig.passBy()
        #expect(script.heldCount == 1)
        script.answer(.immediate)
        script.release()
        let finished = rig.ends(2)
        #expect(finished[compare]?.status == 0 && finished[write]?.status == 0)
        #expect(script.operations.map(\.kind) == [.read, .write, .write])
        #expect(script.content[2048..<2560].allSatisfy { $0 == 0x77 })
        await rig.stop()
    }

    @Test("9: commands of reserved and vendor-specific groups are answered, and the ring goes on")
    func unknownGroups() async throws {
        let (rig, _) = try await Self.start()
        for code in (0x60...0x7E).map({ UInt8($0) }) + (0xC0...0xFF).map({ UInt8($0) }) {
            for length in [6, 10, 12, 16] {
                let done = try rig.run([code] + [UInt8](repeating: 0, count: length - 1))
                #expect(done.codes == Codes.unknown, "\(String(code, radix: 16))h")
            }
        }
        #expect(rig.kernel.tail == rig.kernel.head, "an entry is never consumed")
        #expect(await rig.drain())
        await rig.stop()
    }

    /// Nothing is allocated for a command; what runs out is slots. See also ``UnitLifeTests``.
    @Test("10: a command for which there is no room is served later without another event")
    func noRoom() async throws {
        let script = BackendScript(size: Self.size)
        var geometry = RingGeometry(dataBlocks: 5000)
        geometry.ringBytes = 1 << 20
        let rig = try await UnitRig.start(ScriptedBackend(script), geometry: geometry)
        script.answer(.held)
        let wanted = Limits.commandsInFlight + 1
        for _ in 0..<wanted {
            try #require(rig.kernel.post(cdb: InitiatorCDB.read10(0, 1), dataInLength: 512) != nil)
        }
        rig.kernel.notify()
        #expect(script.waitForHeld(Limits.commandsInFlight))
        script.answer(.immediate)
        script.release()
        #expect(rig.kernel.reapCompletions(count: wanted).count == wanted)
        await rig.stop()
    }

    /// The threshold before that: ``SpaceTests``.
    @Test("11: a full backend is DATA PROTECT with SPACE ALLOCATION FAILED", arguments: [ENOSPC, EDQUOT])
    func full(_ errno: Int32) async throws {
        let (rig, script) = try await Self.start()
        script.fail(.write, with: errno)
        for (cdb, data) in [
            (InitiatorCDB.write10(1, 1), Self.block), (InitiatorCDB.writeSame16(1, 2), Self.block),
            (InitiatorCDB.compareAndWrite(1, 1), Self.zero + Self.block),
            (InitiatorCDB.orWrite16(1, 1), Self.block),
            (InitiatorCDB.writeAndVerify10(1, 1), Self.block),
        ] {
            #expect(try rig.run(cdb, dataOut: data).codes == [7, 0x27, 0x07])
        }
        await rig.stop()
    }

    @Test("12: LBPME and LBPRZ are told only where they are true", arguments: [0, 1, 2])
    func provisioning(_ kind: Int) async throws {
        let (rig, _) = try await Self.start {
            if kind == 0 { $0.discard = nil }
            if kind == 1 { $0.discard?.readsZeros = false }
        }
        let capacity = try rig.run(InitiatorCDB.readCapacity16, dataInLength: 32).dataIn
        #expect(capacity[14] & 0xC0 == [0x00, 0x80, 0xC0][kind], "LBPME, LBPRZ")
        let page = try rig.run(InitiatorCDB.inquiry(page: 0xB2), dataInLength: 255).dataIn
        #expect((page[5] & 0x80 != 0) == (kind > 0), "LBPU")
        #expect((page[5] & 0x1C != 0) == (kind == 2), "LBPRZ")
        await rig.stop()
    }

    @Test("13: MODE SELECT takes the page code from the parameter list")
    func modeSelect() async throws {
        let (rig, _) = try await Self.start()
        // Byte 2 of the CDB is reserved; the original looked there.
        let modes = try rig.run(InitiatorCDB.modeSense6(page: 0x0A), dataInLength: 255).dataIn
        let list = InitiatorCDB.modeParameters(Array(modes.dropFirst(4)))
        #expect(try rig.run(InitiatorCDB.modeSelect6(parameterListLength: 16), dataOut: list).status == 0)
        await rig.stop()
    }

    @Test("14: READ (6) and WRITE (6) of 0 blocks are of 256")
    func sixBytes() async throws {
        let (rig, script) = try await Self.start()
        let data = Content.numbered(256 * 512)
        #expect(try rig.run(InitiatorCDB.write6(1, 0), dataOut: data).status == 0)
        #expect(try rig.run(InitiatorCDB.read6(1, 0), dataInLength: data.count).dataIn == data)
        #expect(script.operations.map(\.extent.length) == [131_072, 131_072])
        await rig.stop()
    }

    /// Not to the letter: the kernel does not tell the daemon which initiator a command came from (the ring has no I_T
    /// nexus), so that here, too, a unit attention is told once per unit, to whoever comes next. What is different: it
    /// is never lost to INQUIRY or REQUEST SENSE without being told, one that is raised again before it was told is not
    /// told twice, and a change of capacity, which the original raises here, is refused (EOPNOTSUPP) until it can be
    /// told by the kernel, which knows each nexus.
    @Test("15: a unit attention is told to the next command that may be told, once, whichever initiator sends it")
    func unitAttention() async throws {
        let (rig, script) = try await Self.start { $0.reportsSpace = true }
        script.answerSurveys(.init(availableBytes: 0))
        #expect(try rig.run(InitiatorCDB.write10(1, 1), dataOut: Self.block).status == 0)
        for _ in 0..<3 {
            #expect(try rig.run(InitiatorCDB.inquiry(page: 0x83), dataInLength: 255).status == 0)
        }
        #expect(try rig.run(InitiatorCDB.read10(1, 1), dataInLength: 512).codes == SpaceTests.soft)
        #expect(try rig.run(InitiatorCDB.read10(1, 1), dataInLength: 512).status == 0)
        await rig.stop()
    }

    @Test("16: REPORT TARGET PORT GROUPS counts its extended header, and no length of a CDB is allocated")
    func lengths() async throws {
        let facts = BackstoreFacts(
            serial: "0123", targetPortGroups: [OperationCodeTests.group], implicitTransitionSeconds: 9)
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size), facts: facts)
        var cdb = InitiatorCDB.reportTargetPortGroups
        cdb.replaceSubrange(6..<10, with: [0xFF, 0xFF, 0xFF, 0xFF])
        let short = try rig.run(cdb, dataInLength: 64).dataIn
        #expect(short.count == 16)
        #expect(Array(short.prefix(4)) == [0, 0, 0, 12])
        cdb[1] = 0x2A
        let extended = try rig.run(cdb, dataInLength: 64).dataIn
        #expect(extended.count == 20)
        #expect(Array(extended.prefix(8)) == [0, 0, 0, 16, 0x10, 9, 0, 0])
        // Lists of 4 GiB that nobody sent.
        let copy = InitiatorCDB.extendedCopy(parameterListLength: 0xFFFF_FFFF)
        #expect(try rig.run(copy, dataOut: Self.block).codes == [5, 0x1A, 0])
        #expect(try rig.run(InitiatorCDB.sanitizeOverwrite(parameterListLength: .max)).status == 2)
        await rig.stop()
    }

    @Test("17: EXTENDED COPY takes its lengths whole and checks where its blocks end")
    func copyLengths() async throws {
        let (rig, script) = try await Self.start()
        let own = (InitiatorCDB.designator(serial: "0123456789abcdef"), 512 as UInt32)
        // 2^16 and 2^8 more bytes of descriptors than there are: cut to 16 and 8 bits they would be right.
        for (byte, value) in [(8, 1), (9, 1), (10, 1)] {
            var list = InitiatorCDB.copyParameters(units: [own], [CopyRequestSegment(0, 8, 1)])
            list[byte] = UInt8(value)
            let done = try rig.run(InitiatorCDB.extendedCopy(parameterListLength: list.count), dataOut: list)
            #expect(done.codes == [5, 0x1A, 0])
        }
        for segment in [CopyRequestSegment(.max, 0, 2), .init(0, .max, 2), .init(1 << 63, 0, 1), .init(0, 1023, 2)]
        {
            let list = InitiatorCDB.copyParameters(units: [own], [segment])
            let done = try rig.run(InitiatorCDB.extendedCopy(parameterListLength: list.count), dataOut: list)
            #expect(done.codes == Codes.notReachable)
        }
        #expect(script.operations.isEmpty)
        await rig.stop()
    }

    @Test("18: SYNCHRONIZE CACHE always reaches the backend, and its error the initiator")
    func synchronizeCache() async throws {
        let (rig, script) = try await Self.start()
        for cdb in [InitiatorCDB.synchronizeCache10(), InitiatorCDB.synchronizeCache16(3, 4)] {
            let before = script.operations.count
            #expect(try rig.run(cdb).status == 0)
            #expect(script.operations.dropFirst(before).map(\.kind) == [.flush])
            script.fail(.flush, with: EIO)
            #expect(try rig.run(cdb).codes == Codes.writeError)
            script.fail(.flush, with: nil)
        }
        await rig.stop()
    }
}
