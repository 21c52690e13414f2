import Glibc
import TCMUNetlink
import TCMUTestKit
import Testing

@testable import Daemon

/// Whole lives of devices, from announcement to end, with commands in between.
@Suite("A device from its announcement to its end")
struct DeviceServingTests {
    /// A mem device whose node is a simulated ring.
    private func device(
        _ minor: UInt32, in rig: DaemonRig, _ configuration: String = "mem/a"
    ) throws -> (SimulatedDevice, KernelRing) {
        let ring = try KernelRing()
        var device = SimulatedDevice(minor, configuration)
        device.mapSize = ring.simulator.geometry.mapSize
        rig.tree.add(device)
        rig.nodes.put(ring.simulator, minor: minor)
        return (device, ring)
    }

    @Test(
        "a configuration of as many bytes as the kernel keeps may have lost its end, which is said",
        arguments: [(254, false), (255, true)])
    func cutConfiguration(bytes: Int, isTold: Bool) async throws {
        let rig = try DaemonRig()
        let text = "mem/" + String(repeating: "a", count: bytes - 4)
        let (device, _) = try device(7, in: rig, text)
        #expect(await rig.answer(to: try rig.announce(.added, device)) == 0)
        #expect(await rig.logs("mem/disk7: serving \(text)"))
        let line = "the configuration text has 255 bytes, which is all that the kernel keeps"
        #expect(rig.log.contains(line) == isTold)
        await rig.stop()
    }

    private func block(_ byte: UInt8) -> [UInt8] { [UInt8](repeating: byte, count: 512) }

    @Test("announced, answered, served, removed, and again under the same number")
    func wholeLife() async throws {
        let rig = try DaemonRig()
        for round in UInt8(1)...2 {
            let (device, ring) = try device(7, in: rig)
            let added = try await rig.announce(.added, device)
            #expect(await rig.answer(to: added) == 0)
            #expect(await rig.hasDevices(1))

            let capacity = try #require(
                await ring.perform([0x25] + [UInt8](repeating: 0, count: 9), dataInLength: 8))
            #expect(capacity.dataIn == [0, 0, 0x07, 0xFF, 0, 0, 2, 0])
            let blank = await ring.perform(InitiatorCDB.read10(2047, 1), dataInLength: 512)
            #expect(blank?.dataIn == block(0), "round \(round): memory begins empty")
            #expect(await ring.perform(InitiatorCDB.write10(2047, 1), dataOut: block(round))?.status == 0)
            #expect(await ring.perform(InitiatorCDB.read10(2047, 1), dataInLength: 512)?.dataIn == block(round))
            // Page 80h is configfs' to tell: through the reader of facts and back.
            // On a busy machine the reader may take longer than a command waits for it: then it is asked again.
            var page = await ring.perform(InitiatorCDB.inquiry(page: 0x80), dataInLength: 255)
            for _ in 0..<10 where page?.status == 8 {
                page = await ring.perform(InitiatorCDB.inquiry(page: 0x80), dataInLength: 255)
            }
            #expect(page?.dataIn.dropFirst(4).starts(with: "serial-7".utf8) == true)

            let line = try #require(await rig.table.status().first)
            #expect(line.hasPrefix("uio7 mem/disk7 (mem/a) serving 1048576 bytes"))
            #expect(line.contains("read 2 (1024 bytes), written 1 (512 bytes)"))

            let removed = try await rig.announce(.removed, device)
            #expect(await rig.answer(to: removed) == 0)
            #expect(await rig.hasDevices(0))
            #expect(ring.simulator.violations.isEmpty)
            #expect(rig.allAnswers == [added: [0], removed: [0]], "each request once")
            rig.forgetAnswers()
            rig.tree.remove(device)
        }
        await rig.stop()
    }

    @Test("a file unit keeps what was written")
    func file() async throws {
        let rig = try DaemonRig()
        let image = try TemporaryImage(size: 1 << 20)
        for round in 0...1 {
            let (device, ring) = try device(3, in: rig, "file/\(image.path)")
            let added = try await rig.announce(.added, device)
            #expect(await rig.answer(to: added) == 0)
            if round == 0 {
                #expect(await ring.perform(InitiatorCDB.write10(9, 1), dataOut: block(0x5A))?.status == 0)
            } else {
                #expect(await ring.perform(InitiatorCDB.read10(9, 1), dataInLength: 512)?.dataIn == block(0x5A))
            }
            let removed = try await rig.announce(.removed, device)
            #expect(await rig.answer(to: removed) == 0)
            #expect(await rig.hasDevices(0))
            rig.forgetAnswers()
        }
        await rig.stop()
    }

    @Test("a device left by an earlier daemon is blocked, its ring reset, served and let go of unblocked")
    func takenOver() async throws {
        let rig = try DaemonRig()
        let (device, ring) = try device(2, in: rig)
        let reset = "\(device.configFS)/action/reset_ring"
        let blocked = "\(device.configFS)/action/block_dev"
        #expect(await rig.table.rescan() == 1)
        #expect(await rig.logs("mem/disk2: serving mem/a"))
        #expect(await ring.perform(InitiatorCDB.testUnitReady)?.status == 0)
        #expect(rig.tree.read(reset) == "1", "what was in flight fails BUSY")
        #expect(await rig.reads(blocked, "0"))
        #expect(await rig.table.rescan() == 1, "a second look finds it known")
        await rig.stop()
        #expect(rig.tree.read(blocked) == "0")
        #expect(rig.log.contains("mem/disk2: closed"))
        #expect(rig.allAnswers.isEmpty, "nobody waits for an answer")
    }

    @Test("an existing device that cannot be opened stays, blocked, and is served when it can be")
    func retried() async throws {
        let rig = try DaemonRig()
        let (device, ring) = try device(4, in: rig)
        let size = "\(device.configFS)/attrib/hw_block_size"
        rig.tree.removeFile(size)
        #expect(await rig.table.rescan() == 1)
        #expect(await rig.logs("mem/disk4: initiators get BUSY; next attempt in 1 s"))
        #expect(rig.tree.read("\(device.configFS)/action/block_dev") == "1")
        rig.tree.write("512\n", to: size)
        #expect(await rig.logs("mem/disk4: serving mem/a"))
        #expect(await ring.perform(InitiatorCDB.testUnitReady)?.status == 0)
        #expect(await rig.reads("\(device.configFS)/action/block_dev", "0"))
        await rig.stop()
    }

    @Test("a device that waits for its image takes a larger size, and is opened with it; no smaller one")
    func resizedWhileWaiting() async throws {
        let rig = try DaemonRig()
        let image = try TemporaryImage(size: 512)
        let ring = try KernelRing()
        var device = SimulatedDevice(7, "file/\(image.path)")
        device.mapSize = ring.simulator.geometry.mapSize
        rig.tree.add(device)
        rig.nodes.put(ring.simulator, minor: 7)
        #expect(await rig.table.rescan() == 1)
        #expect(await rig.logs("file/disk7: initiators get BUSY"))
        func change(_ bytes: UInt64) async throws -> Int32? {
            rig.forgetAnswers()
            return await rig.answer(to: try await rig.announce(.reconfigured, device, change: .size(bytes)))
        }
        let before: UInt64 = 1 << 20
        #expect(try await change(before - 512) == -EINVAL, "initiators know more")
        #expect(try await change(2 * before + 1) == -EINVAL, "no whole block")
        #expect(try await change(2 * before) == 0)
        #expect(rig.log.contains("is to have \(2 * before) bytes instead of \(before)"))
        // What the kernel does after that answer, and the operator.
        device.bytes = 2 * before
        rig.tree.add(device)
        try #require(truncate(image.path, off_t(2 * before)) == 0)
        #expect(await rig.logs("file/disk7: serving file/\(image.path), \(2 * before) bytes"))
        await rig.stop()
    }

    @Test("a device that waits for its next attempt is removed at once")
    func removedWhileWaiting() async throws {
        let rig = try DaemonRig()
        let (device, _) = try device(4, in: rig)
        rig.tree.removeFile("\(device.configFS)/attrib/hw_block_size")
        await rig.table.rescan()
        #expect(await rig.logs("mem/disk4: initiators get BUSY"))
        let removed = try await rig.announce(.removed, device)
        #expect(await rig.answer(to: removed) == 0)
        await rig.stop()
        #expect(!rig.log.contains("serving"))
    }

    @Test("a device that vanishes unannounced is found by the next look and closed")
    func vanished() async throws {
        let rig = try DaemonRig()
        let (device, _) = try device(5, in: rig)
        let added = try await rig.announce(.added, device)
        #expect(await rig.answer(to: added) == 0)
        rig.tree.remove(device)
        #expect(await rig.table.rescan() == 0)
        #expect(await rig.logs("mem/disk5: has vanished without a word; closed"))
        #expect(await rig.logs("mem/disk5: removed"))
        await rig.stop()
    }

    @Test("a device whose ring the kernel has closed without a word is closed")
    func ringGone() async throws {
        let rig = try DaemonRig()
        let (device, ring) = try device(5, in: rig)
        #expect(await rig.answer(to: try rig.announce(.added, device)) == 0)
        ring.simulator.hangUp()
        try #require(ring.simulator.post(cdb: InitiatorCDB.testUnitReady) != nil)
        ring.simulator.notify()
        #expect(await rig.logs("mem/disk5: has vanished without a word; closed"))
        #expect(await rig.hasDevices(0))
        #expect(await rig.logs("mem/disk5: removed"))
        await rig.stop()
    }

    @Test("a number with a new owner: the device whose removal was lost is closed, the new one served")
    func newOwner() async throws {
        let rig = try DaemonRig()
        let (old, _) = try device(6, in: rig)
        #expect(await rig.answer(to: try rig.announce(.added, old)) == 0)
        rig.forgetAnswers()
        rig.tree.remove(old)
        let ring = try KernelRing()
        var new = SimulatedDevice(6, "mem/b")
        new.name = "other"
        new.mapSize = ring.simulator.geometry.mapSize
        rig.tree.add(new)
        rig.nodes.put(ring.simulator, minor: 6)
        #expect(await rig.answer(to: try rig.announce(.added, new)) == 0)
        #expect(await rig.logs("mem/disk6: removed"))
        #expect(await ring.perform(InitiatorCDB.testUnitReady)?.status == 0)
        let lines = await rig.table.status()
        #expect(lines.count == 1 && lines[0].hasPrefix("uio6 mem/other (mem/b) serving"))
        await rig.stop()
    }

    @Test("an impossible ring is blocked, reset and attached anew, and the unit serves on")
    func recovered() async throws {
        let rig = try DaemonRig()
        let (device, ring) = try device(8, in: rig)
        #expect(await rig.answer(to: try rig.announce(.added, device)) == 0)
        #expect(await ring.perform(InitiatorCDB.write10(1, 1), dataOut: block(0x11))?.status == 0)
        // The kernel empties the ring when configfs is told to; its file is one here that tells when it is written.
        let reset = "\(device.configFS)/action/reset_ring"
        rig.tree.hang(reset)
        ring.simulator.forceEntry([0xF9, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0], advance: 120)
        ring.simulator.notify()
        #expect(await rig.logs("mem/disk8: impossible ring"))
        #expect(await rig.tree.receives(reset) { ring.simulator.resetRing() } == "1")
        #expect(await rig.logs("mem/disk8: at work again with a new ring"))
        #expect(
            rig.nodes.openings(minor: 8) == 1, "the node is held throughout, so that nobody else can come between")
        #expect(await rig.reads("\(device.configFS)/action/block_dev", "0"))
        #expect(await ring.perform(InitiatorCDB.read10(1, 1), dataInLength: 512)?.dataIn == block(0x11))
        let removed = try await rig.announce(.removed, device)
        #expect(await rig.answer(to: removed) == 0)
        await rig.stop()
        #expect(ring.simulator.violations.isEmpty)
    }

    @Test("commands in the ring when the daemon stops are answered before it lets go")
    func stopped() async throws {
        let rig = try DaemonRig()
        let (device, ring) = try device(9, in: rig)
        #expect(await rig.answer(to: try rig.announce(.added, device)) == 0)
        for lba in 0..<50 {
            try #require(ring.simulator.post(cdb: InitiatorCDB.read10(UInt32(lba), 1), dataInLength: 512) != nil)
        }
        ring.simulator.notify()
        await rig.stop()
        let finished = ring.simulator.reapCompletions()
        #expect(finished.count == 50)
        #expect(finished.allSatisfy { $0.status == 0 })
        #expect(rig.tree.read("\(device.configFS)/action/block_dev") == "0")
        #expect(ring.simulator.inFlight == 0)
    }
}
