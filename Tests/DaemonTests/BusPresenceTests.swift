import BlockBackend
import Configuration
import Glibc
import TCMUTestKit
import Testing

@testable import Daemon

@Suite("The word that the daemon is ready")
struct BusPresenceTests {
    /// The service manager's end of its socket, which every word comes to.
    private struct Manager {
        let socket: CInt

        init(in tree: KernelTree) {
            let path = "\(tree.path)/notify"
            socket = Glibc.socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
            let length = socklen_t(MemoryLayout<sockaddr_un>.size)
            let status = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(socket, $0, length) }
            }
            precondition(status == 0, "no socket at \(path)")
            setenv("NOTIFY_SOCKET", path, 1)
        }

        /// What has come; nil if nothing has.
        func word() -> String? {
            var bytes = [UInt8](repeating: 0, count: 256)
            let count = recv(socket, &bytes, bytes.count, CInt(MSG_DONTWAIT))
            return count < 0 ? nil : String(decoding: bytes.prefix(count), as: UTF8.self)
        }
    }

    private static func begin(hangs: Bool) async throws -> (rig: DaemonRig, manager: Manager, size: String) {
        let rig = try DaemonRig()
        let manager = Manager(in: rig.tree)
        let ring = try KernelRing()
        var device = SimulatedDevice(7, "mem/a")
        device.mapSize = ring.simulator.geometry.mapSize
        rig.tree.add(device)
        rig.nodes.put(ring.simulator, minor: 7)
        let size = "\(device.configFS)/attrib/hw_block_size"
        if hangs { rig.tree.hang(size) }
        await rig.table.rescan()
        return (rig, manager, size)
    }

    private static func presence(_ rig: DaemonRig, patience: Duration) -> BusPresence {
        var configuration = rig.tree.configuration
        configuration.usesDBus = false
        configuration.readyPatience = patience
        return BusPresence(configuration, budget: .none, logger: rig.log.logger)
    }

    @Test("comes in time though the open of an image hangs, and says so; the image is served once it opens")
    func hangs() async {
        await #expect(processExitsWith: .success) {
            let (rig, manager, size) = try await Self.begin(hangs: true)
            try #require(await rig.isOpening(minor: 7))
            let presence = Self.presence(rig, patience: .milliseconds(300))
            let began = ContinuousClock.now
            await presence.begin(whenSettled: rig.table)
            precondition(ContinuousClock.now - began >= .milliseconds(300), "it was not waited for")
            precondition(manager.word() == "READY=1")
            precondition(rig.log.contains("ready, though not every device that was there is open"))
            rig.tree.release(size, with: "512\n")
            try #require(await rig.logs("mem/disk7: serving mem/a"))
            presence.end()
            precondition(manager.word() == "STOPPING=1")
            await rig.stop()
        }
    }

    @Test("comes behind the last device that was there, not before")
    func settles() async {
        await #expect(processExitsWith: .success) {
            let (rig, manager, size) = try await Self.begin(hangs: true)
            try #require(await rig.isOpening(minor: 7))
            let presence = Self.presence(rig, patience: .seconds(240))
            let table = rig.table
            let beginning = Task { await presence.begin(whenSettled: table) }
            usleep(300_000)
            precondition(manager.word() == nil, "ready before its device is open")
            rig.tree.release(size, with: "512\n")
            await beginning.value
            precondition(manager.word() == "READY=1")
            precondition(!rig.log.contains("ready, though"))
            await rig.stop()
        }
    }

    @Test("does not come when the daemon stops while an open hangs")
    func stops() async {
        await #expect(processExitsWith: .success) {
            let (rig, manager, size) = try await Self.begin(hangs: true)
            try #require(await rig.isOpening(minor: 7))
            let presence = Self.presence(rig, patience: .milliseconds(500))
            let table = rig.table
            let beginning = Task { await presence.begin(whenSettled: table) }
            usleep(100_000)
            presence.end()
            await beginning.value
            precondition(manager.word() == "STOPPING=1")
            precondition(manager.word() == nil)
            rig.tree.release(size, with: "512\n")
            await rig.stop()
        }
    }
}
