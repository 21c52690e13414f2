import SystemPackage
import TCMUNetlink
import TCMUTestKit
import Testing

@Suite("Netlink session against a peer that plays the kernel")
struct SessionTests {
    static let request = NetlinkRequest(kind: .added, deviceID: 9)

    @Test("promises answers with an acknowledged SET_FEATURES")
    func features() throws {
        let peer = try NetlinkPeer()
        let session = try peer.makeSession()
        let message = try #require(peer.nextMessage())
        #expect(message.type == NetlinkPeer.family)
        #expect(message.command == 7)
        #expect(message.version == 2)
        #expect(message.flags == 0x5)
        #expect(message.answersRequests == 1)
        #expect(session.kernelExpectsReplies)
        #expect(try session.receive() == [])
    }

    @Test("an old kernel without SET_FEATURES is told no answers")
    func oldKernel() throws {
        let peer = try NetlinkPeer()
        #expect(try peer.makeSession(error: -95).kernelExpectsReplies == false)
    }

    @Test("any other refusal of SET_FEATURES is an error")
    func refused() throws {
        let peer = try NetlinkPeer()
        let error = #expect(throws: NetlinkError.self) { try peer.makeSession(error: -1) }
        #expect(error == .featuresRefused(.notPermitted))
        #expect(
            error?.description == "netlink: the kernel refused SET_FEATURES: it takes CAP_NET_ADMIN, run as root")
    }

    @Test("events that overtake the acknowledgement are not lost")
    func early() throws {
        let peer = try NetlinkPeer()
        peer.send(.added, minor: 5, deviceID: 9, name: "tcm-user/1/a")
        let session = try peer.makeSession()
        #expect(
            try session.receive() == [
                .added(AnnouncedDevice(minor: 5, name: "tcm-user/1/a", request: Self.request))
            ])
        #expect(try session.receive() == [])
    }

    @Test(
        "answers as libnl reads them",
        arguments: [
            (NetlinkRequest.Kind.added, 4, nil, 0), (.added, 4, .noSuchFileOrDirectory, -2),
            (.removed, 5, nil, 0), (.reconfigured, 6, .notSupportedOnSocket, -95),
            (.reconfigured, 6, Errno(rawValue: -22), -22),
        ] as [(NetlinkRequest.Kind, UInt8, Errno?, Int32)])
    func replies(kind: NetlinkRequest.Kind, command: UInt8, error: Errno?, status: Int32) throws {
        let peer = try NetlinkPeer()
        let session = try peer.makeSession()
        _ = peer.nextMessage()
        try session.reply(to: NetlinkRequest(kind: kind, deviceID: 0xfffe_fdfc), error: error)
        let message = try #require(peer.nextMessage())
        #expect(message.command == command)
        #expect(message.status == status)
        #expect(message.deviceID == 0xfffe_fdfc)
        #expect(message.version == 2)
        #expect(message.flags == 0x1)
    }

    @Test("a life of a device, in order")
    func life() throws {
        let peer = try NetlinkPeer()
        let session = try peer.makeSession()
        let name = "tcm-user/1/a/mem/x"
        peer.send(.added, minor: 5, deviceID: 9, name: name)
        peer.send(.reconfigured, minor: 5, deviceID: 9, name: name, change: .configuration("mem/y"))
        peer.send(.reconfigured, minor: 5, deviceID: 9, name: name, change: .writeCache(true))
        peer.send(.removed, minor: 5, deviceID: 9, name: name)
        func device(_ kind: NetlinkRequest.Kind) -> AnnouncedDevice {
            AnnouncedDevice(minor: 5, name: name, request: NetlinkRequest(kind: kind, deviceID: 9))
        }
        #expect(
            try session.receive() == [
                .added(device(.added)), .reconfigured(device(.reconfigured), .configuration("mem/y")),
                .reconfigured(device(.reconfigured), .writeCache(true)), .removed(device(.removed)),
            ])
    }

    @Test("an answer the kernel did not take is reported with what it was for")
    func refusedReply() throws {
        let peer = try NetlinkPeer()
        let session = try peer.makeSession()
        _ = peer.nextMessage()
        try session.reply(to: Self.request, error: nil)
        let answer = try #require(peer.nextMessage())
        peer.acknowledge(sequence: answer.sequence, error: -19, original: answer.bytes)
        #expect(try session.receive() == [.replyRefused(Self.request, .operationNotSupportedByDevice)])
    }

    @Test("a message longer than any counts as lost events")
    func tooLong() throws {
        let peer = try NetlinkPeer()
        let session = try peer.makeSession(receiveBuffer: 1 << 20)
        peer.send([UInt8](repeating: 0, count: 20_000))
        #expect(try session.receive() == [.overrun])
    }

    @Test("a peer that hangs up is an error, not a busy loop")
    func hangUp() throws {
        var peer: NetlinkPeer? = try NetlinkPeer()
        let session = try #require(try peer?.makeSession())
        peer = nil
        #expect(throws: NetlinkError.system(call: "recvfrom", .connectionReset)) { try session.receive() }
        #expect(throws: NetlinkError.system(call: "send", .brokenPipe)) {
            try session.reply(to: Self.request, error: nil)
        }
    }

    @Test("without target_core_user in the kernel the error says so", .enabled(if: !hasTCMU))
    func noFamily() throws {
        let error = try #require(throws: NetlinkError.self) { try NetlinkSession(receiveBuffer: 4 << 20) }
        #expect(error == .familyMissing)
        #expect(error.description.contains("target_core_user is not loaded"))
    }
}

// One after the other: all these sockets are in one multicast group.
@Suite("Netlink session over a real netlink socket", .serialized, .enabled(if: canMulticast))
struct RealNetlinkTests {
    @Test("a full receive buffer is an overrun, and what fitted is still there")
    func overrun() throws {
        let peer = try NetlinkPeer(.netlink)
        let session = try peer.makeSession(receiveBuffer: 4096)
        let sent = 200
        for minor in 0..<UInt32(sent) { peer.send(.added, minor: minor, deviceID: 9, name: "tcm-user/1/a") }
        var events: [TCMUEvent] = []
        while case let more = try session.receive(), !more.isEmpty { events += more }
        #expect(events.contains(.overrun))
        let added = events.filter { if case .added = $0 { true } else { false } }
        #expect(added.count > 0)
        #expect(added.count < sent)
        peer.send(.removed, minor: 1, deviceID: 9, name: "tcm-user/1/a")
        #expect(try session.receive().count == 1)
    }

    @Test("another process's message is ignored")
    func stranger() throws {
        let peer = try NetlinkPeer(.netlink)
        let session = try peer.makeSession()
        let stranger = try NetlinkPeer(.netlink)
        stranger.send(.removed, minor: 1, deviceID: 9, name: "tcm-user/1/a")
        #expect(
            try session.receive() == [.ignored(reason: "message from port \(stranger.port), not from the kernel")])
    }

    @Test("a receive buffer beyond the system's limit is granted to root")
    func buffer() throws {
        let session = try NetlinkPeer(.netlink).makeSession(receiveBuffer: 4 << 20)
        #expect(session.receiveBufferSize >= 4 << 20)
    }
}

/// Whether the family is there, so that its absence cannot be tested.
private let hasTCMU: Bool = {
    do {
        _ = try FileDescriptor.open("/sys/module/target_core_user/parameters/block_netlink", .readOnly).close()
        return true
    } catch { return false }
}()

/// Joining a multicast group of user sockets takes CAP_NET_ADMIN.
private let canMulticast = (try? NetlinkPeer(.netlink)) != nil
