import Configuration
import Glibc
import KernelFiles
import LogicalUnit
import SystemPackage
import TCMUNetlink
import TCMUTestKit
import Testing

@testable import Daemon

@Suite("An erasure that has not reached its end outlives the daemon, and not the device")
struct ErasureStoreTests {
    private static let device = SimulatedDevice(7, "file//srv/a")
    private static let all: [KeptErasure] = [
        KeptErasure(isSanitize: false, mayExit: false), KeptErasure(isSanitize: true, mayExit: false),
        KeptErasure(isSanitize: true, mayExit: true),
    ]

    private func store(_ tree: KernelTree) throws -> ErasureStore {
        tree.write("boot-1\n", to: "boot_id")
        let root = FilePath(tree.path)
        return ErasureStore(
            directory: root.appending("run"), backstore: try tree.backstore(of: Self.device),
            configuration: Self.device.configuration, bootFile: root.appending("boot_id"))
    }

    @Test("kept and read again, every one; none is no file; beside mode parameters")
    func kept() throws {
        let tree = KernelTree()
        tree.add(Self.device)
        let store = try store(tree)
        let modes = ModeStore(
            directory: store.directory, backstore: store.backstore, configuration: store.configuration,
            bootFile: store.bootFile)
        #expect(store.read() == nil)
        try store.write(nil)
        for erasure in Self.all {
            try store.write(erasure)
            #expect(store.read() == erasure && modes.read() == nil)
        }
        let file = try #require(store.file)
        KeptFile.prune(store.directory, tree: tree.configFS)
        #expect(store.read() == Self.all.last)
        try store.write(nil)
        #expect(store.read() == nil && access(file.string, F_OK) != 0)
        try store.write(Self.all[0])
        tree.remove(Self.device)
        KeptFile.prune(store.directory, tree: tree.configFS)
        #expect(access(file.string, F_OK) != 0)
    }

    @Test("a daemon that finds one refuses the medium and says why; a SANITIZE ends it, and the file")
    func served() async throws {
        let rig = try DaemonRig()
        let ring = try KernelRing()
        var device = SimulatedDevice(7, "mem/a")
        device.mapSize = ring.simulator.geometry.mapSize
        rig.tree.add(device)
        rig.nodes.put(ring.simulator, minor: 7)
        let store = ErasureStore(
            directory: rig.tree.configuration.runDirectory, backstore: try rig.tree.backstore(of: device),
            configuration: device.configuration)
        try store.write(Self.all[0])
        let file = try #require(store.file)
        try await rig.announce(.added, device)
        #expect(await rig.logs("FORMAT UNIT has begun under an earlier daemon and did not reach its end"))
        #expect(await rig.logs("mem/disk7: serving mem/a"))
        let refused = await ring.perform(InitiatorCDB.testUnitReady)?.senseTriple
        #expect(refused.map { [$0.key, $0.asc, $0.ascq] } == [3, 0x31, 1])
        let list = InitiatorCDB.overwriteParameters([0x11])
        let cdb = InitiatorCDB.sanitizeOverwrite(parameterListLength: UInt16(list.count))
        #expect(await ring.perform(cdb, dataOut: list)?.status == 0)
        #expect(access(file.string, F_OK) != 0)
        #expect(await ring.perform(InitiatorCDB.testUnitReady)?.status == 0)
        try store.write(Self.all[1])
        let removed = try await rig.announce(.removed, device)
        #expect(await rig.answer(to: removed) == 0)
        #expect(await BlockingCall.wait(atMost: .seconds(60)) { access(file.string, F_OK) != 0 })
        await rig.stop()
    }

    @Test("a stop leaves word of an erasure exactly where it has failed", arguments: 0..<24)
    func stopped(_ round: Int) async throws {
        let rig = try DaemonRig()
        let ring = try KernelRing()
        var device = SimulatedDevice(7, "mem/a")
        device.mapSize = ring.simulator.geometry.mapSize
        device.bytes = 16 << 20
        rig.tree.add(device)
        rig.nodes.put(ring.simulator, minor: 7)
        let store = ErasureStore(
            directory: rig.tree.configuration.runDirectory, backstore: try rig.tree.backstore(of: device),
            configuration: device.configuration)
        try await rig.announce(.added, device)
        #expect(await rig.logs("mem/disk7: serving mem/a"))
        let list = InitiatorCDB.overwriteParameters([0x11])
        let cdb = InitiatorCDB.sanitizeOverwrite(parameterListLength: UInt16(list.count))
        let id = try #require(ring.simulator.post(cdb: cdb, dataOut: list))
        ring.simulator.notify()
        // From before it is taken to after its end.
        usleep(UInt32(round) * 1000)
        await rig.stop()
        // Nil: blocked before it was taken, and BUSY is the kernel's then.
        let ended = ring.simulator.reapCompletions(withoutDoorbell: true).first { $0.id == id }
        let hasFailed = ended?.senseTriple?.key == 3
        #expect((store.read() != nil) == hasFailed, "status \(ended?.status ?? 0xFF), \(ended?.sense ?? [])")
    }
}
