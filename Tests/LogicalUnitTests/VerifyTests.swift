import BlockBackend
import Glibc
import LogicalUnit
import MemoryBackend
import TCMUTestKit
import Testing

@Suite("VERIFY and WRITE AND VERIFY")
struct VerifyTests {
    /// 4 MiB.
    static let blocks = 8192
    static let size = UInt64(blocks * 512)

    static func pattern(_ blocks: Int, seed: Int = 0) -> [UInt8] {
        Content.numbered(blocks * 512, seed: UInt8(seed))
    }

    /// The three lengths of CDB, of the same command.
    struct Form: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let verify: @Sendable (Int, Int, UInt8) -> [UInt8]
        let writeAndVerify: @Sendable (Int, Int) -> [UInt8]
    }

    static let forms = [
        Form(testDescription: "10") {
            InitiatorCDB.verify10(UInt32($0), UInt16($1), byteCheck: $2)
        } writeAndVerify: {
            InitiatorCDB.writeAndVerify10(UInt32($0), UInt16($1))
        },
        Form(testDescription: "12") {
            InitiatorCDB.verify12(UInt32($0), UInt32($1), byteCheck: $2)
        } writeAndVerify: {
            InitiatorCDB.writeAndVerify12(UInt32($0), UInt32($1))
        },
        Form(testDescription: "16") {
            InitiatorCDB.verify16(UInt64($0), UInt32($1), byteCheck: $2)
        } writeAndVerify: {
            InitiatorCDB.writeAndVerify16(UInt64($0), UInt32($1))
        },
    ]

    @Test("VERIFY compares what BYTCHK says", arguments: forms)
    func byteCheck(_ form: Form) async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size))
        let data = Self.pattern(3)
        #expect(try rig.run(InitiatorCDB.write10(7, 3), dataOut: data).status == 0)
        // 00b: nothing is compared, whether something comes along or not.
        #expect(try rig.run(form.verify(7, 3, 0)).status == 0)
        #expect(try rig.run(form.verify(7, 3, 0), dataOut: [UInt8](repeating: 1, count: 512)).status == 0)
        // 01b: block by block.
        #expect(try rig.run(form.verify(7, 3, 1), dataOut: data).status == 0)
        var wrong = data
        wrong[1200] ^= 1
        let different = try rig.run(form.verify(7, 3, 1), dataOut: wrong)
        #expect(different.codes == Codes.miscompare)
        #expect(different.information == 1200)
        // 11b: every block is the one that was sent.
        let block = Array(data.prefix(512))
        #expect(try rig.run(form.verify(7, 1, 3), dataOut: block).status == 0)
        let other = try rig.run(form.verify(7, 3, 3), dataOut: block)
        let first = try #require((0..<1536).first { data[$0] != block[$0 % 512] })
        #expect(other.codes == Codes.miscompare)
        #expect(other.information == first)
        #expect(try rig.run(form.verify(7, 3, 2), dataOut: data).codes == Codes.invalidField)
        await rig.stop()
    }

    @Test(
        "A difference beyond the first piece is told by its offset from the first block",
        arguments: [1, 3] as [UInt8], [2047, 2048, 4095, 6001])
    func late(_ byteCheck: UInt8, _ block: Int) async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size))
        let one = Self.pattern(1)
        #expect(try rig.run(InitiatorCDB.writeSame16(0, UInt32(Self.blocks)), dataOut: one).status == 0)
        var changed = one
        changed[77] ^= 0x40
        #expect(try rig.run(InitiatorCDB.write10(UInt32(block + 5), 1), dataOut: changed).status == 0)
        let count = 6002
        var expected = one
        if byteCheck == 1 {
            for _ in 1..<count { expected += one }
        }
        let done = try rig.run(InitiatorCDB.verify16(5, UInt32(count), byteCheck: byteCheck), dataOut: expected)
        #expect(done.codes == Codes.miscompare)
        #expect(done.information == block * 512 + 77)
        #expect(
            try rig.run(InitiatorCDB.verify16(5, UInt32(block), byteCheck: 3), dataOut: one).status == 0,
            "the blocks before it are equal")
        await rig.stop()
    }

    @Test("More than a turn's worth is verified to its end, and others have their turn meanwhile")
    func yields() async throws {
        let script = BackendScript(size: 32 << 20)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        let verify = try rig.send(InitiatorCDB.verify16(0, 65536))
        let other = try rig.send(InitiatorCDB.testUnitReady)
        let finished = rig.ends(2)
        #expect(finished[verify]?.status == 0 && finished[other]?.status == 0)
        #expect(script.operations.map(\.extent) == (0..<32).map { ByteExtent(offset: $0 << 20, length: 1 << 20) })
        try expectMemoryIsFree(rig, script)
        await rig.stop()
    }

    @Test("Piece after piece is read, each when the one before has come back")
    func pieces() async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        let id = try rig.send(InitiatorCDB.verify16(2, 5000, byteCheck: 0))
        var lengths: [UInt64] = []
        for _ in 0..<3 {
            #expect(script.waitForHeld(1))
            #expect(script.heldCount == 1)
            lengths.append(script.operations.last?.extent.length ?? 0)
            script.release()
        }
        #expect(lengths == [1 << 20, 1 << 20, 5000 * 512 - (2 << 20)])
        #expect(rig.ends(1)[id]?.status == 0)
        try expectMemoryIsFree(rig, script)
        await rig.stop()
    }

    @Test("A block that cannot be read fails VERIFY, in any piece", arguments: [0, 1])
    func readError(_ goodPieces: Int) async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        _ = try rig.send(InitiatorCDB.verify16(0, 4096))
        for _ in 0..<goodPieces {
            #expect(script.waitForHeld(1))
            script.release()
        }
        #expect(script.waitForHeld(1))
        script.fail(.read, with: EIO)
        script.release()
        #expect(rig.kernel.reapCompletions(count: 1).first?.codes == Codes.readError)
        script.fail(.read, with: nil)
        try expectMemoryIsFree(rig, script)
        await rig.stop()
    }

    @Test("What VERIFY refuses")
    func refusals() async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size))
        let last = UInt32(Self.blocks)
        #expect(try rig.run(InitiatorCDB.verify10(last, 0)).status == 0, "no blocks at the end")
        #expect(try rig.run(InitiatorCDB.verify10(3, 0, byteCheck: 1)).status == 0, "no blocks, no data")
        #expect(try rig.run(InitiatorCDB.verify10(last, 1)).codes == Codes.outOfRange)
        #expect(try rig.run(InitiatorCDB.verify16(.max, 2)).codes == Codes.outOfRange)
        #expect(try rig.run(InitiatorCDB.verify16(UInt64(last) + 1, 0)).codes == Codes.outOfRange)
        let block = [UInt8](repeating: 0, count: 512)
        #expect(try rig.run(InitiatorCDB.verify10(0, 2, byteCheck: 1), dataOut: block).codes == Codes.tooShort)
        #expect(try rig.run(InitiatorCDB.verify10(0, 2, byteCheck: 3)).codes == Codes.tooShort)
        #expect(try rig.run(InitiatorCDB.verify10(0, 2, byteCheck: 3), dataOut: block).status == 0)
        await rig.stop()
    }

    @Test("The longest command: 1024 pieces of data compared with four pieces of medium")
    func longest() async throws {
        var geometry = RingGeometry(pages: 64, dataBlocks: 2100)
        geometry.ringBytes = 1 << 20
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script), geometry: geometry)
        // Every second block of the data area is kept busy, so that no two free ones adjoin.
        script.answer(.held)
        for _ in 0..<2100 { _ = try #require(rig.kernel.post(cdb: InitiatorCDB.read10(0, 1), dataInLength: 512)) }
        rig.kernel.notify()
        #expect(script.waitForHeld(2100))
        script.releaseEverySecond()
        #expect(rig.kernel.reapCompletions(count: 1050).count == 1050)
        script.content = Self.pattern(Self.blocks)
        var data = script.content
        let verify = InitiatorCDB.verify16(0, UInt32(Self.blocks), byteCheck: 1)
        let equal = try rig.send(verify, dataOut: data)
        for _ in 0..<4 { #expect(script.waitForHeld(1051)); script.releaseNewest() }
        #expect(rig.ends(1)[equal]?.status == 0)
        data[data.count - 1] ^= 1
        let different = try rig.send(verify, dataOut: data)
        for _ in 0..<4 { #expect(script.waitForHeld(1051)); script.releaseNewest() }
        #expect(rig.ends(1)[different]?.information == data.count - 1)
        script.answer(.immediate)
        script.release()
        #expect(rig.kernel.reapCompletions(count: 1050).count == 1050)
        #expect(rig.kernel.violations.isEmpty)
        await rig.stop()
    }

    @Test("VERIFYs beyond those that have memory get TASK SET FULL, and leave nothing behind")
    func memory() async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        for _ in 0..<16 { _ = try rig.send(InitiatorCDB.verify10(0, 1)) }
        #expect(script.waitForHeld(16))
        #expect(try rig.run(InitiatorCDB.verify10(0, 1)).status == 0x28)
        script.release()
        #expect(rig.kernel.reapCompletions(count: 16).count == 16)
        try expectMemoryIsFree(rig, script)
        await rig.stop()
    }

    // MARK: - WRITE AND VERIFY

    @Test("WRITE AND VERIFY leaves its data on the medium", arguments: forms)
    func writes(_ form: Form) async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size))
        let data = Self.pattern(3000, seed: 9)
        #expect(try rig.run(form.writeAndVerify(11, 3000), dataOut: data).status == 0)
        #expect(try rig.run(InitiatorCDB.read16(11, 3000), dataInLength: data.count).dataIn == data)
        #expect(try rig.run(form.writeAndVerify(11, 0)).status == 0)
        #expect(
            try rig.run(form.writeAndVerify(Self.blocks, 1), dataOut: Self.pattern(1)).codes == Codes.outOfRange)
        #expect(try rig.run(form.writeAndVerify(1, 2), dataOut: Self.pattern(1)).codes == Codes.tooShort)
        var reserved = form.writeAndVerify(1, 1)
        reserved[1] = 3 << 1
        #expect(try rig.run(reserved, dataOut: Self.pattern(1)).codes == Codes.invalidField)
        await rig.stop()
    }

    @Test("What is read back is compared with BYTCHK = 01b alone", arguments: [0, 1] as [UInt8])
    func readBack(_ byteCheck: UInt8) async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        _ = try rig.send(InitiatorCDB.writeAndVerify10(4, 2, byteCheck: byteCheck), dataOut: Self.pattern(2))
        #expect(script.waitForHeld(1))
        script.release()
        #expect(script.waitForHeld(1))
        #expect(script.operations.map(\.kind) == [.write, .read])
        // A disk that kept something else.
        script.content[5 * 512 + 9] ^= 0x10
        script.release()
        let done = try #require(rig.kernel.reapCompletions(count: 1).first)
        #expect(done.codes == (byteCheck == 0 ? nil : Codes.miscompare))
        #expect(done.information == (byteCheck == 0 ? nil : 521))
        try expectMemoryIsFree(rig, script)
        await rig.stop()
    }

    @Test("It is on the medium before it is read back")
    func durable() async throws {
        for hasFUA in [false, true] {
            var capabilities = Backends.cached()
            capabilities.forceUnitAccess = hasFUA
            let script = BackendScript(size: Self.size, capabilities: capabilities)
            let rig = try await UnitRig.start(ScriptedBackend(script))
            #expect(try rig.run(InitiatorCDB.writeAndVerify16(4, 2), dataOut: Self.pattern(2)).status == 0)
            #expect(script.operations.map(\.kind) == (hasFUA ? [.write, .read] : [.write, .flush, .read]))
            #expect(script.operations.first?.isDurable == hasFUA)
            await rig.stop()
        }
    }

    @Test("An overlapping WRITE waits until it has been read back")
    func exclusive() async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        let first = try rig.send(InitiatorCDB.writeAndVerify10(4, 4), dataOut: Self.pattern(4))
        #expect(script.waitForHeld(1))
        let second = try rig.send(InitiatorCDB.write10(6, 1), dataOut: Self.pattern(1, seed: 1))
        let verify = try rig.send(InitiatorCDB.verify10(6, 1, byteCheck: 1), dataOut: Self.pattern(1, seed: 1))
        try rig.passBy()
        #expect(script.heldCount == 1, "a WRITE reached the medium between write and verification")
        script.release()
        #expect(script.waitForHeld(1))
        #expect(script.operations.map(\.kind) == [.write, .read])
        script.answer(.immediate)
        script.release()
        let finished = rig.ends(3)
        #expect(finished[first]?.status == 0)
        #expect(finished[second]?.status == 0)
        #expect(finished[verify]?.status == 0, "VERIFY must see the WRITE that came before it")
        #expect(script.content[6 * 512..<7 * 512].elementsEqual(Self.pattern(1, seed: 1)))
        await rig.stop()
    }

    @Test(
        "A failed write or read back fails it, and others go on",
        arguments: [BackendScript.Kind.write, .flush, .read])
    func failures(_ kind: BackendScript.Kind) async throws {
        let script = BackendScript(size: Self.size, capabilities: Backends.cached())
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.fail(kind, with: EIO)
        let done = try rig.run(InitiatorCDB.writeAndVerify10(4, 2), dataOut: Self.pattern(2))
        #expect(done.codes == (kind == .read ? Codes.readError : Codes.writeError))
        script.fail(kind, with: nil)
        #expect(try rig.run(InitiatorCDB.write10(4, 2), dataOut: Self.pattern(2)).status == 0)
        try expectMemoryIsFree(rig, script)
        await rig.stop()
    }
}
