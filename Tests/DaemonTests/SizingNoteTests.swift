import TCMUNetlink
import TCMUTestKit
import Testing

@testable import Daemon

/// From the kernel's files to the daemon's log.
@Suite("Sizing: what the log says of a unit at its open")
struct SizingNoteTests {
    /// Lets a mem device with these attributes be announced, and returns the log lines about its sizing.
    private func lines(_ attributes: [String: String], global: String? = nil) async throws -> [String] {
        let rig = try DaemonRig()
        let ring = try KernelRing()
        var device = SimulatedDevice(7, "mem/a")
        device.mapSize = ring.simulator.geometry.mapSize
        rig.tree.add(device)
        for (name, text) in attributes { rig.tree.write("\(text)\n", to: "\(device.configFS)/attrib/\(name)") }
        if let global {
            rig.tree.write("\(global)\n", to: "sys/module/target_core_user/parameters/global_max_data_area_mb")
        }
        rig.nodes.put(ring.simulator, minor: 7)
        let added = try await rig.announce(.added, device)
        #expect(await rig.answer(to: added) == 0, "served, whatever its settings")
        #expect(await rig.logs("serving mem/a"))
        await rig.stop()
        return rig.log.lines.filter { $0.contains("at once") || $0.contains("room for") }
    }

    @Test("a setting that limits the unit is a warning, and names what to change")
    func wanting() async throws {
        let lines = try await lines([
            "hw_max_sectors": "1024", "max_data_area_mb": "8", "data_pages_per_blk": "1", "cmd_ring_size_mb": "8",
            "hw_queue_depth": "128",
        ])
        #expect(
            lines == [
                """
                warning: mem/disk7: max_data_area_mb=8 lets 16 commands of 512 KiB run at once (2048 of 4 KiB), \
                of a queue depth of 128; raise max_data_area_mb to 128
                """
            ])
    }

    @Test("the kernel's bound for all devices is read as well")
    func global() async throws {
        let lines = try await lines(["hw_max_sectors": "1024", "max_data_area_mb": "8"], global: "32")
        #expect(lines.count == 1)
        #expect(lines.first?.hasSuffix("raise max_data_area_mb to 64, and global_max_data_area_mb first") == true)
    }

    @Test("an old kernel shows nothing but the transfer size: as its defaults, and no complaint")
    func old() async throws {
        let lines = try await lines([:])
        #expect(
            lines == [
                """
                info: mem/disk7: the queue depth of 128 is the bound; tcmud lets 4096 commands of 64 KiB run at once \
                (4096 of 4 KiB)
                """
            ])
    }

    @Test(
        "garbage is named, and the unit is served",
        arguments: ["max_data_area_mb", "data_pages_per_blk", "cmd_ring_size_mb", "hw_queue_depth"],
        ["", "-1", "lots", "4294967296", "99999999999999999999999"])
    func garbage(name: String, text: String) async throws {
        let lines = try await lines([name: text])
        #expect(lines.count == 1)
        #expect(lines.first?.hasPrefix("info: mem/disk7: what its settings leave room for is not known") == true)
        #expect(lines.first?.contains("attrib/\(name) holds \"\(text)\", expected a number") == true)
    }

    @Test(
        "extreme values are served as well",
        arguments: ["max_data_area_mb", "data_pages_per_blk", "cmd_ring_size_mb", "hw_queue_depth"],
        ["0", "4294967295"])
    func extreme(name: String, text: String) async throws {
        #expect(try await lines([name: text]).count == 1)
    }
}
