import KernelFiles
import SystemPackage
import Testing

@testable import Daemon

@Suite("Portal groups that go with their storage")
struct PortalGroupSwitchTests {
    static let target = "iqn.2026-01.com.example:t0"
    static let journal = "run"

    /// Two devices: both in portal group 1, which is on; the first also in 2, which is off.
    struct Gateway {
        let tree = KernelTree()
        let log = LogRecorder()
        let one = SimulatedDevice(1, "mem/one")
        let two = SimulatedDevice(2, "mem/two")

        init() {
            for device in [one, two] { tree.add(device) }
            func member(_ tag: Int, _ lun: Int) -> String { "iSCSI/\(target)/tpgt_\(tag)/lun_\(lun)" }
            tree.addGroup("ao", id: 1, of: one, members: [member(1, 0)])
            tree.addGroup("ano2", id: 2, of: one, members: [member(2, 0)])
            tree.addGroup("default_tg_pt_gp", id: 0, of: two, members: [member(1, 1)])
            tree.addPort(1, target: PortalGroupSwitchTests.target, index: 1)
            tree.addPort(2, target: PortalGroupSwitchTests.target, index: 2, enable: "0")
        }

        private var target: String { PortalGroupSwitchTests.target }
        private var runDirectory: FilePath { FilePath(tree.path).appending(PortalGroupSwitchTests.journal) }

        func makeSwitch(patience: Duration = .zero) -> PortalGroupSwitch {
            PortalGroupSwitch(
                tree: tree.configFS, journal: runDirectory, patience: patience, logger: log.logger)
        }

        /// Whether the group is on.
        func enable(_ tag: Int) -> String {
            String(tree.read("config/target/iscsi/\(target)/tpgt_\(tag)/enable").prefix(1))
        }

        var noted: [String] { PortalGroupJournal(directory: runDirectory).entries().map(\.description) }
    }

    @Test("off with the loss, on with the return; a group that was off stays so")
    func lossAndReturn() async throws {
        let gateway = Gateway()
        let groups = gateway.makeSwitch()
        await groups.lost("one", try gateway.tree.backstore(of: gateway.one))
        #expect(gateway.enable(1) == "0")
        #expect(gateway.noted == ["iscsi/\(Self.target)/tpgt_1"])
        await groups.found("one")
        #expect(gateway.enable(1) == "1")
        #expect(gateway.enable(2) == "0")
        #expect(gateway.noted.isEmpty)
        #expect(gateway.log.contains("disabled iscsi/\(Self.target)/tpgt_1: the storage of one is away"))
        #expect(gateway.log.contains("enabled iscsi/\(Self.target)/tpgt_1 again"))
    }

    @Test("two units of one group: on again with the last of them")
    func two() async throws {
        let gateway = Gateway()
        let groups = gateway.makeSwitch()
        await groups.lost("one", try gateway.tree.backstore(of: gateway.one))
        await groups.lost("two", try gateway.tree.backstore(of: gateway.two))
        await groups.found("one")
        #expect(gateway.enable(1) == "0")
        await groups.found("two")
        #expect(gateway.enable(1) == "1")
    }

    @Test("ungrouped units are found by the kernel's own group")
    func ungrouped() async throws {
        let gateway = Gateway()
        let groups = gateway.makeSwitch()
        await groups.lost("two", try gateway.tree.backstore(of: gateway.two))
        #expect(gateway.enable(1) == "0")
        await groups.found("two")
        #expect(gateway.enable(1) == "1")
    }

    @Test("storage that is soon back costs no session")
    func patience() async throws {
        let gateway = Gateway()
        let groups = gateway.makeSwitch(patience: .seconds(3600))
        let backstore = try gateway.tree.backstore(of: gateway.one)
        let losing = Task { await groups.lost("one", backstore) }
        while await groups.losses["one"] == nil { await Task.yield() }
        await groups.found("one")
        // Ends the wait: patience is over.
        losing.cancel()
        await losing.value
        #expect(gateway.enable(1) == "1")
        #expect(!gateway.log.contains("disabled"))
    }

    @Test("storage that stays away for longer does")
    func impatience() async throws {
        let gateway = Gateway()
        let groups = gateway.makeSwitch(patience: .seconds(3600))
        let backstore = try gateway.tree.backstore(of: gateway.one)
        let losing = Task { await groups.lost("one", backstore) }
        while await groups.losses["one"] == nil { await Task.yield() }
        losing.cancel()
        await losing.value
        #expect(gateway.enable(1) == "0")
        await groups.found("one")
    }

    @Test("a group switched off by hand, or gone meanwhile, is left alone")
    func byHand() async throws {
        let gateway = Gateway()
        let groups = gateway.makeSwitch()
        gateway.tree.addPort(1, target: Self.target, index: 1, enable: "0")
        await groups.lost("one", try gateway.tree.backstore(of: gateway.one))
        await groups.found("one")
        #expect(gateway.enable(1) == "0", "it was off before")

        gateway.tree.addPort(1, target: Self.target, index: 1)
        await groups.lost("one", try gateway.tree.backstore(of: gateway.one))
        gateway.tree.removeFile("config/target/iscsi/\(Self.target)/tpgt_1/enable")
        await groups.found("one")
        #expect(gateway.noted.isEmpty)
    }

    @Test("a daemon that dies in between: the next one switches on what the journal says")
    func death() async throws {
        let gateway = Gateway()
        await gateway.makeSwitch().lost("one", try gateway.tree.backstore(of: gateway.one))
        #expect(gateway.enable(1) == "0")
        await gateway.makeSwitch().recover()
        #expect(gateway.enable(1) == "1")
        #expect(gateway.noted.isEmpty)
    }

    @Test("a group that cannot be switched on keeps no other one waiting")
    func oneFails() async throws {
        let gateway = Gateway()
        for tag in [1, 2] {
            gateway.tree.write(
                "iscsi/\(Self.target)/tpgt_\(tag)\n",
                to: "\(Self.journal)/portal-group,iscsi,\(Self.target),tpgt_\(tag)")
        }
        gateway.tree.addPort(1, target: Self.target, index: 1, enable: "neither")
        let groups = gateway.makeSwitch()
        let recovery = Task { await groups.recover() }
        while gateway.enable(2) != "1" { try await Task.sleep(for: .milliseconds(5)) }
        gateway.tree.addPort(1, target: Self.target, index: 1, enable: "0")
        await recovery.value
        #expect(gateway.enable(1) == "1")
        #expect(gateway.noted.isEmpty)
        #expect(gateway.log.contains("iscsi/\(Self.target)/tpgt_1 cannot be enabled again"))
    }

    @Test("what else lies in the directory is no note")
    func hostile() async throws {
        let gateway = Gateway()
        let one = "portal-group,iscsi,\(Self.target),tpgt_1"
        for (name, text) in [
            (one + ".tmp", "iscsi/\(Self.target)/tpgt_1\n"), (one, "iscsi/\(Self.target)/tpgt_1"),
            ("portal-group,iscsi,..,tpgt_1", "iscsi/../tpgt_1\n"), ("portal-group,", "\n"),
            ("else", "iscsi/a/tpgt_1\n"),
            ("portal-group,a", String(repeating: "a/", count: 5000)),
        ] {
            gateway.tree.write(text, to: "\(Self.journal)/\(name)")
        }
        #expect(gateway.noted.isEmpty)
        gateway.tree.write("iscsi/\(Self.target)/tpgt_1\n", to: "\(Self.journal)/\(one)")
        #expect(gateway.noted == ["iscsi/\(Self.target)/tpgt_1"])
    }

    @Test("without a directory for the journal nothing is switched off")
    func noJournal() async throws {
        let gateway = Gateway()
        gateway.tree.write("a file", to: Self.journal)
        let groups = gateway.makeSwitch()
        await groups.lost("one", try gateway.tree.backstore(of: gateway.one))
        #expect(gateway.enable(1) == "1")
        #expect(gateway.log.contains("iscsi/\(Self.target)/tpgt_1 stays enabled"))
    }
}
