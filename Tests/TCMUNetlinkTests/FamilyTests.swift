import TCMUTestKit
import Testing

@testable import TCMUNetlink

@Suite("The family that comes and goes, and who else hears it")
struct FamilyTests {
    struct Row: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let command: UInt8
        let attributes: [(UInt16, [UInt8])]
        let event: TCMUEvent?
    }

    static let ours: (UInt16, [UInt8]) = (2, Array("TCM-USER".utf8) + [0])
    static let rows: [Row] = [
        Row(testDescription: "ours comes", command: 1, attributes: [(1, [0x2a, 0]), ours], event: .familyCame),
        Row(testDescription: "ours goes", command: 2, attributes: [ours, (1, [0x2a, 0])], event: .familyGone),
        Row(testDescription: "its group comes", command: 7, attributes: [ours], event: nil),
        Row(
            testDescription: "another one goes", command: 2, attributes: [(2, Array("nl80211".utf8) + [0])],
            event: nil),
        Row(testDescription: "without a name", command: 1, attributes: [(1, [0x2a, 0])], event: nil),
    ]

    @Test("news of the controller", arguments: rows)
    func news(row: Row) {
        let payload = GenericNetlinkPayload(
            command: row.command, version: 2,
            attributes: row.attributes.map { NetlinkAttribute(type: $0.0, value: $0.1) })
        let message = NetlinkMessage(type: NetlinkControl.controller, payload: payload.encoded())
        #expect(TCMUMessage.events(in: message.encoded()[...], family: 0x2a) == (row.event.map { [$0] } ?? []))
    }

    @Test("a cut message of the controller is nothing, and never a trap")
    func cut() {
        for length in 0..<12 {
            let message = NetlinkMessage(
                type: NetlinkControl.controller,
                payload: Array([1, 2, 0, 0, 40, 0, 2, 0, 84, 67, 77, 45].prefix(length)))
            #expect(TCMUMessage.events(in: message.encoded()[...], family: 0x2a).isEmpty)
        }
    }

    static let table = """
        sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode
        0000000000000000 0   1234       00000111 0        0        0     2        0        100
        0000000000000000 16  4711       00000020 0        0        0     2        0        101
        0000000000000000 16  0          00000000 0        0        0     2        0        102
        0000000000000000 16  4712       80008020 0        0        0     2        0        103
        0000000000000000 15  4713       00000020 0        0        0     2        0        104
        garbage

        """

    @Test(
        "sockets of a group, in a table of the kernel's",
        arguments: [(6, [4711, 4712]), (16, [4712]), (32, [4712]), (7, []), (0, []), (33, [])]
            as [(UInt32, [UInt32])])
    func listeners(group: UInt32, ports: [UInt32]) {
        #expect(NetlinkListeners.ports(in: Self.table, inGroup: group) == ports)
    }
}
