import Configuration
import Glibc
import KernelFiles
import Synchronization
import SystemPackage
import TCMUNetlink
import TCMURing
import TCMUTestKit
import Testing

@testable import Daemon

/// A ring that another daemon has worked on holds commands that were begun: it is never served from its tail.
@Suite("Devices that another daemon has served since they were announced")
struct ServedBeforeTests {
    private func device(in rig: DaemonRig) throws -> (SimulatedDevice, KernelRing) {
        let ring = try KernelRing()
        var device = SimulatedDevice(7, "mem/a")
        device.mapSize = ring.simulator.geometry.mapSize
        rig.tree.add(device)
        rig.nodes.put(ring.simulator, minor: 7)
        return (device, ring)
    }

    private func blocked(_ rig: DaemonRig, _ device: SimulatedDevice) -> String {
        rig.tree.read("\(device.configFS)/action/block_dev")
    }

    private func reset(_ rig: DaemonRig, _ device: SimulatedDevice) -> String {
        rig.tree.read("\(device.configFS)/action/reset_ring")
    }

    private func enable(_ rig: DaemonRig, _ device: SimulatedDevice) {
        rig.tree.write("1\n", to: "\(device.configFS)/enable")
    }

    enum History: String, CaseIterable {
        case heldWhenAnnounced = "had it when it was announced here"
        case diedBefore = "has died before it was wanted here"
    }

    @Test("taken over with block, reset and unblock, unanswered: the other daemon", arguments: History.allCases)
    func takenOver(_ history: History) async throws {
        let rig = try DaemonRig()
        let (device, ring) = try device(in: rig)
        if history != .diedBefore { rig.nodes.hold(minor: 7, true) }
        if history == .diedBefore { enable(rig, device) }
        try await rig.announce(.added, device)
        if history != .diedBefore {
            #expect(await rig.logs("another process has its node /dev/uio7 open"))
            enable(rig, device)
            // Looked at, and left alone.
            #expect(await rig.logs("mem/disk7: next attempt in 1 s"))
            #expect(blocked(rig, device) == "unblocked\n" && reset(rig, device) == "")
            rig.nodes.hold(minor: 7, false)
        }
        #expect(await rig.logs("mem/disk7: serving mem/a"))
        #expect(reset(rig, device) == "1")
        #expect(await rig.reads("\(device.configFS)/action/block_dev", "0"))
        #expect(await ring.perform(InitiatorCDB.testUnitReady)?.status == 0)
        try await rig.expectSilence()
        await rig.stop()
    }

    @Test("an image that cannot be opened then is tried again, and the device is not left blocked")
    func cannotBeOpened() async throws {
        let rig = try DaemonRig()
        let (device, _) = try device(in: rig)
        enable(rig, device)
        rig.tree.removeFile("\(device.configFS)/attrib/hw_block_size")
        try await rig.announce(.added, device)
        #expect(await rig.logs("mem/disk7: initiators get BUSY; next attempt in 1 s"))
        #expect(blocked(rig, device) == "1")
        try await rig.expectSilence()
        rig.tree.write("512\n", to: "\(device.configFS)/attrib/hw_block_size")
        #expect(await rig.logs("mem/disk7: serving mem/a"))
        #expect(await rig.reads("\(device.configFS)/action/block_dev", "0"))
        await rig.stop()
    }

    @Test("until it is known whether another daemon has answered, nothing is served")
    func unknown() async throws {
        let rig = try DaemonRig()
        let (device, _) = try device(in: rig)
        let file = "\(rig.tree.path)/\(device.configFS)/enable"
        // Any error that says nothing of the device.
        try #require(unlink(file) == 0 && mkdir(file, 0o700) == 0)
        let added = try await rig.announce(.added, device)
        try await Task.sleep(for: .milliseconds(700))
        #expect(rig.allAnswers.isEmpty && !rig.log.contains("serving"))
        try #require(rmdir(file) == 0)
        rig.tree.write("0\n", to: "\(device.configFS)/enable")
        #expect(await rig.answer(to: added) == 0)
        #expect(reset(rig, device) == "", "its ring is new")
        await rig.stop()
    }

    // MARK: - Who waits

    @Test("a change while our own attempt at the node hangs is answered all the same")
    func changedWhileClaiming() async throws {
        let rig = try DaemonRig { _ in
        } environment: {
            $0.claimPatience = .milliseconds(300)
        }
        let (device, ring) = try device(in: rig)
        let (nodes, isOver) = (rig.nodes, Flag())
        nodes.beforeOpening(minor: 7) {
            // As the kernel does to each further open.
            nodes.hold(minor: 7, true)
            while !isOver.isSet { usleep(10_000) }
            nodes.hold(minor: 7, false)
        }
        #expect(await rig.table.rescan() == 1)
        try await Task.sleep(for: .milliseconds(100))
        let changed = try await rig.announce(.reconfigured, device, change: .size(1 << 20))
        #expect(await rig.answer(to: changed) == -Errno.resourceTemporarilyUnavailable.rawValue)
        isOver.set()
        #expect(await rig.logs("mem/disk7: serving mem/a"))
        await rig.stop()
        withExtendedLifetime(ring) {}
    }

    @Test("another process lets go of a device: who waits for an answer of that one is thought of")
    func waitersMayBeLeft() async throws {
        let told = Flag()
        let rig = try DaemonRig { _ in
        } environment: {
            $0.waitersMayBeLeft = { told.set() }
        }
        let (_, ring) = try device(in: rig)
        rig.nodes.hold(minor: 7, true)
        #expect(await rig.table.rescan() == 1)
        #expect(await rig.logs("mem/disk7: next attempt"))
        #expect(!told.isSet)
        rig.nodes.hold(minor: 7, false)
        #expect(await rig.logs("mem/disk7: serving mem/a"))
        #expect(told.isSet)
        await rig.stop()
        withExtendedLifetime(ring) {}
    }

    @Test("who could not be released is tried again until it is done, and by one attempt at a time")
    func released() async {
        let (attempts, allowed) = (Counter(), Flag())
        let release = WaiterRelease(shortest: .milliseconds(5), longest: .milliseconds(10)) {
            attempts.add()
            return allowed.isSet
        }
        for _ in 0..<5 { release.want() }
        #expect(await BlockingCall.wait(atMost: .seconds(60)) { attempts.count >= 3 })
        allowed.set()
        let before = attempts.count
        #expect(await BlockingCall.wait(atMost: .seconds(60)) { attempts.count > before })
        try? await Task.sleep(for: .milliseconds(100))
        let done = attempts.count
        #expect(done <= before + 2, "one work, whoever has asked")
        // And again, later.
        release.want()
        #expect(await BlockingCall.wait(atMost: .seconds(60)) { attempts.count == done + 1 })
        release.end()
        release.want()
        try? await Task.sleep(for: .milliseconds(50))
        #expect(attempts.count == done + 1)
    }

    // MARK: - The gate

    @Test("a blocked device is not let go of for want of a descriptor, and is unblocked when there is one")
    func leaveWithoutDescriptors() async {
        await #expect(processExitsWith: .success) {
            let tree = KernelTree()
            let device = SimulatedDevice(7, "mem/a")
            tree.add(device)
            let claim = try emptyClaim(try UIONode(minor: 7, sysfs: tree.configuration.sysfsRoot), in: tree)
            let name = try #require(BackstoreName(hba: 1, name: device.name))
            let gate = DeviceGate(
                claim, ConfigFSTree(mountedAt: tree.configuration.configFSRoot).backstore(name))
            try gate.takeOver()
            var taken: [CInt] = []
            while case let descriptor = dup(0), descriptor >= 0 { taken.append(descriptor) }
            #expect(throws: KernelFileError.self) { try gate.leave() }
            for descriptor in taken { close(descriptor) }
            precondition(tree.read("\(device.configFS)/action/block_dev") == "1")
            precondition(!claim.isGone, "let go of, though blocked")
            try gate.leave()
            precondition(tree.read("\(device.configFS)/action/block_dev") == "0")
            precondition(claim.isGone)
        }
    }
}

/// Set once.
final class Flag: Sendable {
    private let value = Atomic<Bool>(false)
    var isSet: Bool { value.load(ordering: .acquiring) }
    func set() { value.store(true, ordering: .releasing) }
}

private final class Counter: Sendable {
    private let value = Atomic<Int>(0)
    var count: Int { value.load(ordering: .acquiring) }
    func add() { value.add(1, ordering: .acquiringAndReleasing) }
}
