import Configuration
import KernelFiles
import LogicalUnit
import SCSI
import Testing

@testable import Daemon

@Suite("What configfs says of a unit's ports")
struct FactsReaderTests {
    static let device = SimulatedDevice(7, "mem/a")
    static let alua = "\(device.configFS)/alua"
    static let target = "iqn.2026-01.com.example:t0"

    /// A tree with the device and nothing besides.
    private func tree() -> KernelTree {
        let tree = KernelTree()
        tree.add(Self.device)
        return tree
    }

    private func read(_ tree: KernelTree) throws -> FactsReader.Reading {
        let configFS = ConfigFSTree(mountedAt: tree.configuration.configFSRoot)
        let name = try #require(BackstoreName(hba: 1, name: Self.device.name))
        return try FactsReader(tree: configFS, backstore: configFS.backstore(name)).read()
    }

    /// A group as the kernel shows it, active/optimized and implicit.
    private func add(
        _ group: String, id: Int, to tree: KernelTree, members: [String], _ changes: [String: String] = [:]
    ) {
        var files = [
            "tg_pt_gp_id": "\(id)", "alua_access_state": "0", "alua_access_status": "None",
            "alua_access_type": "Implicit", "alua_support_active_optimized": "1",
            "alua_support_active_nonoptimized": "1", "alua_support_standby": "1", "alua_support_unavailable": "0",
            "alua_support_offline": "0", "alua_support_transitioning": "1", "alua_support_lba_dependent": "0",
            "implicit_trans_secs": "0", "nonop_delay_msecs": "100", "trans_delay_msecs": "0", "preferred": "0",
            "members": members.map { "\($0)\n\0" }.joined(),
        ]
        files.merge(changes) { $1 }
        for (name, text) in files {
            tree.write(name == "members" ? text : "\(text)\n", to: "\(Self.alua)/\(group)/\(name)")
        }
    }

    /// The LUN 0 of a portal group; `enable` nil leaves the file out.
    private func addPort(
        _ tag: Int, to tree: KernelTree, index: Int, enable: String? = "1", fabric: String = "iscsi",
        target: String = target, protocolIdentifier: Int = 5
    ) {
        let group = "config/target/\(fabric)/\(target)/tpgt_\(tag)"
        if let enable { tree.write("\(enable)\n", to: "\(group)/enable") }
        tree.write("\(index)\n", to: "\(group)/lun/lun_0/statistics/scsi_port/indx")
        tree.write("\(protocolIdentifier)\n", to: "\(group)/lun/lun_0/statistics/scsi_transport/proto_id")
    }

    private func member(_ tag: Int) -> String { "iSCSI/\(Self.target)/tpgt_\(tag)/lun_0" }

    @Test("without groups: the serial, and no port")
    func bare() throws {
        let reading = try read(tree())
        #expect(reading.facts == BackstoreFacts(serial: "serial-7"))
        #expect(reading.skipped.isEmpty)
    }

    @Test("two gateways: the enabled port stands for the unit, all groups are told, in order of their numbers")
    func twoGateways() throws {
        let tree = tree()
        add("a-second", id: 2, to: tree, members: [member(2)], ["alua_access_state": "1"])
        add(
            "b-first", id: 1, to: tree, members: [member(1)],
            [
                "preferred": "1", "implicit_trans_secs": "30", "alua_access_status": "Altered by Implicit ALUA",
                "alua_support_offline": "1", "alua_support_unavailable": "1", "alua_support_lba_dependent": "1",
            ])
        addPort(1, to: tree, index: 11)
        addPort(2, to: tree, index: 12, enable: "0")
        let reading = try read(tree)
        #expect(reading.skipped.isEmpty)
        #expect(
            reading.facts.port
                == UnitIdentity.Port(
                    relativeIdentifier: 11, protocolIdentifier: 5, targetPortGroup: 1, targetName: Self.target,
                    portalGroupTag: 1))
        #expect(reading.facts.targetPortGroupSupport == .implicit)
        #expect(reading.facts.implicitTransitionSeconds == 30)
        // SPC-4 table 323: T O - LBD U S AN AO, from bit 7 down.
        #expect(
            reading.facts.targetPortGroups == [
                TargetPortGroupDescription(
                    preferred: true, state: 0, supportedStates: 0xDF, identifier: 1, status: 2,
                    relativePortIdentifiers: [11]),
                TargetPortGroupDescription(
                    preferred: false, state: 1, supportedStates: 0x87, identifier: 2, status: 0,
                    relativePortIdentifiers: [12]),
            ])
    }

    @Test("a group without a number is left out with a line about it; the others are told")
    func withoutNumber() throws {
        let tree = tree()
        add("new", id: 0, to: tree, members: [])
        tree.removeFile("\(Self.alua)/new/tg_pt_gp_id")
        add("ready", id: 1, to: tree, members: [member(1)])
        addPort(1, to: tree, index: 11)
        let reading = try read(tree)
        #expect(reading.facts.targetPortGroups.map(\.identifier) == [1])
        #expect(
            reading.skipped == ["cannot read \(tree.path)/\(Self.alua)/new/tg_pt_gp_id: No such file or directory"])
    }

    @Test(
        "a group whose content makes no sense is left out, too",
        arguments: ["alua_access_type", "members", "preferred"])
    func nonsense(file: String) throws {
        let tree = tree()
        add("odd", id: 3, to: tree, members: [], [file: "nonsense\n\0"])
        let reading = try read(tree)
        #expect(reading.facts.targetPortGroups.isEmpty)
        #expect(reading.skipped.count == 1)
        #expect(reading.skipped.first?.contains("alua/odd/\(file) holds \"nonsense\"") == true)
    }

    @Test("no port is enabled here: nothing is said of groups")
    func nothingEnabled() throws {
        let tree = tree()
        add("ao", id: 1, to: tree, members: [member(1)])
        addPort(1, to: tree, index: 11, enable: "0")
        #expect(try read(tree).facts == BackstoreFacts(serial: "serial-7"))
    }

    @Test("a port that cannot be read is left out, its group is not")
    func halfAPort() throws {
        let tree = tree()
        add("ao", id: 1, to: tree, members: [member(1), member(2)])
        addPort(1, to: tree, index: 11)
        let facts = try read(tree).facts
        #expect(facts.targetPortGroups.map(\.relativePortIdentifiers) == [[11]])
        #expect(facts.port?.relativeIdentifier == 11)
    }

    @Test("loopback has no enable file and is always on")
    func loopback() throws {
        let tree = tree()
        add("ao", id: 4, to: tree, members: ["loopback/naa.5001405000000001/tpgt_2/lun_0"])
        addPort(
            2, to: tree, index: 21, enable: nil, fabric: "loopback", target: "naa.5001405000000001",
            protocolIdentifier: 6)
        let port = try read(tree).facts.port
        #expect(
            port
                == UnitIdentity.Port(
                    relativeIdentifier: 21, protocolIdentifier: 6, targetPortGroup: 4,
                    targetName: "naa.5001405000000001", portalGroupTag: 2))
    }

    @Test("a transition time over 255 seconds is told as 255")
    func longTransition() throws {
        let tree = tree()
        add("ao", id: 1, to: tree, members: [member(1)], ["implicit_trans_secs": "4000"])
        addPort(1, to: tree, index: 11)
        #expect(try read(tree).facts.implicitTransitionSeconds == 255)
    }

    @Test("without the serial's file there are no facts")
    func noSerial() throws {
        let tree = tree()
        tree.removeFile("\(Self.device.configFS)/wwn/vpd_unit_serial")
        let error = #expect(throws: KernelFileError.self) { try read(tree) }
        #expect(error?.path == "\(tree.path)/\(Self.device.configFS)/wwn/vpd_unit_serial")
    }

    @Test("whom the kernel excludes is read when that is asked for, and what cannot be read is not known")
    func exclusion() throws {
        let tree = tree()
        let configFS = tree.configFS
        let reader = FactsReader(tree: configFS, backstore: try tree.backstore(of: Self.device))
        func ask(_ wantsExclusion: Bool) throws -> FactsReader.Reading {
            try reader.answer(FactsRequest(number: 1, wantsExclusion: wantsExclusion))
        }
        #expect(try ask(false).facts.exclusion == nil)
        #expect(try ask(true).facts.exclusion == .nobody)
        tree.write("SPC-2 Reservation: iSCSI Initiator: iqn.i\n", to: "\(Self.device.configFS)/pr/res_holder")
        #expect(try ask(true).facts.exclusion == Exclusion(reservation: .scsi2))
        tree.write("what?\n", to: "\(Self.device.configFS)/pr/res_holder")
        let reading = try ask(true)
        #expect(reading.facts.exclusion == nil)
        #expect(reading.facts.serial == "serial-7")
        #expect(reading.skipped.count == 1)
    }
}
