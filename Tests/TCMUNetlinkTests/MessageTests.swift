import SystemPackage
import TCMUTestKit
import Testing

@testable import TCMUNetlink

/// Bytes of lines of hexadecimal digits, each with what it is after `//`. Little-endian, as all our machines are.
func hex(_ lines: String) -> [UInt8] {
    let digits = lines.split(separator: "\n").flatMap { $0.prefix { $0 != "/" }.filter { !$0.isWhitespace } }
    return stride(from: 0, to: digits.count, by: 2).compactMap { UInt8(String(digits[$0..<($0 + 2)]), radix: 16) }
}

@Suite("Netlink messages")
struct MessageTests {
    static let family: UInt16 = 0x2a

    @Test("an answer, byte by byte")
    func reply() {
        let request = NetlinkRequest(kind: .added, deviceID: 0x0102_0304)
        let expected = hex(
            """
            24 00 00 00 // length 36
            2a 00       // type: the family
            01 00       // NLM_F_REQUEST
            07 00 00 00 // sequence
            00 00 00 00 // port
            04          // TCMU_CMD_ADDED_DEVICE_DONE
            02          // version
            00 00       // reserved
            08 00 07 00 // length 8, TCMU_ATTR_CMD_STATUS
            fe ff ff ff // -ENOENT
            08 00 08 00 // length 8, TCMU_ATTR_DEVICE_ID
            04 03 02 01
            """)
        #expect(TCMUMessage.reply(to: request, status: -2, family: Self.family, sequence: 7) == expected)
    }

    @Test("SET_FEATURES, byte by byte")
    func features() {
        let expected = hex(
            """
            1c 00 00 00 // length 28
            2a 00       // type: the family
            05 00       // NLM_F_REQUEST | NLM_F_ACK
            01 00 00 00 // sequence
            00 00 00 00 // port
            07          // TCMU_CMD_SET_FEATURES
            02          // version
            00 00       // reserved
            05 00 09 00 // length 5, TCMU_ATTR_SUPP_KERN_CMD_REPLY
            01 00 00 00 // 1 and padding
            """)
        #expect(TCMUMessage.answersRequests(family: Self.family, sequence: 1) == expected)
    }

    /// A RECONFIG_DEVICE with a new size, as the kernel of Debian 12 sends it.
    static let resize = hex(
        """
        48 00 00 00             // length 72
        2a 00 00 00             // type: the family; no flags
        00 00 00 00 00 00 00 00 // sequence, port
        03 02 00 00             // TCMU_CMD_RECONFIG_DEVICE, version 2
        15 00 01 00             // length 21, TCMU_ATTR_DEVICE
        74 63 6d 2d 75 73 65 72 2f 31 2f 61 2f 6d 65 6d 00 00 00 00 // "tcm-user/1/a/mem", NUL, padding
        08 00 02 00 05 00 00 00 // length 8, TCMU_ATTR_MINOR, 5
        08 00 08 00 09 00 00 00 // length 8, TCMU_ATTR_DEVICE_ID, 9
        0c 00 05 00             // length 12, TCMU_ATTR_DEV_SIZE
        00 00 00 40 00 00 00 00 // 1 GiB
        """)

    static let device = AnnouncedDevice(
        minor: 5, name: "tcm-user/1/a/mem", request: NetlinkRequest(kind: .reconfigured, deviceID: 9))

    @Test("an event, byte by byte")
    func event() {
        #expect(
            TCMUMessage.events(in: Self.resize[...], family: Self.family)
                == [.reconfigured(Self.device, .size(1 << 30))])
    }

    @Test("two messages in one datagram are two events")
    func twoMessages() {
        let events = TCMUMessage.events(in: (Self.resize + Self.resize)[...], family: Self.family)
        #expect(events.count == 2)
        #expect(events.allSatisfy { $0 == .reconfigured(Self.device, .size(1 << 30)) })
    }

    @Test(
        "every cut of an event is malformed or nothing, and never a trap", arguments: 0..<MessageTests.resize.count)
    func cut(length: Int) {
        let events = TCMUMessage.events(in: Self.resize.prefix(length), family: Self.family)
        #expect(
            events == (length == 0 ? [] : [.malformed(reason: "message longer than its datagram", request: nil)]))
        // The same with a header that says the cut length, so that the attributes are what does not fit.
        guard length >= 16 else { return }
        var bytes = Array(Self.resize.prefix(length))
        bytes[0] = UInt8(length)
        let inner = TCMUMessage.events(in: bytes[...], family: Self.family)
        #expect(inner.count == 1)
        switch inner.first {
        case .malformed(_, let request): #expect(request == (length >= 60 ? Self.device.request : nil))
        // At 60 bytes the event ends cleanly before its change: valid, with nothing to change.
        case .reconfigured(_, .unknown): #expect(length == 60)
        default: Issue.record("\(inner)")
        }
    }

    @Test("bytes changed at random are an event, malformed or ignored, never a trap")
    func mutated() {
        let seed: UInt64 = 0x5eed
        var state = seed
        func next() -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33)
        }
        for _ in 0..<20_000 {
            var bytes = Self.resize + Self.resize
            for _ in 0...(next() % 4) { bytes[next() % bytes.count] = UInt8(next() & 0xff) }
            let events = TCMUMessage.events(in: bytes[...], family: Self.family)
            #expect(events.count <= bytes.count / 16 + 1, "seed \(seed): \(bytes)")
        }
    }

    struct Row: CustomTestStringConvertible, Sendable {
        let title: String
        let command: UInt8
        var version: UInt8 = 2
        let attributes: [(UInt16, [UInt8])]
        let event: TCMUEvent
        var testDescription: String { title }
    }

    static let name: (UInt16, [UInt8]) = (1, Array("tcm-user/1/a".utf8) + [0])
    static let minor: (UInt16, [UInt8]) = (2, [5, 0, 0, 0])
    static let id: (UInt16, [UInt8]) = (8, [9, 0, 0, 0])
    static func device(_ kind: NetlinkRequest.Kind?) -> AnnouncedDevice {
        AnnouncedDevice(
            minor: 5, name: "tcm-user/1/a", request: kind.map { NetlinkRequest(kind: $0, deviceID: 9) })
    }
    static func malformed(_ kind: NetlinkRequest.Kind, _ what: String, answerable: Bool = true) -> TCMUEvent {
        .malformed(
            reason: "event \"\(kind)\" \(what)", request: answerable ? NetlinkRequest(kind: kind, deviceID: 9) : nil
        )
    }

    static let rows: [Row] = [
        Row(title: "added", command: 1, attributes: [name, minor, id], event: .added(device(.added))),
        Row(title: "removed", command: 2, attributes: [name, minor, id], event: .removed(device(.removed))),
        Row(title: "any order", command: 1, attributes: [id, name, minor], event: .added(device(.added))),
        Row(
            title: "version 1 wants no answer", command: 1, version: 1, attributes: [name, minor],
            event: .added(device(nil))),
        Row(
            title: "a later version is answered", command: 1, version: 3, attributes: [name, minor, id],
            event: .added(device(.added))),
        Row(
            title: "unknown attributes are passed over", command: 1,
            attributes: [(99, [1]), name, (3, []), minor, id],
            event: .added(device(.added))),
        Row(
            title: "flags in an attribute's type", command: 1, attributes: [name, (0x8002, [5, 0, 0, 0]), id],
            event: .added(device(.added))),
        Row(
            title: "new configuration", command: 3, attributes: [name, minor, id, (4, Array("mem/b".utf8) + [0])],
            event: .reconfigured(device(.reconfigured), .configuration("mem/b"))),
        Row(
            title: "write cache on", command: 3, attributes: [name, minor, id, (6, [1])],
            event: .reconfigured(device(.reconfigured), .writeCache(true))),
        Row(
            title: "write cache off", command: 3, attributes: [name, minor, id, (6, [0])],
            event: .reconfigured(device(.reconfigured), .writeCache(false))),
        Row(
            title: "a change from the future", command: 3, attributes: [name, minor, id, (10, [0])],
            event: .reconfigured(device(.reconfigured), .unknown)),
        Row(
            title: "two changes at once", command: 3,
            attributes: [name, minor, id, (6, [0]), (5, [UInt8](repeating: 0, count: 8))],
            event: malformed(.reconfigured, "with other than one valid change")),
        Row(
            title: "a size of four bytes", command: 3, attributes: [name, minor, id, (5, [0, 0, 0, 0])],
            event: malformed(.reconfigured, "with other than one valid change")),
        Row(title: "no minor", command: 1, attributes: [name, id], event: malformed(.added, "without a minor")),
        Row(
            title: "a minor of two bytes", command: 2, attributes: [name, (2, [5, 0]), id],
            event: malformed(.removed, "without a minor")),
        Row(
            title: "no name", command: 1, attributes: [minor, id], event: malformed(.added, "without a device name")
        ),
        Row(
            title: "no device id", command: 1, attributes: [name, minor],
            event: malformed(.added, "without a device id", answerable: false)),
        Row(
            title: "a name without its NUL", command: 1, attributes: [(1, Array("tcm-user/1/a".utf8)), minor, id],
            event: .added(device(.added))),
        Row(
            title: "a name that is not UTF-8", command: 1, attributes: [(1, [0xff, 0x41, 0]), minor, id],
            event: .added(
                AnnouncedDevice(minor: 5, name: "\u{fffd}A", request: NetlinkRequest(kind: .added, deviceID: 9)))),
        Row(title: "an answer overheard", command: 4, attributes: [id], event: .ignored(reason: "command 4")),
        Row(title: "no command", command: 0, attributes: [], event: .ignored(reason: "command 0")),
    ]

    @Test("events", arguments: rows)
    func events(_ row: Row) {
        let payload = GenericNetlinkPayload(
            command: row.command, version: row.version,
            attributes: row.attributes.map { NetlinkAttribute(type: $0.0, value: $0.1) })
        let message = NetlinkMessage(type: Self.family, payload: payload.encoded()).encoded()
        #expect(TCMUMessage.events(in: message[...], family: Self.family) == [row.event])
    }

    @Test("an attribute too long still leaves the device id before it")
    func longAttribute() {
        var payload = GenericNetlinkPayload(
            command: 2, version: 2,
            attributes: [NetlinkAttribute(type: 8, UInt32(9)), NetlinkAttribute(type: 1, value: [0x61, 0, 0, 0])]
        ).encoded()
        payload[12] = 0xff
        let message = NetlinkMessage(type: Self.family, payload: payload).encoded()
        #expect(
            TCMUMessage.events(in: message[...], family: Self.family)
                == [Self.malformed(.removed, "with an attribute longer than the message")])
    }

    @Test("another family's message is ignored")
    func foreign() {
        let message = NetlinkMessage(type: 0x11, payload: [1, 2, 3]).encoded()
        #expect(
            TCMUMessage.events(in: message[...], family: Self.family)
                == [.ignored(reason: "message of type 17, our family is 42")])
    }

    @Test("what libnl builds is what we parse")
    func libnl() {
        let bytes = NetlinkPeer.event(.reconfigured, 5, 9, "tcm-user/1/a/mem", .size(1 << 30), 2)
        #expect(
            TCMUMessage.events(in: bytes[...], family: NetlinkPeer.family)
                == [.reconfigured(Self.device, .size(1 << 30))])
    }
}
