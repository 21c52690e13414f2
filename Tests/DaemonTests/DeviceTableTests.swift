import SystemPackage
import TCMUNetlink
import TCMUTestKit
import Testing

@testable import Daemon

/// Every request gets exactly one answer, of its own kind, and nobody else's requests get any.
@Suite("Answers to the kernel")
struct DeviceTableTests {
    struct Refusal: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let configuration: String
        let errno: Errno
        let words: String
        let spoil: @Sendable (KernelTree, inout SimulatedDevice) -> Void

        init(
            _ title: String, _ errno: Errno, _ words: String, of configuration: String = "mem/a",
            _ spoil: @escaping @Sendable (KernelTree, inout SimulatedDevice) -> Void = { _, _ in }
        ) {
            (testDescription, self.configuration, self.errno, self.words) = (title, configuration, errno, words)
            self.spoil = spoil
        }
    }

    static let refusals: [Refusal] = [
        Refusal("no node", .noSuchFileOrDirectory, "cannot open"),
        Refusal("no block size", .noSuchFileOrDirectory, "attrib/hw_block_size: No such file") {
            $0.removeFile("\($1.configFS)/attrib/hw_block_size")
        },
        Refusal("no transfer length", .noSuchFileOrDirectory, "attrib/hw_max_sectors: No such file") {
            $0.removeFile("\($1.configFS)/attrib/hw_max_sectors")
        },
        Refusal("no size", .noSuchFileOrDirectory, "/info: No such file") { $0.removeFile("\($1.configFS)/info") },
        Refusal("nothing in configfs", .noSuchFileOrDirectory, "No such file") { tree, device in
            for name in ["attrib/hw_block_size", "attrib/hw_max_sectors", "info"] {
                tree.removeFile("\(device.configFS)/\(name)")
            }
        },
        Refusal("a block size that is no number", .ioError, "holds \"many\", expected a number") {
            $0.write("many\n", to: "\($1.configFS)/attrib/hw_block_size")
        },
        Refusal("520-byte blocks", .invalidArgument, "hw_block_size is 520, expected a power of two from 512") {
            $0.write("520\n", to: "\($1.configFS)/attrib/hw_block_size")
        },
        Refusal(
            "a size that is no whole number of blocks", .invalidArgument, "dev_size is 1000, expected a multiple"
        ) {
            $1.bytes = 1000
            $0.add($1)
        },
        Refusal("a size of nothing", .invalidArgument, "dev_size is 0, expected a multiple") {
            $1.bytes = 0
            $0.add($1)
        },
        Refusal("nothing in sysfs", .operationNotSupportedByDevice, "cannot read") {
            $0.removeFile("\($1.sysfs)/name")
        },
        Refusal(
            "no file", .noSuchFileOrDirectory, "/nonexistent/image does not exist", of: "file//nonexistent/image"),
        Refusal("a path that is none", .invalidArgument, "expected an absolute path", of: "file/image"),
        Refusal(
            "no image named", .invalidArgument, "expected <pool>[/<namespace>]/<image>[@<snapshot>]", of: "rbd/"),
        Refusal("a timeout that is no number", .invalidArgument, "soon", of: "mem/;tcmur_cmd_time_out=soon;a"),
    ]

    @Test("a device that cannot be opened is refused with the true errno, once, and forgotten", arguments: refusals)
    func refused(refusal: Refusal) async throws {
        let rig = try DaemonRig()
        var device = SimulatedDevice(7, refusal.configuration)
        let ring = try KernelRing()
        rig.tree.add(device)
        if refusal.testDescription != "no node" { rig.nodes.put(ring.simulator, minor: 7) }
        refusal.spoil(rig.tree, &device)
        let added = try await rig.announce(.added, device)
        #expect(await rig.answer(to: added) == -refusal.errno.rawValue)
        #expect(await rig.hasDevices(0))
        #expect(await rig.logs(refusal.words), "\(rig.log.lines)")
        // The kernel takes the device back and tells so.
        let removed = try await rig.announce(.removed, device)
        #expect(await rig.answer(to: removed) == 0)
        #expect(rig.allAnswers == [added: [-refusal.errno.rawValue], removed: [0]])
        await rig.stop()
    }

    @Test(
        "a device of another daemon is never answered, whatever happens to it",
        arguments: ["glfs/vol/image", "memory/a", "rbdx/pool/image", "MEM/a", "mem2", ""])
    func foreign(configuration: String) async throws {
        let rig = try DaemonRig()
        let foreign = SimulatedDevice(1, configuration)
        rig.tree.add(foreign)
        try await rig.announce(.added, foreign)
        try await rig.announce(.reconfigured, foreign, change: .size(5))
        try await rig.announce(.removed, foreign)
        #expect(await rig.table.rescan() == 0)
        // Answers come in order; an answer to one of those would have come before this one.
        let ours = try await rig.announce(.removed, SimulatedDevice(2, "mem/a"))
        #expect(await rig.answer(to: ours) == 0)
        #expect(rig.allAnswers == [ours: [0]])
        await rig.stop()
    }

    @Test("what is asked about a device of ours that is not known is answered all the same")
    func unknown() async throws {
        let rig = try DaemonRig()
        let device = SimulatedDevice(11, "mem/a")
        let removed = try await rig.announce(.removed, device)
        #expect(await rig.answer(to: removed) == 0)
        let changed = try await rig.announce(.reconfigured, device, change: .writeCache(true))
        #expect(await rig.answer(to: changed) == -Errno.operationNotSupportedByDevice.rawValue)
        await rig.stop()
    }

    @Test("a malformed event with a request is answered EINVAL; without one it is a line in the log")
    func malformed() async throws {
        let rig = try DaemonRig()
        let name = "tcm-user/1/a/mem/a"
        // The type of the second attribute: behind the headers (16 and 4 bytes) and the padded name.
        let minorType = 20 + (4 + name.utf8.count + 1 + 3) & ~3 + 2
        for kind in [NetlinkRequest.Kind.added, .removed, .reconfigured] {
            var event = NetlinkPeer.event(kind, 7, 70, name, nil, 2)
            #expect(event[minorType] == 2)
            event[minorType] = 99
            try await rig.send(event)
            let request = NetlinkRequest(kind: kind, deviceID: 70)
            #expect(await rig.answer(to: request) == -Errno.invalidArgument.rawValue)
        }
        var old = NetlinkPeer.event(.added, 7, 70, name, nil, 1)
        old[minorType] = 99
        let before = rig.log.lines.count
        try await rig.send(old)
        #expect(rig.log.lines.dropFirst(before).contains { $0.hasPrefix("error: malformed netlink event") })
        await rig.stop()
        #expect(rig.allAnswers.count == 3)
    }

    @Test("lost events are passed on to whoever releases the waiters")
    func overrun() async throws {
        let rig = try DaemonRig()
        #expect(await rig.table.handle(.overrun))
        #expect(await rig.table.handle(.ignored(reason: "test")) == false)
        #expect(await rig.table.handle(.replyRefused(nil, .noSuchProcess)) == false)
        await rig.stop()
    }

    @Test("a backend that hangs in its open: the kernel is told ETIMEDOUT, other devices wait for nothing")
    func hung() async throws {
        let rig = try DaemonRig(openTimeout: .seconds(3))
        let ring = try KernelRing()
        let image = try TemporaryImage(size: 1 << 20)
        var hung = SimulatedDevice(1, "file/\(image.path)")
        hung.mapSize = ring.simulator.geometry.mapSize
        let healthy = SimulatedDevice(2, "mem/healthy")
        rig.tree.add(hung)
        rig.nodes.put(ring.simulator, minor: 1)
        let file = "\(hung.configFS)/attrib/hw_block_size"
        rig.tree.hang(file)
        rig.tree.add(healthy)

        let slow = try await rig.announce(.added, hung)
        let quick = try await rig.announce(.added, healthy)
        // It has no node, so it is refused; what counts is that its answer comes first.
        #expect(await rig.answer(to: quick) == -Errno.noSuchFileOrDirectory.rawValue)
        #expect(rig.allAnswers[slow] == nil)
        #expect(await rig.answer(to: slow) == -Errno.timedOut.rawValue)

        let removed = try await rig.announce(.removed, hung)
        #expect(await rig.answer(to: removed) == 0)

        // It opens after all: too late, it is closed again and nobody is told a second time.
        rig.tree.release(file, with: "512\n")
        #expect(await rig.opensAndLetsGo(of: image.path))
        #expect(await rig.hasDevices(0))
        let last = try await rig.announce(.removed, healthy)
        #expect(await rig.answer(to: last) == 0)
        #expect(rig.allAnswers.values.allSatisfy { $0.count == 1 }, "each request once")
        await rig.stop()
    }

    @Test("removed while its open hangs: answered at once, given back when the open ends")
    func removedWhileOpening() async throws {
        let rig = try DaemonRig()
        let ring = try KernelRing()
        let image = try TemporaryImage(size: 1 << 20)
        var device = SimulatedDevice(41, "file/\(image.path)")
        device.mapSize = ring.simulator.geometry.mapSize
        rig.tree.add(device)
        rig.nodes.put(ring.simulator, minor: 41)
        let file = "\(device.configFS)/attrib/hw_block_size"
        rig.tree.hang(file)
        let added = try await rig.announce(.added, device)
        try #require(await rig.isOpening(minor: 41))
        let removed = try await rig.announce(.removed, device)
        #expect(await rig.answer(to: removed) == 0)
        #expect(await rig.answer(to: added) == -Errno.interrupted.rawValue)
        rig.tree.release(file, with: "512\n")
        #expect(await rig.opensAndLetsGo(of: image.path))
        #expect(await rig.hasDevices(0))
        #expect(rig.allAnswers.values.allSatisfy { $0.count == 1 })
        await rig.stop()
    }

    @Test("the daemon stops while an open hangs: whoever waits for it is told to come again")
    func stopWhileOpening() async throws {
        let rig = try DaemonRig()
        let ring = try KernelRing()
        let device = SimulatedDevice(42, "mem/a")
        rig.tree.add(device)
        rig.nodes.put(ring.simulator, minor: 42)
        let file = "\(device.configFS)/attrib/hw_block_size"
        rig.tree.hang(file)
        let added = try await rig.announce(.added, device)
        try #require(await rig.isOpening(minor: 42))
        await rig.table.stopAll(within: .seconds(20))
        #expect(await rig.answer(to: added) == -Errno.resourceTemporarilyUnavailable.rawValue)
        rig.tree.release(file, with: "512\n")
        await rig.stop()
        #expect(rig.allAnswers == [added: [-Errno.resourceTemporarilyUnavailable.rawValue]])
    }

    @Test(
        "changes of a device at work",
        arguments: [
            (.size(1 << 20), nil), (.size(1 << 21), .notSupportedOnSocket), (.configuration("mem/a"), nil),
            (.configuration("mem/b"), .notSupportedOnSocket), (.writeCache(false), nil),
            (.writeCache(true), .notSupportedOnSocket), (nil, .notSupportedOnSocket),
        ] as [(DeviceChange?, Errno?)])
    func changed(change: DeviceChange?, errno: Errno?) async throws {
        let rig = try DaemonRig()
        let ring = try KernelRing()
        var device = SimulatedDevice(1, "mem/a")
        device.mapSize = ring.simulator.geometry.mapSize
        rig.tree.add(device)
        rig.nodes.put(ring.simulator, minor: 1)
        #expect(await rig.answer(to: try rig.announce(.added, device)) == 0)
        let request = try await rig.announce(.reconfigured, device, change: change)
        #expect(await rig.answer(to: request) == -(errno?.rawValue ?? 0))
        #expect(await ring.perform(InitiatorCDB.testUnitReady)?.status == 0)
        await rig.stop()
    }

    @Test("a device announced while the daemon stops is left to the next one")
    func stopping() async throws {
        let rig = try DaemonRig()
        await rig.table.stopAll(within: .seconds(1))
        let device = SimulatedDevice(1, "mem/a")
        rig.tree.add(device)
        let added = try await rig.announce(.added, device)
        #expect(await rig.answer(to: added) == -Errno.resourceTemporarilyUnavailable.rawValue)
        await rig.stop()
    }
}
