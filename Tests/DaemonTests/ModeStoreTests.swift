import Configuration
import Glibc
import KernelFiles
import SCSI
import SystemPackage
import TCMUNetlink
import TCMUTestKit
import Testing

@testable import Daemon

@Suite("Mode parameters outlive the daemon, and not the device")
struct ModeStoreTests {
    static let device = SimulatedDevice(7, "file//srv/a\nb")

    /// A device in a tree, and where its parameters are kept.
    private func store(
        _ tree: KernelTree, boot: String = "boot-1", configuration: String = device.configuration
    ) throws -> ModeStore {
        tree.write("\(boot)\n", to: "boot_id")
        let root = FilePath(tree.path)
        return ModeStore(
            directory: root.appending("run"), backstore: try tree.backstore(of: Self.device),
            configuration: configuration, bootFile: root.appending("boot_id"))
    }

    private func tree() -> KernelTree {
        let tree = KernelTree()
        tree.add(Self.device)
        return tree
    }

    private static let changed = ModeParameters(
        writeCacheEnabled: false, softwareWriteProtect: true, descriptorSense: false)

    @Test("kept and read again, every value; nothing but the file is left")
    func kept() throws {
        let tree = tree()
        let store = try store(tree)
        #expect(store.read() == nil)
        for bits in 0..<8 {
            let parameters = ModeParameters(
                writeCacheEnabled: bits & 1 != 0, softwareWriteProtect: bits & 2 != 0,
                descriptorSense: bits & 4 != 0)
            let file = try store.write(parameters)
            #expect(store.read() == parameters)
            #expect(access(file.string, F_OK) == 0 && access(file.string + ".new", F_OK) != 0)
        }
    }

    @Test("another boot's, another configuration's, another directory's of the same name are not taken")
    func others() throws {
        let tree = tree()
        let file = try store(tree).write(Self.changed)
        #expect(try store(tree, boot: "boot-2").read() == nil)
        #expect(try store(tree, configuration: "file//srv/b").read() == nil)
        #expect(try store(tree).read() == Self.changed)
        // Under another name while the next one is made: inodes of this file system come again at once.
        let path = "\(tree.path)/\(Self.device.configFS)"
        #expect(rename(path, path + "-old") == 0)
        #expect(try store(tree).read() == nil, "no device")
        tree.add(Self.device)
        #expect(try store(tree).read() == nil, "the same name, not the same device")
        #expect(access(file.string, F_OK) == 0)
    }

    @Test(
        "what is broken or hostile is as nothing, and is replaced",
        arguments: ["", "x", "tcmud mode parameters 1\n", String(repeating: "\0", count: 100_000)])
    func broken(_ content: String) throws {
        let tree = tree()
        let store = try store(tree)
        let file = try store.write(Self.changed)
        tree.write(content, to: String(file.string.dropFirst(tree.path.count + 1)))
        #expect(store.read() == nil)
        _ = try store.write(Self.changed)
        #expect(store.read() == Self.changed)
        // Neither file leads elsewhere.
        let aside = "\(tree.path)/aside"
        for name in [file.string, file.string + ".new"] {
            unlink(name)
            #expect(symlink(aside, name) == 0)
        }
        #expect(store.read() == nil)
        _ = try store.write(Self.changed)
        #expect(store.read() == Self.changed && access(aside, F_OK) != 0)
    }

    @Test("where nothing can be written that is said, and what was kept before stays")
    func unwritable() throws {
        let tree = tree()
        let store = try store(tree)
        tree.write("", to: "run")
        #expect(throws: Errno.notDirectory) { try store.write(Self.changed) }
        #expect(store.read() == nil)
    }

    @Test("files of devices that are no more go, others stay")
    func pruned() throws {
        let tree = tree()
        let store = try store(tree)
        let file = try store.write(Self.changed)
        tree.write("x", to: "run/modes,user_1,12345678")
        tree.write("x", to: "run/portal-group,iscsi")
        let new = file.string + ".new"
        tree.write("x", to: String(new.dropFirst(tree.path.count + 1)))
        ModeStore.prune(store.directory, tree: tree.configFS)
        #expect(access(file.string, F_OK) == 0)
        #expect(access(new, F_OK) == 0, "it is being written")
        #expect(access("\(tree.path)/run/modes,user_1,12345678", F_OK) != 0)
        #expect(access("\(tree.path)/run/portal-group,iscsi", F_OK) == 0)
        tree.remove(Self.device)
        ModeStore.prune(store.directory, tree: tree.configFS)
        #expect(access(file.string, F_OK) != 0)
    }

    @Test("what another process kept while it had the node counts; changes are kept, and go with the device")
    func served() async throws {
        let rig = try DaemonRig()
        let ring = try KernelRing()
        var device = SimulatedDevice(7, "mem/a")
        device.mapSize = ring.simulator.geometry.mapSize
        rig.tree.add(device)
        rig.nodes.put(ring.simulator, minor: 7)
        rig.nodes.hold(minor: 7, true)
        try await rig.announce(.added, device)
        #expect(await rig.logs("another process has its node /dev/uio7 open"))
        let store = ModeStore(
            directory: rig.tree.configuration.runDirectory, backstore: try rig.tree.backstore(of: device),
            configuration: device.configuration)
        let file = try store.write(
            ModeParameters(writeCacheEnabled: false, softwareWriteProtect: false, descriptorSense: true))
        rig.nodes.hold(minor: 7, false)
        #expect(await rig.logs("mem/disk7: serving mem/a"))
        let sense = InitiatorCDB.modeSense6(page: 0x0A)
        let page = Array(try #require(await ring.perform(sense, dataInLength: 255)).dataIn.dropFirst(4))
        #expect(page[2] & 0x04 != 0, "D_SENSE")
        let list = InitiatorCDB.modeParameters(page, set: [4: 0x08], clear: [2: 0x04])
        let select = InitiatorCDB.modeSelect6(parameterListLength: UInt8(list.count))
        #expect(await ring.perform(select, dataOut: list)?.status == 0)
        let expected = ModeParameters(
            writeCacheEnabled: false, softwareWriteProtect: true, descriptorSense: false)
        #expect(store.read() == expected)
        let removed = try await rig.announce(.removed, device)
        #expect(await rig.answer(to: removed) == 0)
        #expect(await BlockingCall.wait(atMost: .seconds(60)) { access(file.string, F_OK) != 0 })
        await rig.stop()
    }
}
