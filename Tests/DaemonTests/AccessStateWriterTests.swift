import ALUA
import KernelFiles
import LogicalUnit
import SCSI
import Testing

@testable import Daemon

@Suite("Access states in configfs: read for what they are, written for initiators")
struct AccessStateWriterTests {
    static let device = SimulatedDevice(7, "mem/a")
    static let alua = "\(device.configFS)/alua"
    static let target = "iqn.2026-01.com.example:t0"

    /// Two gateways as ceph-iscsi makes them with explicit failover; the first one's portal group is on here.
    private func tree(type: String = "Implicit and Explicit", _ first: [String: String] = [:]) -> KernelTree {
        let tree = KernelTree()
        tree.add(Self.device)
        let made = ["alua_access_state": "2", "alua_access_type": type]
        tree.addGroup(
            "ao", id: 1, of: Self.device, members: ["iSCSI/\(Self.target)/tpgt_1/lun_0"],
            made.merging(["preferred": "1"]) { $1 }.merging(first) { $1 })
        tree.addGroup(
            "standby2", id: 2, of: Self.device, members: ["iSCSI/\(Self.target)/tpgt_2/lun_0"], made)
        tree.addPort(1, target: Self.target, index: 1)
        tree.addPort(2, target: Self.target, index: 2, enable: "0")
        return tree
    }

    private func state(_ group: String, _ tree: KernelTree) -> String {
        tree.read("\(Self.alua)/\(group)/alua_access_state").filter { $0 != "\n" }
    }

    private func plan(_ changes: (UInt16, AccessState)..., because cause: AccessStatePlan.Cause) -> AccessStatePlan
    {
        AccessStatePlan(changes.map { AccessStatePlan.Change(group: $0.0, state: $0.1) }, because: cause)
    }

    @Test(
        "what initiators are told of each access type",
        arguments: [
            ("None", TargetPortGroupSupport.implicit), ("Implicit", .implicit), ("Explicit", .explicit),
            ("Implicit and Explicit", .implicitAndExplicit),
        ])
    func types(type: String, support: TargetPortGroupSupport) throws {
        let tree = tree(type: type)
        let facts = try FactsReader(tree: tree.configFS, backstore: tree.backstore(of: Self.device)).read().facts
        #expect(facts.targetPortGroupSupport == support)
        #expect(facts.targetPortGroups.map(\.state) == [2, 2])
    }

    @Test("groups are found by number, and get state and cause")
    func writes() throws {
        let tree = tree()
        let writer = AccessStateWriter(backstore: try tree.backstore(of: Self.device))
        try writer.carryOut(plan((1, .activeOptimized), (2, .standby), because: .initiator))
        #expect(state("ao", tree) == "0")
        #expect(state("standby2", tree) == "2")
        #expect(tree.read("\(Self.alua)/ao/alua_access_status") == "1")
        #expect(tree.read("\(Self.alua)/standby2/alua_access_status") == "1")
    }

    @Test("the kernel takes states of implicit groups alone: one that is explicit is made both for the moment")
    func explicitAlone() throws {
        let tree = tree(type: "Explicit")
        let writer = AccessStateWriter(backstore: try tree.backstore(of: Self.device))
        try writer.carryOut(plan((1, .activeOptimized), because: .target))
        #expect(state("ao", tree) == "0")
        #expect(tree.read("\(Self.alua)/ao/alua_access_status") == "2")
        #expect(tree.read("\(Self.alua)/ao/alua_access_type") == "2")
    }

    @Test("a group that has gone, or has no number yet")
    func gone() throws {
        let tree = tree()
        tree.removeFile("\(Self.alua)/standby2/tg_pt_gp_id")
        let writer = AccessStateWriter(backstore: try tree.backstore(of: Self.device))
        #expect(throws: KernelFileError.self) {
            try writer.carryOut(plan((1, .activeOptimized), (2, .standby), because: .initiator))
        }
        #expect(state("ao", tree) == "0")
    }

    @Test("groups met for the first time: the preferred one here becomes active/optimized")
    func settles() throws {
        let tree = tree()
        let reader = FactsReader(tree: tree.configFS, backstore: try tree.backstore(of: Self.device))
        _ = try reader.readAndSettle()
        #expect(state("ao", tree) == "0")
        #expect(state("standby2", tree) == "2")
    }

    @Test(
        "groups that an initiator has set, that are not preferred or not explicit, stay as they are",
        arguments: [
            ["alua_access_status": "Altered by Explicit STPG"], ["preferred": "0"],
            ["alua_access_type": "Implicit"],
        ])
    func stays(changes: [String: String]) throws {
        let tree = tree(changes)
        let reader = FactsReader(tree: tree.configFS, backstore: try tree.backstore(of: Self.device))
        let reading = try reader.readAndSettle()
        #expect(state("ao", tree) == "2")
        #expect(reading.facts.targetPortGroups.map(\.state) == [2, 2])
        #expect(reading.skipped.isEmpty)
    }
}
