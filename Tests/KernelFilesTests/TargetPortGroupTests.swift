import SystemPackage
import Testing

@testable import KernelFiles

@Suite("Target port groups and target ports")
struct TargetPortGroupTests {
    /// A group as the kernel shows it.
    static let group: [String: String] = [
        "tg_pt_gp_id": "1\n", "alua_access_state": "0\n", "alua_access_status": "Altered by Implicit ALUA\n",
        "alua_access_type": "Implicit and Explicit\n", "alua_support_active_optimized": "1\n",
        "alua_support_active_nonoptimized": "1\n", "alua_support_standby": "0\n",
        "alua_support_unavailable": "0\n", "alua_support_offline": "1\n", "alua_support_transitioning": "1\n",
        "alua_support_lba_dependent": "0\n", "implicit_trans_secs": "30\n", "nonop_delay_msecs": "100\n",
        "trans_delay_msecs": "0\n", "preferred": "1\n",
        "members":
            "iSCSI/iqn.2026-01.com.example:t0/tpgt_1/lun_0\n\0loopback/naa.5001405000000001/tpgt_2/lun_7\n\0",
    ]

    static func backstore(_ group: [String: String]) throws -> (TemporaryTree, Backstore) {
        try BackstoreTests.backstore(Dictionary(uniqueKeysWithValues: group.map { ("alua/ao/\($0)", $1) }))
    }

    @Test("every attribute of a group")
    func attributes() throws {
        let (tree, backstore) = try Self.backstore(Self.group)
        let group = try withExtendedLifetime(tree) { try backstore.targetPortGroup("ao") }
        #expect(group.name == "ao")
        #expect(group.id == 1)
        #expect(group.accessState == 0)
        #expect(group.accessStatus == .alteredByImplicitALUA)
        #expect(group.accessType == .implicitAndExplicit)
        #expect(group.isPreferred)
        #expect(group.implicitTransitionSeconds == 30)
        #expect(group.nonOptimizedDelayMilliseconds == 100)
        #expect(group.transitionDelayMilliseconds == 0)
        var states = TargetPortGroupAttributes.SupportedStates()
        states.activeOptimized = true
        states.activeNonOptimized = true
        states.offline = true
        states.transitioning = true
        #expect(group.supportedStates == states)
        #expect(
            group.members.map(\.description) == [
                "iSCSI/iqn.2026-01.com.example:t0/tpgt_1/lun_0", "loopback/naa.5001405000000001/tpgt_2/lun_7",
            ])
        #expect(group.members.map(\.fabricDirectory) == ["iscsi", "loopback"])
    }

    @Test("groups are listed without the kernel's default one")
    func names() throws {
        let (tree, backstore) = try BackstoreTests.backstore([
            "alua/default_tg_pt_gp/members": "", "alua/b/members": "", "alua/a/members": "",
        ])
        #expect(try withExtendedLifetime(tree) { try backstore.targetPortGroupNames() } == ["a", "b"])
    }

    @Test("every attribute is needed, and each must make sense", arguments: Self.group.keys.sorted())
    func needed(file: String) throws {
        let broken: [String: String?] = ["missing": nil, "nonsense": "x\n", "beyond": "99999999999\n"]
        for (title, text) in broken {
            var group = Self.group
            group[file] = text
            let (tree, backstore) = try Self.backstore(group)
            let error = #expect(throws: KernelFileError.self, "\(title)") { try backstore.targetPortGroup("ao") }
            #expect(error?.path == "\(tree.path)/\(BackstoreTests.device)/alua/ao/\(file)", "\(title)")
        }
    }

    @Test("members: thousands of mappings are read whole")
    func manyMembers() throws {
        var group = Self.group
        group["members"] = (0..<3000).map { "iSCSI/iqn.2026-01.com.example:t/tpgt_1/lun_\($0)\n\0" }.joined()
        let (tree, backstore) = try Self.backstore(group)
        let members = try withExtendedLifetime(tree) { try backstore.targetPortGroup("ao").members }
        #expect(members.count == 3000)
        #expect(members.last?.unit == "lun_2999")
    }

    @Test(
        "members that are none",
        arguments: [
            "", "iSCSI", "iSCSI/iqn/tpgt_1", "iSCSI/iqn/tpgt_1/lun_0/x", "iSCSI/iqn/tpg_1/lun_0",
            "iSCSI/iqn/tpgt_/lun_0", "iSCSI/iqn/tpgt_65536/lun_0", "iSCSI/iqn/tpgt_-1/lun_0",
            "../iqn/tpgt_1/lun_0", "iSCSI/../tpgt_1/lun_0", "iSCSI//tpgt_1/lun_0", "iSCSI/iqn/tpgt_1/..",
        ])
    func malformedMembers(line: String) {
        #expect(TargetPortGroupMember(parsing: line) == nil)
    }

    @Test("a group's name cannot lead out of the tree")
    func groupName() throws {
        let (tree, backstore) = try Self.backstore(Self.group)
        #expect(throws: KernelFileError.self) { try backstore.targetPortGroup("../alua/ao") }
        withExtendedLifetime(tree) {}
    }

    @Test("a target port's identifiers and state")
    func port() throws {
        let group = "target/iscsi/iqn.t/tpgt_1"
        let tree = TemporaryTree([
            "\(group)/enable": "1\n",
            "\(group)/lun/lun_0/statistics/scsi_port/indx": "65535\n",
            "\(group)/lun/lun_0/statistics/scsi_transport/proto_id": "5\n",
            "\(group)/lun/lun_1/statistics/scsi_port/indx": "65536\n",
            "\(group)/lun/lun_1/statistics/scsi_transport/proto_id": "16\n",
        ])
        let configFS = ConfigFSTree(mountedAt: FilePath(tree.path))
        let good = configFS.targetPort(try #require(TargetPortGroupMember(parsing: "iSCSI/iqn.t/tpgt_1/lun_0")))
        #expect(try good.relativeIdentifier() == 65535)
        #expect(try good.protocolIdentifier() == 5)
        #expect(try good.isEnabled() == true)
        let bad = configFS.targetPort(try #require(TargetPortGroupMember(parsing: "iSCSI/iqn.t/tpgt_1/lun_1")))
        #expect(throws: KernelFileError.self) { try bad.relativeIdentifier() }
        #expect(throws: KernelFileError.self) { try bad.protocolIdentifier() }
        let none = configFS.targetPort(try #require(TargetPortGroupMember(parsing: "loopback/n/tpgt_1/lun_0")))
        #expect(try none.isEnabled() == nil)
    }
}
