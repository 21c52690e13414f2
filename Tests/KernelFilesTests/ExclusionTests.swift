import SystemPackage
import Testing

@testable import KernelFiles

@Suite("Whom the kernel excludes from a device")
struct ExclusionTests {
    static let holder = "SPC-3 Reservation: iSCSI Initiator: iqn.2026-01.com.example:a,i,0x00023d000001\n"

    @Test(
        "reservations, as the kernel prints them",
        arguments: [
            ("No SPC-3 Reservation holder\n", "No SPC-3 Reservation holder\n", .free),
            ("No SPC-2 Reservation Holder\n", "No SPC-3 Reservation holder\n", .free),
            ("SPC_RESERVATIONS_DISABLED\n", "SPC_RESERVATIONS_DISABLED\n", .free),
            ("Passthrough\n", "SPC_PASSTHROUGH\n", .free),
            ("SPC-2 Reservation: iSCSI Initiator: iqn.2026-01.com.example:a\n", "SPC2\n", .scsi2),
            (holder, "SPC-3 Reservation Type: Write Exclusive Access\n", .writeExclusive),
            (holder, "SPC-3 Reservation Type: Write Exclusive Access, Registrants Only\n", .writeExclusive),
            (holder, "SPC-3 Reservation Type: Write Exclusive Access, All Registrants\n", .writeExclusive),
            (holder, "SPC-3 Reservation Type: Exclusive Access\n", .exclusiveAccess),
            (holder, "SPC-3 Reservation Type: Exclusive Access, Registrants Only\n", .exclusiveAccess),
            (holder, "SPC-3 Reservation Type: Exclusive Access, All Registrants\n", .exclusiveAccess),
            (holder, "No SPC-3 Reservation holder\n", .free),
            (holder, "SPC-3 Reservation Type: Unknown SPC-3 Reservation Type\n", nil),
            ("", "", nil), ("something\n", "", nil),
        ] as [(String, String, DeviceReservation?)])
    func reservation(_ holder: String, _ type: String, _ expected: DeviceReservation?) throws {
        let (tree, backstore) = try BackstoreTests.backstore(["pr/res_holder": holder, "pr/res_pr_type": type])
        defer { withExtendedLifetime(tree) {} }
        guard let expected else {
            #expect(throws: KernelFileError.self) { try backstore.reservation() }
            return
        }
        #expect(try backstore.reservation() == expected)
    }

    @Test("a kernel that shows no reservations has none")
    func withoutReservations() throws {
        let (tree, backstore) = try BackstoreTests.backstore(["info": ""])
        #expect(try withExtendedLifetime(tree) { try backstore.reservation() } == .free)
    }

    /// A portal group with the device as LUN 3 and another one as LUN 4.
    private func tree(_ files: [String: String] = [:], fabric: String = "iscsi") -> TemporaryTree {
        let tree = TemporaryTree(["target/core/user_3/disk/info": "", "target/version": "5\n"])
        let group = "target/\(fabric)/iqn.2026-01.com.example:t/tpgt_1"
        tree.link("../../../../../../../target/core/user_3/disk", at: "\(group)/lun/lun_3/a")
        tree.link("../../../../../../../target/core/user_4/disk", at: "\(group)/lun/lun_4/b")
        tree.write("0\n", to: "\(group)/lun/lun_3/alua_tg_pt_offline")
        for (name, text) in files { tree.write(text, to: "\(group)/\(name)") }
        return tree
    }

    private func map(_ tree: TemporaryTree, _ number: Int, to unit: Int, fabric: String = "iscsi") {
        tree.link(
            "../../../../../../../../target/\(fabric)/iqn.2026-01.com.example:t/tpgt_1/lun/lun_\(unit)",
            at: "target/\(fabric)/iqn.2026-01.com.example:t/tpgt_1/acls/iqn.i/lun_\(number)/x")
    }

    private func hasReadOnlyMapping(_ tree: TemporaryTree) throws -> Bool {
        let name = try #require(BackstoreName(hba: 3, name: "disk"))
        let configFS = ConfigFSTree(mountedAt: FilePath(tree.path))
        return try configFS.hasReadOnlyMapping(of: configFS.backstore(name))
    }

    @Test(
        "portal groups that give all initiators their LUNs",
        arguments: [
            ([:], false),
            (["attrib/demo_mode_write_protect": "0\n", "attrib/generate_node_acls": "1\n"], false),
            (["attrib/demo_mode_write_protect": "1\n", "attrib/generate_node_acls": "1\n"], true),
            (["attrib/demo_mode_write_protect": "1\n", "attrib/generate_node_acls": "0\n"], false),
            (
                [
                    "attrib/demo_mode_write_protect": "1\n", "attrib/generate_node_acls": "0\n",
                    "dynamic_sessions": "iqn.i\n\0",
                ], true
            ),
        ] as [([String: String], Bool)], ["iscsi", "qla2xxx"])
    func demoMode(_ group: ([String: String], Bool), _ fabric: String) throws {
        let tree = tree(group.0, fabric: fabric)
        #expect(try hasReadOnlyMapping(tree) == group.1)
    }

    @Test("mapped LUNs: of this device, whatever their number, and of no other one")
    func mappedUnits() throws {
        let tree = tree(["acls/iqn.i/lun_0/write_protect": "0\n", "acls/iqn.i/lun_1/write_protect": "1\n"])
        map(tree, 0, to: 3)
        map(tree, 1, to: 4)
        #expect(try !hasReadOnlyMapping(tree))
        tree.write("1\n", to: "target/iscsi/iqn.2026-01.com.example:t/tpgt_1/acls/iqn.i/lun_0/write_protect")
        #expect(try hasReadOnlyMapping(tree))
    }

    @Test("a device that nobody is offered, and a tree without fabrics")
    func nothing() throws {
        let tree = TemporaryTree(["target/core/user_3/disk/info": ""])
        #expect(try !hasReadOnlyMapping(tree))
        #expect(try !hasReadOnlyMapping(TemporaryTree()))
    }

    @Test("sessions: of named initiators, of others, and of fabrics with one nexus")
    func sessions() throws {
        let tree = tree(["dynamic_sessions": "iqn.j\n\0iqn.k\n\0"])
        let name = try #require(BackstoreName(hba: 3, name: "disk"))
        let configFS = ConfigFSTree(mountedAt: FilePath(tree.path))
        func count() throws -> Int { try configFS.sessions(of: configFS.backstore(name)) }
        #expect(try count() == 2)
        map(tree, 0, to: 3)
        let initiator = "target/iscsi/iqn.2026-01.com.example:t/tpgt_1/acls/iqn.i"
        tree.write("No active iSCSI Session for Initiator Endpoint: iqn.i\n", to: "\(initiator)/info")
        #expect(try count() == 2)
        tree.write("InitiatorName: iqn.i\n", to: "\(initiator)/info")
        #expect(try count() == 3)
        let loop = "target/loopback/naa.5001405000000001/tpgt_1"
        tree.link("../../../../../../../target/core/user_3/disk", at: "\(loop)/lun/lun_0/a")
        #expect(try count() == 3)
        tree.write("naa.5001405000000002\n", to: "\(loop)/nexus")
        #expect(try count() == 4)
        #expect(try configFS.sessions(of: configFS.backstore(#require(BackstoreName(hba: 4, name: "disk")))) == 2)
    }
}
