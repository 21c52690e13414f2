import TCMUNetlink
import TCMUTestKit
import Testing

@testable import Daemon

@Suite("Devices of a copy group, and what opening them asks of configfs")
struct CopyGroupTests {
    /// A mem device whose node is a simulated ring.
    private func add(
        _ minor: UInt32, _ configuration: String, to rig: DaemonRig, hasNotices: Bool = true
    ) async throws -> (SimulatedDevice, KernelRing) {
        let ring = try KernelRing()
        var device = SimulatedDevice(minor, configuration)
        device.mapSize = ring.simulator.geometry.mapSize
        rig.tree.add(device)
        if hasNotices { rig.tree.write("0\n", to: "\(device.configFS)/attrib/tmr_notification") }
        rig.nodes.put(ring.simulator, minor: minor)
        let added = try await rig.announce(.added, device)
        #expect(await rig.answer(to: added) == 0)
        return (device, ring)
    }

    /// A copy of block 1 of the first unit to block 2 of the second, asked of the first.
    private func copy(_ ring: KernelRing) async -> RingCompletion? {
        let units = [7, 8].map { (InitiatorCDB.designator(serial: "serial-\($0)"), UInt32(512)) }
        let list = InitiatorCDB.copyParameters(units: units, [CopyRequestSegment(1, 2, 1, destination: 1)])
        let cdb = InitiatorCDB.extendedCopy(parameterListLength: list.count)
        var done = await ring.perform(cdb, dataOut: list)
        // On a busy machine the reader of facts may take longer than a command waits for it.
        for _ in 0..<10 where done?.status == 8 { done = await ring.perform(cdb, dataOut: list) }
        return done
    }

    /// Page 83h, through the reader of facts; after it the unit's group knows it.
    private func identify(_ ring: KernelRing) async -> [UInt8] {
        var page = await ring.perform(InitiatorCDB.inquiry(page: 0x83), dataInLength: 255)
        for _ in 0..<10 where page?.status == 8 {
            page = await ring.perform(InitiatorCDB.inquiry(page: 0x83), dataInLength: 255)
        }
        return page?.dataIn ?? []
    }

    @Test("Blocks are copied between devices of one group, and refused without or after it")
    func copies() async throws {
        for (groups, isAllowed) in [(["a", "a"], true), (["a", "b"], false), (["a", nil], false)]
            as [([String?], Bool)]
        {
            let rig = try DaemonRig()
            let texts = groups.map { $0.map { "mem/;copy_group=\($0);x" } ?? "mem/x" }
            let (_, first) = try await add(7, texts[0], to: rig)
            let (device, second) = try await add(8, texts[1], to: rig)
            #expect(await rig.hasDevices(2))
            let block = [UInt8](repeating: 0x66, count: 512)
            #expect(await first.perform(InitiatorCDB.write10(1, 1), dataOut: block)?.status == 0)
            let page = await identify(second)
            let shown = String(decoding: page.map { $0 == 0 ? 0x20 : $0 }, as: UTF8.self)
            #expect(shown.contains("mem/x ") && !shown.contains("copy_group"))
            let done = await copy(first)
            let read = await second.perform(InitiatorCDB.read10(2, 1), dataInLength: 512)
            if isAllowed {
                #expect(done?.status == 0)
                #expect(read?.dataIn == block)
            } else {
                #expect(done?.senseTriple.map { [$0.key, $0.asc, $0.ascq] } == [0x0A, 0x0D, 0x02])
                #expect(read?.dataIn.contains(0x66) == false)
            }
            let removed = try await rig.announce(.removed, device)
            #expect(await rig.answer(to: removed) == 0)
            #expect(await copy(first)?.senseTriple.map { [$0.key, $0.asc, $0.ascq] } == [0x0A, 0x0D, 0x02])
            await rig.stop()
        }
    }

    @Test("A device that was there before the daemon is known to its group without an INQUIRY")
    func existing() async throws {
        let rig = try DaemonRig()
        var rings: [KernelRing] = []
        for minor: UInt32 in [7, 8] {
            let ring = try KernelRing()
            var device = SimulatedDevice(minor, "mem/;copy_group=a;x")
            device.mapSize = ring.simulator.geometry.mapSize
            rig.tree.add(device)
            rig.nodes.put(ring.simulator, minor: minor)
            rings.append(ring)
        }
        await rig.table.rescan()
        #expect(await rig.hasDevices(2))
        var done: RingCompletion?
        for _ in 0..<100 {
            done = await copy(rings[0])
            if done?.status == 0 { break }
            try await Task.sleep(for: .milliseconds(100))
        }
        #expect(done?.status == 0, "the second device has been asked nothing")
        await rig.stop()
    }

    @Test(
        "Task management notices are switched on at open; a kernel without them opens all the same",
        arguments: [true, false])
    func notices(_ hasNotices: Bool) async throws {
        let rig = try DaemonRig()
        let (device, ring) = try await add(7, "mem/x", to: rig, hasNotices: hasNotices)
        let attribute = "\(device.configFS)/attrib/tmr_notification"
        #expect(rig.tree.read(attribute) == (hasNotices ? "1" : "no such file"))
        #expect(await ring.perform(InitiatorCDB.testUnitReady)?.status == 0)
        await rig.stop()
    }
}
