import BlockBackend
import Glibc
import RBDBackend
import Reactor
import Synchronization
import SystemPackage
import Testing

/// Who shares what with whom, and what happens to the others.
@Suite(
    "Connections on a real cluster",
    .enabled(if: scratchCluster != nil, "set TCMU_TEST_CEPH_CONF to the ceph.conf of a scratch cluster"),
    .serialized)
struct ClusterConnectionTests {
    private let group = "group-\(UInt64.random(in: 0...UInt64.max))"

    private func write(_ backend: inout RBDBackend, _ byte: UInt8) throws -> IOResult {
        let segments = Segments([UInt8](repeating: byte, count: 512))
        let answers = try Answers()
        let extent = ByteExtent(offset: 0, length: 512)
        return try answers.result(
            backend.write(extent, from: segments.list, durable: false, ticket: answers.ticket()))
    }

    /// Blocklists the client that watches `image`. Returns its address.
    private func blocklist(_ image: borrowing ScratchImage) throws -> String {
        let status = try tool("rbd status \(image.spec)")
        let address = try #require(status.split(separator: "watcher=").dropFirst().first?.prefix { $0 != " " })
        try tool("ceph osd blocklist add \(address)")
        return String(address)
    }

    @Test("images in a group are open by one client; closing one leaves the other at work, the last takes it along")
    func shared() throws {
        let one = try ScratchImage()
        let two = try ScratchImage()
        var first = try one.open { $0.connectionGroup = group }
        var second = try two.open { $0.connectionGroup = group }
        let client = first.clientInstance
        #expect(client != 0)
        #expect(second.clientInstance == client)
        #expect(try write(&first, 0x11) == .success)
        #expect(try write(&second, 0x22) == .success)
        first.close()
        #expect(first.clientInstance == 0)
        #expect(try write(&second, 0x33) == .success)
        var again = try one.open { $0.connectionGroup = group }
        #expect(again.clientInstance == client)
        again.close()
        second.close()
        #expect(try two.export()[0] == 0x33)
        var anew = try one.open { $0.connectionGroup = group }
        #expect(anew.clientInstance != client, "the connection ended with its last image")
        anew.close()
    }

    @Test("images without a group, and those of two groups, are clients of their own")
    func separate() throws {
        let one = try ScratchImage()
        let two = try ScratchImage()
        var backends = [Held(try one.open()), Held(try two.open())]
        backends.append(Held(try one.open { $0.connectionGroup = group }))
        backends.append(Held(try two.open { $0.connectionGroup = group + "-b" }))
        #expect(Set(backends.map(\.client)).count == 4)
    }

    @Test("a group's settings are those of its first image")
    func otherSettings() throws {
        let one = try ScratchImage()
        let two = try ScratchImage()
        var first = try one.open { $0.connectionGroup = group }
        let error = #expect(throws: BackendError.self) {
            var second = try two.open {
                $0.connectionGroup = group
                $0.osdOperationTimeoutSeconds = 45
            }
            second.close()
        }
        #expect(error?.errno == .invalidArgument)
        #expect(error?.message.contains("osd_op_timeout 45 instead of 30") == true, "\(error?.message ?? "")")
        #expect(try write(&first, 0x44) == .success)
        first.close()
    }

    @Test("an image that cannot be opened takes nobody's connection along")
    func failedOpen() throws {
        let image = try ScratchImage()
        var first = try image.open { $0.connectionGroup = group }
        let client = first.clientInstance
        let error = #expect(throws: BackendError.self) {
            var second = try image.open {
                $0.connectionGroup = group
                $0.image = "no-such-image"
            }
            second.close()
        }
        #expect(error?.errno == .noSuchFileOrDirectory)
        #expect(try write(&first, 0x55) == .success)
        #expect(first.clientInstance == client)
        first.close()
    }

    @Test("a blocklisted client takes its own image down and no other, though they share a context")
    func blocklistedAlone() throws {
        let one = try ScratchImage()
        let two = try ScratchImage()
        var first = try one.open()
        var second = try two.open()
        #expect(try write(&first, 0x65) == .success)
        let address = try blocklist(one)
        defer { _ = try? tool("ceph osd blocklist rm \(address)") }
        #expect(try write(&first, 0x66).code == -108)
        #expect(try write(&second, 0x77) == .success)
        var again = try one.open()
        #expect(try write(&again, 0x78) == .success)
        again.close()
        second.close()
        first.close()
    }

    @Test("a group's blocklisted connection is left behind by images that are opened again")
    func blocklistedGroup() throws {
        let one = try ScratchImage()
        let two = try ScratchImage()
        var first = try one.open { $0.connectionGroup = group }
        var second = try two.open { $0.connectionGroup = group }
        let client = first.clientInstance
        #expect(try write(&first, 0x10) == .success)
        #expect(try write(&second, 0x20) == .success)
        let address = try blocklist(one)
        defer { _ = try? tool("ceph osd blocklist rm \(address)") }
        #expect(try write(&first, 0x01).code == -108)
        #expect(try write(&second, 0x02).code == -108, "the price of sharing")
        first.close()
        var again = try one.open { $0.connectionGroup = group }
        #expect(again.clientInstance != client)
        #expect(again.openNotes.contains { $0.contains("client.\(client) is blocklisted") }, "\(again.openNotes)")
        #expect(try write(&again, 0x03) == .success)
        second.close()
        var alsoAgain = try two.open { $0.connectionGroup = group }
        #expect(alsoAgain.clientInstance == again.clientInstance)
        #expect(try write(&alsoAgain, 0x04) == .success)
        alsoAgain.close()
        again.close()
    }

    @Test("images opened and closed by many threads at once find their connections")
    func concurrent() throws {
        let image = try ScratchImage()
        let options = image.options
        let (bytes, group) = (image.bytes, group)
        let clients = Mutex<[(grouped: Bool, client: UInt64)]>([])
        let failures = Mutex<[String]>([])
        let everybody = Atomic<Int>(0)
        let threads = (0..<12).map { index in
            OwnedThread(name: "opener-\(index)") {
                var options = options
                // Without watches: 12 of them on one image would be told of each other's lock.
                options.readOnly = true
                if index % 2 == 0 { options.connectionGroup = group }
                for round in 0..<3 {
                    do throws(BackendError) {
                        var backend = try RBDBackend.open(options, expectedSize: bytes, blockSize: 512)
                        if round == 0 {
                            clients.withLock { $0.append((index % 2 == 0, backend.clientInstance)) }
                            // Held until all have theirs, so that the group's is one.
                            everybody.add(1, ordering: .relaxed)
                            for _ in 0..<60_000 where everybody.load(ordering: .relaxed) < 12 { usleep(1000) }
                        }
                        backend.close()
                    } catch {
                        everybody.add(1, ordering: .relaxed)
                        failures.withLock { $0.append(error.message) }
                    }
                }
            }
        }
        for thread in threads { thread?.join() }
        #expect(failures.withLock { $0 } == [])
        let found = clients.withLock { $0 }
        #expect(Set(found.filter(\.grouped).map(\.client)).count == 1)
        #expect(Set(found.filter { !$0.grouped }.map(\.client)).count == 6)
    }

    @Test("a further image costs 8 threads at most with a connection of its own, none in a group")
    func threads() async {
        // In a process of its own: the other suites have connections, too.
        await #expect(processExitsWith: .success) {
            let image = try ScratchImage()
            for (most, group) in [(8, nil), (0, "g")] {
                func open() throws -> Held {
                    try Held(
                        image.open {
                            $0.readOnly = true
                            $0.connectionGroup = group
                        })
                }
                var held = [try open()]
                let before = try threadNames().count
                for _ in 0..<10 { held.append(try open()) }
                #expect(try threadNames().count - before <= 10 * most)
                withExtendedLifetime(held) {}
            }
        }
    }

    @Test("ceph.conf decides on the messenger's workers if it wants to")
    func workers() async {
        await #expect(processExitsWith: .success) {
            func workers() throws -> Int { try threadNames().count { $0.hasPrefix("msgr-worker") } }
            let image = try ScratchImage()
            let backend = try Held(image.open())
            #expect(try workers() == messengerWorkers(cpus: sysconf(CInt(_SC_NPROCESSORS_ONLN))))
            let before = try workers()
            let common = try String(decoding: fileContents(#require(scratchCluster)), as: UTF8.self)
            let conf = try TemporaryFile("[global]\nms async op threads = 5\n" + common)
            let other = try Held(image.open { $0.confPath = conf.path })
            #expect(try workers() - before == 5)
            withExtendedLifetime((backend, other)) {}
        }
    }
}

/// Names of this process's threads.
private func threadNames() throws -> [String] {
    let directory = try #require(opendir("/proc/self/task"))
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
        let id = withUnsafeBytes(of: entry.pointee.d_name) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        // A thread may have ended meanwhile.
        if !id.hasPrefix("."), let name = try? fileContents("/proc/self/task/\(id)/comm") {
            names.append(String(decoding: name, as: UTF8.self))
        }
    }
    return names
}

/// An open image that is closed with its owner.
private final class Held {
    private var backend: RBDBackend
    let client: UInt64

    init(_ backend: consuming RBDBackend) {
        client = backend.clientInstance
        self.backend = backend
    }

    deinit {
        backend.close()
    }
}
