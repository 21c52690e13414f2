import Configuration
import Glibc
import SystemPackage
import TCMUNetlink
import TCMUTestKit
import Testing

@testable import Daemon

/// A subtype of nobody's must not hold up the configuration behind it, and another daemon must not notice us.
@Suite("Devices with a subtype that is not served here")
struct ForeignDeviceTests {
    private func foreign(_ rig: DaemonRig, enabled: Bool = false) throws -> (SimulatedDevice, KernelRing) {
        let ring = try KernelRing()
        var device = SimulatedDevice(1, "qcow//image")
        device.mapSize = ring.simulator.geometry.mapSize
        rig.tree.add(device)
        rig.tree.write(enabled ? "1\n" : "0\n", to: "\(device.configFS)/enable")
        rig.nodes.put(ring.simulator, minor: 1)
        return (device, ring)
    }

    @Test(
        "what no daemon answers is answered after the patience",
        arguments: [
            (.added, -Errno.noSuchFileOrDirectory.rawValue), (.removed, 0),
            (.reconfigured, -Errno.notSupportedOnSocket.rawValue),
        ] as [(NetlinkRequest.Kind, Int32)])
    func deserted(kind: NetlinkRequest.Kind, status: Int32) async throws {
        let rig = try DaemonRig { $0.foreignPatience = .milliseconds(300) }
        let (device, ring) = try foreign(rig)
        let request = try await rig.announce(kind, device, change: kind == .reconfigured ? .size(5) : nil)
        #expect(await rig.answer(to: request) == status)
        #expect(rig.log.contains("no daemon has taken it"))
        await rig.stop()
        #expect(rig.allAnswers == [request: [status]])
        withExtendedLifetime(ring) {}
    }

    @Test("an answer that another daemon has given is not given again")
    func enabled() async throws {
        let rig = try DaemonRig { $0.foreignPatience = .milliseconds(50) }
        let (device, _) = try foreign(rig, enabled: true)
        try await rig.announce(.added, device)
        try await rig.expectSilence()
        await rig.stop()
    }

    @Test("a daemon that has the node is waited for, however slow it is")
    func held() async throws {
        let rig = try DaemonRig { $0.foreignPatience = .milliseconds(50) }
        let (device, _) = try foreign(rig)
        rig.nodes.hold(minor: 1, true)
        #expect(await rig.table.owesAnAnswer() == false)
        let added = try await rig.announce(.added, device)
        try await rig.expectSilence()
        // A reset of netlink would fail it.
        #expect(await rig.table.owesAnAnswer())
        // It ends without an answer.
        rig.nodes.hold(minor: 1, false)
        #expect(await rig.answer(to: added) == -Errno.noSuchFileOrDirectory.rawValue)
        let table = rig.table
        #expect(await BlockingCall.wait(atMost: .seconds(60)) { await !table.owesAnAnswer() })
        await rig.stop()
    }

    @Test("subtypes left alone by name, and patience without end, are never answered", arguments: [true, false])
    func leftAlone(byName: Bool) async throws {
        let rig = try DaemonRig {
            $0.foreignPatience = byName ? .milliseconds(50) : nil
            $0.foreignSubtypes = byName ? ["qcow"] : []
        }
        let (device, _) = try foreign(rig)
        for kind in [NetlinkRequest.Kind.added, .removed] { try await rig.announce(kind, device) }
        #expect(rig.log.contains("Left to its own daemon, unanswered"))
        try await rig.expectSilence()
        await rig.stop()
    }

    @Test("a device that has gone meanwhile is not answered for")
    func gone() async throws {
        let rig = try DaemonRig { $0.foreignPatience = .milliseconds(50) }
        let (device, _) = try foreign(rig)
        try await rig.announce(.removed, device)
        rig.tree.remove(device)
        try await rig.expectSilence()
        await rig.stop()
    }

    @Test("found at the start: told of once, and left alone")
    func found() async throws {
        let rig = try DaemonRig()
        let (device, _) = try foreign(rig)
        for _ in 0..<3 { #expect(await rig.table.rescan() == 0) }
        #expect(rig.log.lines.filter { $0.contains("disk1 wants backend \"qcow\"") }.count == 1)
        #expect(rig.tree.read("\(device.configFS)/action/block_dev") == "unblocked\n")
        #expect(rig.nodes.openings(minor: 1) == 0)
        await rig.stop()
    }
}
