import Configuration
import Glibc
import KernelFiles
import SystemPackage
import TCMUNetlink
import TCMURing
import TCMUTestKit
import Testing

@testable import Daemon

/// Nothing is done about a device before it is certain that no other process serves it, and one device is one object.
@Suite("One owner of a device, and one object for it")
struct OneOwnerTests {
    private func device(
        _ minor: UInt32, in rig: DaemonRig, name: String? = nil, _ configuration: String = "mem/a"
    ) throws -> (SimulatedDevice, KernelRing) {
        let ring = try KernelRing()
        var device = SimulatedDevice(minor, configuration)
        if let name { device.name = name }
        device.mapSize = ring.simulator.geometry.mapSize
        rig.tree.add(device)
        rig.nodes.put(ring.simulator, minor: minor)
        return (device, ring)
    }

    private func blocked(_ rig: DaemonRig, _ device: SimulatedDevice) -> String {
        rig.tree.read("\(device.configFS)/action/block_dev")
    }

    private func reset(_ rig: DaemonRig, _ device: SimulatedDevice) -> String {
        rig.tree.read("\(device.configFS)/action/reset_ring")
    }

    @Test("a device that another process serves is neither blocked nor reset, and is taken over when it is free")
    func heldElsewhere() async throws {
        let rig = try DaemonRig()
        let (device, ring) = try device(7, in: rig)
        rig.nodes.hold(minor: 7, true)
        #expect(await rig.table.rescan() == 1)
        #expect(await rig.logs("mem/disk7: next attempt in 2 s"), "twice by now")
        #expect(rig.log.contains("another process has its node /dev/uio7 open"))
        #expect(blocked(rig, device) == "unblocked\n")
        #expect(reset(rig, device) == "")
        #expect(rig.tree.read("\(device.configFS)/attrib/tmr_notification") == "no such file")
        rig.nodes.hold(minor: 7, false)
        #expect(await rig.logs("mem/disk7: serving mem/a"))
        #expect(reset(rig, device) == "1")
        #expect(await rig.reads("\(device.configFS)/action/block_dev", "0"))
        #expect(await ring.perform(InitiatorCDB.testUnitReady)?.status == 0)
        await rig.stop()
    }

    @Test("the daemon stops while another process serves the device: still nothing is written")
    func stopBesideOther() async throws {
        let rig = try DaemonRig()
        let (device, _) = try device(7, in: rig)
        rig.nodes.hold(minor: 7, true)
        await rig.table.rescan()
        #expect(await rig.logs("mem/disk7: next attempt"))
        await rig.stop()
        #expect(blocked(rig, device) == "unblocked\n")
        #expect(reset(rig, device) == "")
    }

    @Test(
        "what is asked about a device that another process serves is answered by that one",
        arguments: [true, false])
    func askedBesideOther(known: Bool) async throws {
        let rig = try DaemonRig()
        let (device, _) = try device(7, in: rig)
        rig.nodes.hold(minor: 7, true)
        if known {
            await rig.table.rescan()
            #expect(await rig.logs("mem/disk7: next attempt"))
        }
        try await rig.announce(.reconfigured, device, change: .size(1 << 21))
        try await rig.announce(.removed, device)
        try await rig.expectSilence()
        await rig.stop()
    }

    @Test("an announced device that another daemon was faster to open is not failed: it is answered by who has it")
    func announcedHeldElsewhere() async throws {
        let rig = try DaemonRig()
        let (device, _) = try device(7, in: rig)
        rig.nodes.hold(minor: 7, true)
        let added = try await rig.announce(.added, device)
        #expect(await rig.logs("another process has its node /dev/uio7 open"))
        // The other one lets go without an answer: then it is ours.
        #expect(rig.allAnswers.isEmpty)
        rig.nodes.hold(minor: 7, false)
        #expect(await rig.answer(to: added) == 0)
        await rig.stop()
        #expect(rig.allAnswers == [added: [0]])
    }

    @Test("a device whose number and name are another's by the time its node is open is let go of")
    func otherDevice() async throws {
        let rig = try DaemonRig()
        let (old, _) = try device(7, in: rig)
        var new = old
        new.name = "other"
        let (tree, renamed) = (rig.tree, new)
        rig.nodes.beforeOpening(minor: 7) { tree.add(renamed) }
        let added = try await rig.announce(.added, old)
        #expect(await rig.answer(to: added) == -Errno.operationNotSupportedByDevice.rawValue)
        #expect(await rig.logs("mem/disk7: has vanished without a word"))
        #expect(await rig.hasDevices(0))
        #expect(blocked(rig, old) == "unblocked\n")
        await rig.stop()
    }

    @Test("found by the first look and announced after it: one device, answered, and unblocked in the end")
    func foundThenAnnounced() async throws {
        let rig = try DaemonRig()
        let (device, ring) = try device(47, in: rig)
        let size = "\(device.configFS)/attrib/hw_block_size"
        rig.tree.hang(size)
        #expect(await rig.table.rescan() == 1)
        try #require(await rig.isOpening(minor: 47))
        #expect(blocked(rig, device) == "1")
        let added = try await rig.announce(.added, device)
        rig.tree.release(size, with: "512\n")
        #expect(await rig.answer(to: added) == 0)
        #expect(await rig.reads("\(device.configFS)/action/block_dev", "0"))
        #expect(await ring.perform(InitiatorCDB.testUnitReady)?.status == 0)
        // And once more, now at work.
        rig.forgetAnswers()
        let again = try await rig.announce(.added, device)
        #expect(await rig.answer(to: again) == 0)
        #expect(rig.nodes.openings(minor: 47) == 1)
        #expect(await rig.table.status().count == 1)
        await rig.stop()
        #expect(blocked(rig, device) == "0")
    }

    @Test("announced while it waits for its image: who waits in the kernel is told why, and in time")
    func announcedWhileWaiting() async throws {
        let rig = try DaemonRig(openTimeout: .seconds(1))
        let (device, _) = try device(7, in: rig)
        rig.tree.removeFile("\(device.configFS)/attrib/hw_block_size")
        #expect(await rig.table.rescan() == 1)
        #expect(await rig.logs("mem/disk7: initiators get BUSY; next attempt in 2 s"))
        let added = try await rig.announce(.added, device)
        let answer = await rig.answer(to: added)
        #expect([-Errno.timedOut.rawValue, -Errno.noSuchFileOrDirectory.rawValue].contains(answer))
        await rig.stop()
        #expect(blocked(rig, device) == "0", "it stays, and nobody has it")
    }

    @Test("the same name and number again, after the first one went without a word: another device")
    func sameNameAgain() async throws {
        let rig = try DaemonRig()
        let (first, firstRing) = try device(7, in: rig)
        #expect(await rig.answer(to: try rig.announce(.added, first)) == 0)
        firstRing.simulator.hangUp()
        rig.tree.remove(first)
        rig.forgetAnswers()
        let (second, ring) = try device(7, in: rig)
        #expect(await rig.answer(to: try rig.announce(.added, second)) == 0)
        #expect(await ring.perform(InitiatorCDB.testUnitReady)?.status == 0)
        await rig.stop()
    }

    @Test("what is left of a device that vanished while it waited leaves its successor alone")
    func vanishedWhileWaiting() async throws {
        let rig = try DaemonRig()
        let (old, _) = try device(5, in: rig, name: "disk")
        rig.tree.removeFile("\(old.configFS)/attrib/hw_block_size")
        #expect(await rig.table.rescan() == 1)
        #expect(await rig.logs("mem/disk: initiators get BUSY; next attempt in 1 s"))
        rig.tree.remove(old)
        let (new, ring) = try device(3, in: rig, name: "disk")
        #expect(await rig.answer(to: try rig.announce(.added, new)) == 0)
        #expect(await rig.logs("mem/disk: has vanished without a word; forgotten"))
        #expect(await rig.hasDevices(1))
        #expect(blocked(rig, new) == "unblocked\n")
        #expect(reset(rig, new) == "")
        #expect(await ring.perform(InitiatorCDB.testUnitReady)?.status == 0)
        await rig.stop()
    }

    @Test("devices that do not stop are given up all at once")
    func givenUp() async throws {
        let rig = try DaemonRig()
        var rings: [KernelRing] = []
        for minor in UInt32(0)..<20 {
            let (device, ring) = try device(minor, in: rig, "mem/\(minor)")
            rings.append(ring)
            #expect(await rig.answer(to: try rig.announce(.added, device)) == 0)
            // Nobody reads it: who writes it hangs, as in a configfs that is locked.
            rig.tree.hang("\(device.configFS)/action/block_dev")
        }
        let begin = ContinuousClock.now
        await rig.table.stopAll(within: .seconds(1))
        // One after the other they take a second each.
        #expect(ContinuousClock.now - begin < .seconds(15))
        withExtendedLifetime(rings) {}
    }

    @Test(
        "a device that was set not to ask is served, and is answered only when it goes", arguments: ["-1\n", "0\n"])
    func notAsking(text: String) async throws {
        let rig = try DaemonRig()
        let (device, ring) = try device(7, in: rig)
        rig.tree.write(text, to: "\(device.configFS)/attrib/nl_reply_supported")
        try await rig.announce(.added, device)
        #expect(await rig.logs("mem/disk7: serving mem/a"))
        try await rig.announce(.added, device)
        try await rig.announce(.reconfigured, device, change: .size(1 << 20))
        #expect(await ring.perform(InitiatorCDB.testUnitReady)?.status == 0)
        try await rig.expectSilence()
        // While it asks again, it is answered again.
        rig.tree.write("1\n", to: "\(device.configFS)/attrib/nl_reply_supported")
        let changed = try await rig.announce(.reconfigured, device, change: .size(1 << 20))
        #expect(await rig.answer(to: changed) == 0)
        let removed = try await rig.announce(.removed, device)
        #expect(await rig.answer(to: removed) == 0)
        await rig.stop()
    }

    @Test("a node of which sysfs cannot be read is not one that has gone")
    func unreadableNode() throws {
        let rig = try DaemonRig()
        let (device, _) = try device(7, in: rig)
        let node = try UIONode(minor: 7, sysfs: rig.tree.configuration.sysfsRoot)
        let claim = try emptyClaim(node, in: rig.tree)
        #expect(!claim.isGone)
        // A read of a directory fails with EISDIR: any error that says nothing of the device.
        let file = rig.tree.configuration.sysfsRoot.appending("class/uio/uio7/name").string
        try #require(unlink(file) == 0 && mkdir(file, 0o700) == 0)
        #expect(!claim.isGone)
        #expect(claim.whileHeld { true } == nil, "nothing is written in doubt")
        #expect(throws: RingError.open(path: "uio7", .isDirectory)) { try emptyClaim(node, in: rig.tree) }
        try #require(rmdir(file) == 0)
        #expect(claim.isGone)
        claim.release()
        rig.tree.remove(device)
    }

    @Test("a change while the daemon's own attempt at the node is under way is answered")
    func changedWhileClaiming() async throws {
        let rig = try DaemonRig()
        let (device, ring) = try device(7, in: rig)
        let nodes = rig.nodes
        nodes.beforeOpening(minor: 7) {
            // As the kernel does to each further open.
            nodes.hold(minor: 7, true)
            usleep(2_000_000)
            nodes.hold(minor: 7, false)
        }
        #expect(await rig.table.rescan() == 1)
        try await Task.sleep(for: .milliseconds(300))
        let changed = try await rig.announce(.reconfigured, device, change: .size(1 << 20))
        #expect(await rig.answer(to: changed) != nil)
        await rig.stop()
        withExtendedLifetime(ring) {}
    }

    // MARK: - Histories

    struct Random: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var mixed = state
            mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
            return mixed ^ mixed >> 31
        }
    }

    /// Devices come, are found, announced twice, change, go, and vanish; nodes are held elsewhere for a time.
    @Test(
        "whatever the order of events: every request is answered once, and nothing is blocked in the end",
        arguments: 1...5)
    func histories(seed: Int) async throws {
        var random = Random(state: UInt64(seed))
        let rig = try DaemonRig(openTimeout: .seconds(2))
        var rings: [KernelRing] = []
        let image = try TemporaryImage(size: 1 << 20)
        var known: [UInt32: SimulatedDevice] = [:]
        for step in 0..<30 {
            let minor = UInt32.random(in: 0..<3, using: &random)
            let place: Comment = "seed \(seed), step \(step), uio\(minor)"
            rig.forgetAnswers()
            switch Int.random(in: 0..<10, using: &random) {
            case 0...2:
                if known[minor] != nil { continue }
                let configuration = ["mem/a", "mem/b", "file/\(image.path)", "rbd/", "file/no"].randomElement(
                    using: &random)
                let (device, ring) = try device(
                    minor, in: rig, name: ["x", "y"].randomElement(using: &random).map { "\($0)\(minor)" },
                    configuration ?? "mem/a")
                rings.append(ring)
                rig.nodes.hold(minor: minor, Int.random(in: 0..<6, using: &random) == 0)
                known[minor] = device
                if Bool.random(using: &random) { await rig.table.rescan() }
                let request = try await rig.announce(.added, device)
                if Bool.random(using: &random) { #expect(await rig.answer(to: request) != nil, place) }
            case 3...4:
                guard let device = known[minor] else { continue }
                rig.nodes.hold(minor: minor, false)
                let request = try await rig.announce(.removed, device)
                #expect(await rig.answer(to: request) == 0, place)
                known[minor] = nil
                rig.tree.remove(device)
            case 5:
                guard let device = known[minor] else { continue }
                rig.nodes.hold(minor: minor, false)
                let change = [DeviceChange.size(1 << 20), .writeCache(true), .configuration("mem/q")]
                let request = try await rig.announce(
                    .reconfigured, device, change: change.randomElement(using: &random))
                #expect(await rig.answer(to: request) != nil, place)
            case 6: await rig.table.rescan()
            case 7: if known[minor] != nil { rig.nodes.hold(minor: minor, false) }
            case 8:
                // A daemon that is told again of what it has.
                guard let device = known[minor] else { continue }
                let request = try await rig.announce(.added, device)
                #expect(await rig.answer(to: request) != nil, place)
            default:
                guard let device = known[minor] else { continue }
                known[minor] = nil
                rig.tree.remove(device)
            }
        }
        await rig.stop()
        for device in known.values { #expect(blocked(rig, device) != "1", "seed \(seed): \(device.nodeName)") }
        withExtendedLifetime(rings) {}
    }
}
