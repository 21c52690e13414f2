import ALUA
import SCSI
import Testing

@Suite("Target port groups from the texts of configfs")
struct TargetPortGroupTests {
    /// What LIO shows for a group that ceph-iscsi made.
    private static let attributes: [String: String] = [
        "alua_access_state": "0",
        "alua_access_status": "Altered by Implicit ALUA",
        "alua_access_type": "Implicit",
        "alua_support_active_nonoptimized": "1",
        "alua_support_active_optimized": "1",
        "alua_support_lba_dependent": "0",
        "alua_support_offline": "0",
        "alua_support_standby": "1",
        "alua_support_transitioning": "1",
        "alua_support_unavailable": "0",
        "implicit_trans_secs": "45",
        "nonop_delay_msecs": "0",
        "trans_delay_msecs": "0",
        "tg_pt_gp_id": "1",
        "preferred": "0",
        "members":
            "iSCSI/iqn.2003-01.org.example:gw/tpgt_1/lun_0\n\0iSCSI/iqn.2003-01.org.example:gw/tpgt_1/lun_12\n\0",
    ]

    private static func group(_ changes: [String: String?] = [:]) throws(TargetPortGroup.AttributeError)
        -> TargetPortGroup
    {
        var texts = attributes
        for (name, text) in changes { texts[name] = text }
        return try TargetPortGroup(name: "ao") { texts[$0] }
    }

    @Test("a whole group")
    func whole() throws {
        let member = TargetPortGroup.Member(
            fabric: "iSCSI", targetName: "iqn.2003-01.org.example:gw", portalGroupTag: 1, lun: 0)
        var second = member
        second.lun = 12
        let expected = TargetPortGroup(
            name: "ao", identifier: 1, preferred: false, state: .activeOptimized,
            supportedStates: [.activeOptimized, .activeNonOptimized, .standby, .transitioning],
            status: .alteredByImplicitALUA, type: .implicit, implicitTransitionSeconds: 45,
            members: [member, second])
        #expect(try Self.group() == expected)
    }

    @Test("the description that REPORT TARGET PORT GROUPS sends")
    func description() throws {
        let group = try Self.group(["preferred": "1", "alua_access_state": "14", "tg_pt_gp_id": "65535"])
        let expected = TargetPortGroupDescription(
            preferred: true, state: 0x0E, supportedStates: 0x87, identifier: 0xFFFF, status: 2,
            relativePortIdentifiers: [3, 4])
        #expect(group.description(relativePortIdentifiers: [3, 4]) == expected)
    }

    @Test(
        "each support flag sets its bit",
        arguments: [
            ("alua_support_active_optimized", UInt8(0x01)), ("alua_support_active_nonoptimized", 0x02),
            ("alua_support_standby", 0x04), ("alua_support_unavailable", 0x08),
            ("alua_support_lba_dependent", 0x10),
            ("alua_support_offline", 0x40), ("alua_support_transitioning", 0x80),
        ])
    func supportFlags(_ attribute: String, _ bit: UInt8) throws {
        var changes: [String: String?] = [:]
        for name in Self.attributes.keys where name.hasPrefix("alua_support_") { changes[name] = "0" }
        #expect(try Self.group(changes).supportedStates.rawValue == 0)
        changes[attribute] = "1"
        #expect(try Self.group(changes).supportedStates.rawValue == bit)
    }

    @Test("a group fails to load on any attribute that cannot be read, and names it")
    func missing() {
        let unused: Set = ["members", "nonop_delay_msecs", "trans_delay_msecs"]
        for name in Self.attributes.keys where !unused.contains(name) {
            #expect(throws: TargetPortGroup.AttributeError(group: "ao", attribute: name, text: nil)) {
                try Self.group([name: nil])
            }
        }
    }

    @Test(
        "a group fails to load on a text that LIO does not write, and shows it",
        arguments: [
            ("alua_access_state", "5"), ("alua_access_state", "300"), ("alua_access_state", "-1"),
            ("alua_access_status", "none"), ("alua_access_type", "Explict"), ("alua_support_standby", "yes"),
            ("implicit_trans_secs", "256"), ("tg_pt_gp_id", ""), ("tg_pt_gp_id", "65536"), ("preferred", "?"),
            ("members", "iSCSI/iqn.x/tpgt_1"),
        ])
    func malformed(_ name: String, _ text: String) {
        #expect(throws: TargetPortGroup.AttributeError(group: "ao", attribute: name, text: text)) {
            try Self.group([name: text])
        }
    }

    @Test("the error reads as one line")
    func errorText() {
        let unknown = TargetPortGroup.AttributeError(group: "ao", attribute: "preferred", text: "?")
        #expect(unknown.description == "ALUA group ao: preferred has unknown value '?'")
        let missing = TargetPortGroup.AttributeError(group: "ao", attribute: "preferred", text: nil)
        #expect(missing.description == "ALUA group ao: preferred cannot be read")
    }

    @Test("a group without members has no ports")
    func noMembers() throws {
        #expect(try Self.group(["members": nil]).members == [])
        #expect(try Self.group(["members": ""]).members == [])
    }

    @Test(
        "members of other fabrics and forms",
        arguments: [
            ("loopback/naa.5001405abcdef012/tpgt_0/lun_0", "loopback", "loopback"),
            ("iSCSI/iqn.a/tpgt_65535/lun_18446744073709551615", "iSCSI", "iscsi"),
        ])
    func members(_ line: String, _ fabric: String, _ directory: String) throws {
        let member = try #require(TargetPortGroup.Member(configfs: line))
        #expect(member.fabric == fabric)
        #expect(member.fabricDirectory == directory)
    }

    @Test(
        "what is no member",
        arguments: [
            "", "/", "///", "iSCSI/iqn.a/tpgt_1/lun_", "iSCSI/iqn.a/tpgt_/lun_0", "iSCSI//tpgt_1/lun_0",
            "/iqn.a/tpgt_1/lun_0", "iSCSI/iqn.a/tpgt_65536/lun_0", "iSCSI/iqn.a/tpgt_-1/lun_0",
            "iSCSI/iqn.a/tpgt_1/lun_0/x", "iSCSI/iqn.a/lun_0/tpgt_1",
        ])
    func noMember(_ line: String) {
        #expect(TargetPortGroup.Member(configfs: line) == nil)
    }

    @Test(
        "INQUIRY says implicit for every access type, so that no unit vanishes",
        arguments: [
            ("None", AccessType.none), ("Implicit", .implicit), ("Explicit", .explicit),
            ("Implicit and Explicit", .implicitAndExplicit),
        ])
    func accessTypes(_ text: String, _ type: AccessType) throws {
        let group = try Self.group(["alua_access_type": text])
        #expect(group.type == type)
        #expect(group.type.targetPortGroupSupport == .implicit)
    }
}
