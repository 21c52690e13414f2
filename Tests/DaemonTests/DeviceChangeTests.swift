import Glibc
import SystemPackage
import TCMUNetlink
import TCMUTestKit
import Testing

@testable import Daemon

@Suite("Settings of a file device that change while it is at work")
struct DeviceChangeTests {
    private static let bytes = 1 << 20

    /// A file device at work on an image of ``bytes``.
    private func served(_ rig: DaemonRig, _ image: TemporaryImage) async throws -> (
        SimulatedDevice, KernelRing
    ) {
        let ring = try KernelRing()
        var device = SimulatedDevice(6, "file/\(image.path)")
        device.mapSize = ring.simulator.geometry.mapSize
        rig.tree.add(device)
        rig.nodes.put(ring.simulator, minor: 6)
        #expect(await rig.answer(to: try rig.announce(.added, device)) == 0)
        return (device, ring)
    }

    private func change(_ rig: DaemonRig, _ device: SimulatedDevice, _ change: DeviceChange) async throws -> Int32?
    {
        rig.forgetAnswers()
        let request = try await rig.announce(.reconfigured, device, change: change)
        return await rig.answer(to: request)
    }

    private func blocks(_ ring: KernelRing) async throws -> Int {
        let answer = try #require(await ring.perform([0x25] + [UInt8](repeating: 0, count: 9), dataInLength: 8))
        #expect(answer.status == 0)
        return answer.dataIn.prefix(4).reduce(0) { $0 << 8 | Int($1) } + 1
    }

    @Test("a file that has grown is exported as it is, by one unit attention, and nothing else is taken")
    func grows() async throws {
        let rig = try DaemonRig()
        let image = try TemporaryImage(size: Self.bytes)
        let (device, ring) = try await served(rig, image)
        let twice = UInt64(2 * Self.bytes)

        #expect(try await change(rig, device, .size(twice)) == -EINVAL)
        #expect(
            rig.log.contains(
                "file/disk6: the size stays \(Self.bytes) bytes: image \(image.path) has \(Self.bytes) bytes"))
        #expect(try await blocks(ring) == Self.bytes / 512)

        try #require(truncate(image.path, 2 * Self.bytes) == 0)
        #expect(try await change(rig, device, .size(twice + 512)) == -EINVAL, "more than the file")
        #expect(try await change(rig, device, .size(twice - 1)) == -EINVAL, "no whole block")
        #expect(try await change(rig, device, .size(twice)) == 0)
        let attention = try #require(await ring.perform(InitiatorCDB.testUnitReady))
        #expect(attention.status == 2)
        #expect(attention.senseTriple.map { [$0.key, $0.asc, $0.ascq] } == [0x06, 0x2A, 0x09])
        #expect(await ring.perform(InitiatorCDB.testUnitReady)?.status == 0)
        #expect(try await blocks(ring) == 2 * Self.bytes / 512)

        let last = 2 * Self.bytes / 512 - 1
        let content = [UInt8](repeating: 0x4E, count: 512)
        #expect(await ring.perform(InitiatorCDB.write10(UInt32(last), 1), dataOut: content)?.status == 0)
        #expect(await ring.perform(InitiatorCDB.read10(UInt32(last), 1), dataInLength: 512)?.dataIn == content)

        #expect(try await change(rig, device, .size(UInt64(Self.bytes))) == -EINVAL, "initiators know more")
        #expect(rig.log.contains("cannot change from \(twice) to \(Self.bytes) bytes"))
        #expect(await ring.perform(InitiatorCDB.testUnitReady)?.status == 0)
        #expect(try await change(rig, device, .size(twice)) == 0)
        #expect(await ring.perform(InitiatorCDB.testUnitReady)?.status == 0, "nothing has changed")

        #expect(await rig.answer(to: try rig.announce(.removed, device)) == 0)
        await rig.stop()
    }

    @Test(
        "emulate_write_cache may be set to what the unit says, and to what it is; both are no change",
        arguments: [
            ("0", false, 0), ("0", true, 0), ("1", true, 0), ("1", false, -EOPNOTSUPP), ("?", false, -EOPNOTSUPP),
        ])
    func writeCache(noted: String, wanted: Bool, status: Int32) async throws {
        let rig = try DaemonRig()
        let image = try TemporaryImage(size: Self.bytes)
        let (device, ring) = try await served(rig, image)
        rig.tree.write("\(noted)\n", to: "\(device.configFS)/attrib/emulate_write_cache")
        #expect(try await change(rig, device, .writeCache(wanted)) == status)
        #expect(rig.log.contains("emulate_write_cache cannot become 0") == (status != 0))
        // MODE SENSE(6), caching page: WCE is as it was.
        let page = try #require(await ring.perform([0x1A, 0x08, 0x08, 0, 0xFF, 0], dataInLength: 255)).dataIn
        #expect(page[4] & 0x3F == 0x08)
        #expect(page[6] & 0x04 == 0x04)
        await rig.stop()
    }
}
