import BlockBackend
import Glibc
import Reactor
import SCSI
import TCMURing
import TCMUTestKit
import Testing

@testable import LogicalUnit

@Suite("Commands that their initiator was told are over, and whose end nobody knows")
struct GivenUpTests {
    static let size: UInt64 = 1024 * 512
    static func filled(_ byte: UInt8) -> [UInt8] { [UInt8](repeating: byte, count: 512) }

    /// A unit of which configfs says that the kernel gives up commands after so many seconds.
    static func start(
        seconds: UInt32, _ capabilities: BackendCapabilities = .init()
    ) async throws -> (UnitRig<ScriptedBackend>, BackendScript) {
        let script = BackendScript(size: size, capabilities: capabilities)
        var facts = BackstoreFacts(serial: "0123456789abcdef")
        facts.commandTimeoutSeconds = seconds
        let rig = try await UnitRig.start(ScriptedBackend(script), facts: facts, isGivenUpByKernel: true)
        let unit: any ControlledUnit = rig.unit
        await rig.loop.run(unit) { [facts] in unit.deliver(facts) }
        return (rig, script)
    }

    @Test("Once the kernel has given up a WRITE, no newer command overtakes it", arguments: [true, false])
    func expired(_ isRead: Bool) async throws {
        let (rig, script) = try await Self.start(seconds: 1)
        script.answer(.held)
        let late = try rig.send(InitiatorCDB.write10(5, 1), dataOut: Self.filled(0x11))
        #expect(script.waitForHeld(1))
        #expect(await rig.events.wait { if case .commandsLate = $0 { true } else { false } })
        script.answer(.immediate)
        let newer =
            isRead
            ? try rig.run(InitiatorCDB.read10(5, 1), dataInLength: 512)
            : try rig.run(InitiatorCDB.write10(5, 1), dataOut: Self.filled(0x22))
        #expect(newer.status == 0x08)
        script.release()
        #expect(rig.ends(1)[late]?.status == 0)
        #expect(try rig.run(InitiatorCDB.write10(5, 1), dataOut: Self.filled(0x22)).status == 0)
        #expect(script.content[5 * 512] == 0x22)
        await rig.stop()
    }

    @Test("A command that waits for another one and expires is not carried out")
    func expiredWaiting() async throws {
        let (rig, script) = try await Self.start(seconds: 1)
        script.answer(.held)
        let compare = try rig.send(
            InitiatorCDB.compareAndWrite(4, 1), dataOut: Self.filled(0) + Self.filled(0x33))
        #expect(script.waitForHeld(1))
        let write = try rig.send(InitiatorCDB.write10(4, 1), dataOut: Self.filled(0x11))
        #expect(rig.ends(1)[write]?.status == 0x08)
        // Read, compared, and not written: its initiator has been told that it is over.
        script.answer(.immediate)
        script.release()
        #expect(rig.ends(1)[compare]?.status == 0x08)
        #expect(script.content[4 * 512] == 0)
        #expect(script.operations.map(\.kind) == [.read])
        await rig.stop()
    }

    @Test("Without a limit of the kernel's nothing is late")
    func unlimited() async throws {
        let (rig, script) = try await Self.start(seconds: 0)
        script.answer(.held)
        let read = try rig.send(InitiatorCDB.read10(5, 1), dataInLength: 512)
        #expect(script.waitForHeld(1))
        usleep(1_200_000)
        #expect(rig.events.count { if case .commandsLate = $0 { true } else { false } } == 0)
        script.release()
        #expect(rig.ends(1)[read]?.status == 0)
        await rig.stop()
    }

    @Test("Until configfs has been read the kernel's default counts, and it is asked for")
    func unknown() async throws {
        let script = BackendScript(size: Self.size)
        let rig = try await UnitRig.start(ScriptedBackend(script), facts: nil, isGivenUpByKernel: true)
        script.answer(.held)
        let read = try rig.send(InitiatorCDB.read10(5, 1), dataInLength: 512)
        #expect(script.waitForHeld(1))
        #expect(await rig.events.wait { if case .factsNeeded = $0 { true } else { false } })
        script.release()
        #expect(rig.ends(1)[read]?.status == 0)
        #expect(Limits.patience(kernelTimeout: 30_000) == 29_500)
        #expect(Limits.patience(kernelTimeout: 1000) == 500)
        #expect(Limits.patience(kernelTimeout: 0) == nil)
        await rig.stop()
    }

    @Test("A WRITE that was aborted and is still in the backend is waited for by what overlaps it")
    func aborted() async throws {
        let (rig, script) = try await Self.start(seconds: 0)
        script.answer(.held)
        let old = try rig.send(InitiatorCDB.write10(5, 1), dataOut: Self.filled(0x11))
        #expect(script.waitForHeld(1))
        #expect(rig.kernel.postTaskManagement(type: 1, ids: [old]))
        rig.kernel.notify()
        let newer = try rig.send(InitiatorCDB.write10(5, 1), dataOut: Self.filled(0x22))
        let elsewhere = try rig.send(InitiatorCDB.write10(9, 1), dataOut: Self.filled(0x33))
        #expect(script.waitForHeld(2))
        try rig.passBy()
        #expect(script.operations.map(\.extent.offset) == [5 * 512, 9 * 512])
        script.answer(.immediate)
        // The newest first, as a backend without order might.
        script.release(.newestFirst)
        let finished = rig.ends(3)
        #expect([old, newer, elsewhere].allSatisfy { finished[$0]?.status == 0 })
        #expect(script.content[5 * 512] == 0x22)
        await rig.stop()
    }

    // MARK: - COMPARE AND WRITE

    /// What COMPARE AND WRITE comes to when an operation of it fails: the errno, the operation, whether the cache has to be
    /// flushed by the unit, and the answer; nil is BUSY or TASK SET FULL, for what has not been done.
    static let failures: [(CInt, BackendScript.Kind, native: Bool, cached: Bool, codes: [UInt8]?)] = [
        (ETIMEDOUT, .compareAndWrite, true, false, [4, 8, 1]),
        (ESHUTDOWN, .compareAndWrite, true, false, [4, 8, 1]),
        (EBUSY, .compareAndWrite, true, false, nil), (EAGAIN, .compareAndWrite, true, false, nil),
        (ENOMEM, .compareAndWrite, true, false, nil),
        (EIO, .compareAndWrite, true, false, [3, 0x0C, 0]),
        (ETIMEDOUT, .write, false, false, [4, 8, 1]), (ESHUTDOWN, .write, false, true, [4, 8, 1]),
        (EAGAIN, .write, false, false, nil), (EBUSY, .write, false, true, nil),
        // Written already.
        (ETIMEDOUT, .flush, false, true, [4, 8, 1]), (EAGAIN, .flush, false, true, [4, 8, 1]),
        (EBUSY, .flush, false, true, [4, 8, 1]),
        // Nothing written yet.
        (ETIMEDOUT, .read, false, false, nil), (ESHUTDOWN, .read, false, true, nil),
    ]

    @Test("COMPARE AND WRITE is BUSY only where nothing was done", arguments: failures)
    func compareAndWrite(
        _ row: (errno: CInt, kind: BackendScript.Kind, native: Bool, cached: Bool, codes: [UInt8]?)
    ) async throws {
        var capabilities = BackendCapabilities()
        capabilities.volatileCache = row.cached
        capabilities.nativeCompareAndWriteBytes = row.native ? 512 : 0
        let (rig, script) = try await Self.start(seconds: 0, capabilities)
        var cdb = InitiatorCDB.compareAndWrite(1, 1)
        if row.cached { cdb[1] = 0x08 }
        script.fail(row.kind, with: row.errno)
        let done = try rig.run(cdb, dataOut: Self.filled(0) + Self.filled(0x77))
        #expect(done.codes == row.codes)
        if row.codes == nil { #expect(done.status == 0x08 || done.status == 0x28) }
        await rig.stop()
    }

    @Test("What leaves the same when it is done twice may come again", arguments: [ETIMEDOUT, ESHUTDOWN])
    func repeatable(_ errno: CInt) async throws {
        let (rig, script) = try await Self.start(seconds: 0, Backends.capable())
        let list = InitiatorCDB.unmapParameters([(0, 8)])
        let rows: [([UInt8], [UInt8])] = [
            (InitiatorCDB.write10(1, 1), Self.filled(1)), (InitiatorCDB.orWrite16(1, 1), Self.filled(1)),
            (InitiatorCDB.writeSame16(1, 4), Self.filled(1)), (InitiatorCDB.writeSame16(1, 4), Self.filled(0)),
            (InitiatorCDB.writeAndVerify10(1, 1), Self.filled(1)),
            (InitiatorCDB.unmap(parameterListLength: UInt16(list.count)), list),
        ]
        for kind in [BackendScript.Kind.write, .writeSame, .discard, .writeZeroes] {
            script.fail(kind, with: errno)
        }
        for (cdb, data) in rows { #expect(try rig.run(cdb, dataOut: data).status == 0x08) }
        await rig.stop()
    }

    @Test("COMPARE AND WRITE whose ring is lost between read and write does not write")
    func ringLost() async throws {
        let (rig, script) = try await Self.start(seconds: 0)
        script.answer(.held)
        _ = try rig.send(InitiatorCDB.compareAndWrite(4, 1), dataOut: Self.filled(0) + Self.filled(0x33))
        #expect(script.waitForHeld(1))
        rig.kernel.forceHead(7)
        rig.kernel.notify()
        #expect(await rig.events.wait { if case .ringFailed = $0 { true } else { false } })
        script.answer(.immediate)
        script.release()
        #expect(await rig.waitUntilIdle())
        #expect(script.operations.map(\.kind) == [.read])
        await rig.stop()
    }

    // MARK: - The medium, and not a cache

    /// READ with FUA.
    static var forced: [UInt8] {
        var cdb = InitiatorCDB.read10(1, 1)
        cdb[1] = 0x08
        return cdb
    }

    @Test("READ with FUA and VERIFY write a cache back first, and read the medium")
    func medium() async throws {
        for (hasCache, cdb, length) in [
            (true, Self.forced, 512), (true, InitiatorCDB.verify10(1, 1), 0),
            (false, Self.forced, 512), (false, InitiatorCDB.verify10(1, 1), 0),
        ] {
            var capabilities = BackendCapabilities()
            capabilities.volatileCache = hasCache
            let (rig, script) = try await Self.start(seconds: 0, capabilities)
            #expect(try rig.run(cdb, dataInLength: length).status == 0)
            #expect(script.operations.map(\.kind) == (hasCache ? [.flush, .read] : [.read]))
            #expect(script.operations.last?.isOfMedium == hasCache)
            script.fail(.flush, with: EIO)
            #expect(try rig.run(cdb, dataInLength: length).status == (hasCache ? 2 : 0))
            await rig.stop()
        }
    }

    @Test("A unit that finds no address space leaves its backend to be closed")
    func noAddressSpace() async {
        await #expect(processExitsWith: .success) {
            let script = BackendScript(size: 512)
            let kernel = try RingSimulator(RingGeometry())
            let ring = try CommandRing(kernel.ringDescriptors())
            let profile = UnitProfile(
                name: "test/unit", capacity: Capacity(blocks: 1, blockSize: 512), maximumTransferBlocks: 8,
                configString: "test/unit")
            let unit = EngineUnit(profile: profile, backend: ScriptedBackend(script), ring: ring) { _ in }
            var limit = rlimit(rlim_cur: 1 << 20, rlim_max: 1 << 20)
            precondition(setrlimit(__rlimit_resource_t(9), &limit) == 0)
            precondition(!unit.attach(index: 0, inbox: CompletionInbox(wakeDescriptor: -1)))
            unit.closeBackend()
            precondition(script.isClosed)
        }
    }
}
