import BlockBackend
import Glibc
import LogicalUnit
import MemoryBackend
import TCMUTestKit
import Testing

@Suite("ORWRITE, COMPARE AND WRITE of many blocks, WRITE ATOMIC, PRE-FETCH, READ DEFECT DATA")
struct AtomicCommandTests {
    static let size: UInt64 = 1024 * 512

    static func data(_ blocks: Int, _ seed: Int) -> [UInt8] {
        (0..<blocks * 512).map { UInt8(truncatingIfNeeded: ($0 &* 7) >> 2 &+ seed) }
    }

    // MARK: - ORWRITE

    @Test("ORWRITE sets the bits that were sent, and no others", arguments: [1, 5, 300])
    func orWrite(_ blocks: Int) async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size))
        let old = Self.data(blocks, 3)
        let set = Self.data(blocks, 200)
        #expect(try rig.run(InitiatorCDB.write16(7, UInt32(blocks)), dataOut: old).status == 0)
        #expect(try rig.run(InitiatorCDB.orWrite16(7, UInt32(blocks)), dataOut: set).status == 0)
        let read = try rig.run(InitiatorCDB.read16(6, UInt32(blocks + 2)), dataInLength: (blocks + 2) * 512)
        let zero = [UInt8](repeating: 0, count: 512)
        #expect(read.dataIn == zero + zip(old, set).map { $0 | $1 } + zero)
        #expect(try rig.run(InitiatorCDB.orWrite16(7, 0)).status == 0)
        #expect(try rig.run(InitiatorCDB.orWrite16(1023, 2), dataOut: set).codes == Codes.outOfRange)
        #expect(try rig.run(InitiatorCDB.orWrite16(7, 2), dataOut: zero).codes == Codes.tooShort)
        await rig.stop()
    }

    @Test("An overlapping WRITE waits for ORWRITE, and ORWRITE for it")
    func orWriteIsAtomic() async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        let ones = [UInt8](repeating: 0x0F, count: 512)
        let twos = [UInt8](repeating: 0x30, count: 512)
        let first = try rig.send(InitiatorCDB.orWrite16(4, 1), dataOut: ones)
        #expect(script.waitForHeld(1))
        let write = try rig.send(InitiatorCDB.write10(4, 1), dataOut: twos)
        let last = try rig.send(InitiatorCDB.orWrite16(4, 1), dataOut: ones)
        try rig.passBy()
        #expect(script.heldCount == 1)
        script.release()
        #expect(script.waitForHeld(1))
        #expect(script.operations.map(\.kind) == [.read, .write])
        script.answer(.immediate)
        script.release()
        let finished = rig.ends(3)
        #expect([first, write, last].allSatisfy { finished[$0]?.status == 0 })
        #expect(script.content[4 * 512..<5 * 512].allSatisfy { $0 == 0x3F })
        try expectMemoryIsFree(rig, script)
        await rig.stop()
    }

    @Test("ORWRITE that cannot read or write says so, and FUA makes it durable")
    func orWriteErrors() async throws {
        let script = BackendScript(size: Self.size, capabilities: Backends.cached())
        let rig = try await UnitRig.start(ScriptedBackend(script))
        let ones = [UInt8](repeating: 0x0F, count: 512)
        script.fail(.read, with: EIO)
        #expect(try rig.run(InitiatorCDB.orWrite16(4, 1), dataOut: ones).codes == Codes.readError)
        script.fail(.read, with: nil)
        script.fail(.write, with: ENOSPC)
        #expect(try rig.run(InitiatorCDB.orWrite16(4, 1), dataOut: ones).codes == [7, 0x27, 0x07])
        script.fail(.write, with: nil)
        #expect(try rig.run(InitiatorCDB.orWrite16(4, 1, flags: 0x08), dataOut: ones).status == 0)
        #expect(script.operations.suffix(3).map(\.kind) == [.read, .write, .flush])
        try expectMemoryIsFree(rig, script)
        await rig.stop()
    }

    // MARK: - COMPARE AND WRITE

    @Test("COMPARE AND WRITE takes up to 255 blocks", arguments: [1, 2, 100, 255], [false, true])
    func many(_ blocks: Int, _ isNative: Bool) async throws {
        let script = BackendScript(size: Self.size, capabilities: isNative ? Backends.capable() : .init())
        let rig = try await UnitRig.start(ScriptedBackend(script))
        let old = Self.data(blocks, 1)
        let new = Self.data(blocks, 100)
        script.content.replaceSubrange(512..<512 + old.count, with: old)
        let cdb = InitiatorCDB.compareAndWrite(1, UInt8(blocks))
        #expect(try rig.run(cdb, dataOut: old + new).status == 0)
        #expect(script.content[512..<512 + old.count].elementsEqual(new))
        #expect(
            script.operations.map(\.kind).filter { $0 != .survey }
                == (isNative ? [.compareAndWrite] : [.read, .write]))
        var wrong = new
        wrong[wrong.count - 3] ^= 4
        let refused = try rig.run(cdb, dataOut: wrong + old)
        #expect(refused.codes == Codes.miscompare)
        #expect(refused.information == wrong.count - 3)
        #expect(script.content[512..<512 + old.count].elementsEqual(new))
        try expectMemoryIsFree(rig, script)
        await rig.stop()
    }

    @Test("COMPARE AND WRITE with data of another length is refused", arguments: [0, 1, 1023, 1025, 1536, 2048])
    func wrongLength(_ bytes: Int) async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size))
        let data = [UInt8](repeating: 0, count: bytes)
        #expect(try rig.run(InitiatorCDB.compareAndWrite(1, 1), dataOut: data).codes == Codes.invalidField)
        await rig.stop()
    }

    @Test("COMPARE AND WRITE of no blocks does nothing, and must not bring data", arguments: [0, 512, 1024])
    func noBlocks(_ bytes: Int) async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        let data = [UInt8](repeating: 1, count: bytes)
        let done = try rig.run(InitiatorCDB.compareAndWrite(1, 0), dataOut: data)
        #expect(done.codes == (bytes == 0 ? nil : Codes.invalidField))
        #expect(script.operations.isEmpty)
        await rig.stop()
    }

    @Test("A COMPARE AND WRITE of many blocks and plain WRITEs to some of them have one order")
    func overlap() async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        script.answer(.held)
        let zero = [UInt8](repeating: 0, count: 200 * 512)
        let new = Self.data(200, 5)
        let compare = try rig.send(InitiatorCDB.compareAndWrite(100, 200), dataOut: zero + new)
        #expect(script.waitForHeld(1))
        let writes = try [100, 199, 299].map {
            try rig.send(InitiatorCDB.write10($0, 1), dataOut: [UInt8](repeating: 0xEE, count: 512))
        }
        let beside = try rig.send(InitiatorCDB.write10(300, 1), dataOut: [UInt8](repeating: 0xEE, count: 512))
        try rig.passBy()
        #expect(script.waitForHeld(2))
        #expect(script.heldCount == 2, "a WRITE to one of the blocks got past")
        script.answer(.immediate)
        script.release()
        let finished = rig.ends(5)
        #expect(finished[compare]?.status == 0)
        #expect((writes + [beside]).allSatisfy { finished[$0]?.status == 0 })
        #expect(script.content[101 * 512..<102 * 512].elementsEqual(new[512..<1024]))
        for block in [100, 199, 299, 300] {
            #expect(script.content[block * 512..<block * 512 + 512].allSatisfy { $0 == 0xEE }, "block \(block)")
        }
        await rig.stop()
    }

    // MARK: - WRITE ATOMIC

    @Test("WRITE ATOMIC is unknown where the backend writes in parts")
    func noAtomicWrites() async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size))
        #expect(try rig.run(InitiatorCDB.writeAtomic16(0, 1), dataOut: Self.data(1, 0)).codes == Codes.unknown)
        await rig.stop()
    }

    @Test("WRITE ATOMIC within the bounds of page B0h is one write; beyond them it is refused")
    func atomicWrites() async throws {
        let script = BackendScript(size: Self.size, capabilities: Backends.capable())
        let rig = try await UnitRig.start(ScriptedBackend(script))
        let eight = Self.data(8, 40)
        #expect(try rig.run(InitiatorCDB.writeAtomic16(8, 8), dataOut: eight).status == 0)
        let writes = script.operations.filter { $0.kind != .survey }
        #expect(writes.map(\.kind) == [.write])
        #expect(writes.map(\.extent) == [ByteExtent(offset: 4096, length: 4096)])
        #expect(script.content[4096..<8192].elementsEqual(eight))
        #expect(try rig.run(InitiatorCDB.writeAtomic16(8, 9), dataOut: Self.data(9, 0)).status == 2, "too long")
        #expect(try rig.run(InitiatorCDB.writeAtomic16(4, 8), dataOut: eight).status == 2, "crosses a boundary")
        #expect(try rig.run(InitiatorCDB.writeAtomic16(1024, 8), dataOut: eight).status == 2, "past the end")
        var bounded = InitiatorCDB.writeAtomic16(8, 8)
        bounded[11] = 1
        #expect(try rig.run(bounded, dataOut: eight).codes == Codes.invalidField)
        #expect(script.operations.count { $0.kind == .write } == 1)
        await rig.stop()
    }

    // MARK: - PRE-FETCH, READ DEFECT DATA

    @Test("PRE-FETCH tells the backend which blocks are wanted")
    func prefetch() async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script))
        #expect(try rig.run(InitiatorCDB.prefetch10(3, 2)).status == 0)
        #expect(try rig.run(InitiatorCDB.prefetch16(1000, 0)).status == 0)
        #expect(script.operations.map(\.kind) == [.prefetch, .prefetch])
        #expect(script.operations.map(\.extent.offset) == [3 * 512, 1000 * 512])
        #expect(script.operations.map(\.extent.length) == [2 * 512, 24 * 512])
        #expect(try rig.run(InitiatorCDB.prefetch10(1023, 2)).codes == Codes.outOfRange)
        #expect(try rig.run(InitiatorCDB.prefetch16(1025, 0)).codes == Codes.outOfRange)
        await rig.stop()
    }

    @Test("READ DEFECT DATA tells that there is no defect")
    func defects() async throws {
        let rig = try await UnitRig.start(MemoryBackend.open(size: Self.size))
        #expect(try rig.run(InitiatorCDB.readDefectData10, dataInLength: 255).dataIn == [0, 0x18, 0, 0])
        #expect(
            try rig.run(InitiatorCDB.readDefectData12, dataInLength: 255).dataIn == [0, 0x18, 0, 0, 0, 0, 0, 0])
        await rig.stop()
    }
}
