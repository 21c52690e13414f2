import Glibc
import Logging
import TCMUNetlink
import TCMUTestKit
import Testing

@testable import Daemon

@Suite("Hearing the kernel")
struct NetlinkListenerTests {
    @Test(
        "What came before the stop is in the stream, in order, and no thread is taken for it",
        .timeLimit(.minutes(1)))
    func hears() async throws {
        let peer = try NetlinkPeer()
        let listener = try NetlinkListener(try peer.makeSession(), logger: Logger(label: "test"))
        let names = (0..<300).map { "tcm-user/1/disk\($0)/file//image" }
        // More than one receive takes, so that the socket stays readable over a wait.
        for (minor, name) in names.enumerated() {
            peer.send(.added, minor: UInt32(minor), deviceID: 7, name: name)
        }
        var heard: [String] = []
        for await event in listener.events {
            // By now a thread of its own would have its name.
            if heard.isEmpty { #expect(!threadNames().contains("tcmud-netlink")) }
            if case .added(let device) = event { heard.append(device.name) }
            if heard.count == names.count { listener.stop() }
        }
        #expect(heard == names)
        _ = await BlockingCall.wait(atMost: .seconds(10)) { listener.hasEnded }
        #expect(listener.hasEnded)
    }

    @Test("The stream ends when the socket fails", .timeLimit(.minutes(1)))
    func fails() async throws {
        var peer: NetlinkPeer? = try NetlinkPeer()
        let listener = try NetlinkListener(try #require(peer).makeSession(), logger: Logger(label: "test"))
        peer = nil
        for await _ in listener.events {}
        #expect(await BlockingCall.wait(atMost: .seconds(10)) { listener.hasEnded })
    }

    private func threadNames() -> [String] {
        guard let stream = opendir("/proc/self/task") else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let thread = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard let file = fopen("/proc/self/task/\(thread)/comm", "r") else { continue }
            defer { fclose(file) }
            var line = [CChar](repeating: 0, count: 32)
            if fgets(&line, 32, file) != nil {
                names.append(
                    String(
                        decoding: line.prefix { $0 != 10 && $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
            }
        }
        return names
    }
}
