import BlockBackend
import Glibc
import RBDBackend
import Reactor
import Synchronization
import SystemPackage
import Testing

/// Two gateways, that is two clients with a keeper each, and one image of a real cluster.
@Suite(
    "Ownership on a real cluster",
    .enabled(if: scratchCluster != nil, "set TCMU_TEST_CEPH_CONF to the ceph.conf of a scratch cluster"),
    .serialized)
struct ClusterOwnershipTests {
    private func block(_ byte: UInt8) -> [UInt8] { [UInt8](repeating: byte, count: 512) }

    private func gateway(_ image: borrowing ScratchImage, _ change: (inout RBDOptions) -> Void = { _ in }) throws
        -> Gateway
    {
        var options = image.options
        change(&options)
        return try Gateway(options, bytes: image.bytes)
    }

    private func hasLock(_ image: borrowing ScratchImage) throws -> Bool {
        try tool("rbd lock ls \(image.spec)").contains("auto")
    }

    private func isBlocklisted(_ address: String) throws -> Bool {
        try tool("ceph osd blocklist ls").contains(address)
    }

    /// Addresses of the clients that watch the image.
    private func watchers(_ image: borrowing ScratchImage) throws -> [String] {
        try tool("rbd status \(image.spec)").split(separator: "\n").compactMap { line in
            line.split(separator: "watcher=").dropFirst().first.map { String($0.prefix { $0 != " " }) }
        }
    }

    @Test("nothing but a write takes the lock, and it is answered BUSY meanwhile")
    func firstWrite() throws {
        let image = try ScratchImage()
        let one = try gateway(image)
        #expect(try one.read(block: 0) == block(0))
        #expect(try !hasLock(image))
        #expect(try watchers(image).count == 1, "one watcher on the header, as the original has")
        #expect(try one.write(block(1), block: 0) == -EAGAIN)
        try one.writeThrough(block(1), block: 0)
        #expect(try hasLock(image))
        #expect(one.generation == 0)
        one.close()
        #expect(try !hasLock(image))
        #expect(try watchers(image).isEmpty)
        #expect(try image.export()[0] == 1)
    }

    @Test("a gateway that asks gets the lock without anybody being fenced, and the former owner goes on reading")
    func politely() throws {
        let image = try ScratchImage()
        let one = try gateway(image)
        let two = try gateway(image)
        let clients = [one.client, two.client]
        for turn in 1...3 {
            try one.writeThrough(block(UInt8(turn)), block: 0)
            try two.writeThrough(block(UInt8(turn + 16)), block: 0)
            #expect(try one.read(block: 0) == block(UInt8(turn + 16)))
        }
        #expect(one.generation == 3)
        #expect(two.generation == 2)
        #expect([one.takeovers, two.takeovers] == [3, 2])
        #expect([one.client, two.client] == clients)
        #expect(one.remarks.contains { $0.contains("goes back and forth with") })
        two.close()
        one.close()
    }

    @Test("the lock changes hands at most once in a hold time, however hard both write")
    func hysteresis() throws {
        let image = try ScratchImage()
        let one = try gateway(image)
        let two = try gateway(image)
        var start = timespec()
        var end = timespec()
        try one.writeThrough(block(1), block: 0)
        clock_gettime(CLOCK_MONOTONIC, &start)
        for _ in 0..<500 {
            _ = try one.write(block(1), block: 0)
            _ = try two.write(block(2), block: 0)
            usleep(5000)
        }
        clock_gettime(CLOCK_MONOTONIC, &end)
        let milliseconds = (end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1_000_000
        let changes = Int(one.generation + two.generation)
        print("\(changes) hand-overs in \(milliseconds) ms")
        #expect(changes >= 1)
        #expect(changes <= milliseconds / 500 + 1)
        two.close()
        one.close()
    }

    @Test(
        "an owner that does not answer is fenced, also where metadata tells librbd not to; its next write fails",
        arguments: ["true", "false"])
    func silentOwner(blocklistOnBreak: String) throws {
        let image = try ScratchImage()
        try tool("rbd config image set \(image.spec) rbd_blocklist_on_break_lock \(blocklistOnBreak)")
        var dead = try image.open()
        let answers = try Answers()
        let segments = Segments(block(1))
        let extent = ByteExtent(offset: 0, length: 512)
        #expect(
            try answers.result(dead.write(extent, from: segments.list, durable: false, ticket: answers.ticket()))
                == .success)
        let address = try #require(try watchers(image).first)
        let two = try gateway(image)
        try two.writeThrough(block(2), block: 0)
        #expect(try isBlocklisted(address))
        #expect(
            try answers.result(dead.write(extent, from: segments.list, durable: false, ticket: answers.ticket()))
                .code
                == -ESHUTDOWN)
        #expect(try two.read(block: 0) == block(2))
        #expect(two.remarks.contains { $0.contains("does not give it back") })
        two.close()
        dead.close()
    }

    @Test("an owner that was fenced while another gateway took the lock finds out about it")
    func takenOver() throws {
        let image = try ScratchImage()
        let one = try gateway(image)
        try one.writeThrough(block(1), block: 0)
        let client = one.client
        let address = try #require(try watchers(image).first)
        let two = try gateway(image)
        try tool("ceph osd blocklist add \(address)")
        try two.writeThrough(block(2), block: 0)
        #expect(one.waits { $0.client != client }, "\(one.notices)")
        try one.writeThrough(block(3), block: 0)
        #expect([one.takeovers, two.takeovers] == [1, 1])
        two.close()
        one.close()
    }

    @Test("every ticket comes back once when the image is replaced under writes", arguments: [1, 2, 3])
    func replacedUnderWrites(round: Int) throws {
        let image = try ScratchImage()
        let one = try gateway(image)
        try one.writeThrough(block(1), block: 0)
        let client = one.client
        let address = try #require(try watchers(image).first)
        let count = 128
        let answers = try Answers(count: count)
        let segments = Segments([UInt8](repeating: 7, count: 65536))
        let tickets = (0..<count).map { answers.ticket($0) }
        let list = segments.list
        let pending = one.loop.run {
            var pending = 0
            for (index, ticket) in tickets.enumerated() {
                let extent = ByteExtent(offset: UInt64(index * 65536), length: 65536)
                if case .pending = one.backend.pointee.write(extent, from: list, durable: false, ticket: ticket) {
                    pending += 1
                }
            }
            return pending
        }
        try tool("ceph osd blocklist add \(address)")
        let results = try answers.collect(pending)
        #expect(pending == count)
        #expect(Set(results.map(\.slot)).count == count)
        #expect(one.waits { $0.client != client })
        try one.writeThrough(block(3), block: 0)
        #expect(try one.read(block: 0) == block(3))
        one.close()
        _ = try? tool("ceph osd blocklist rm \(address)")
    }

    /// The lock's cookie and its holder, as `rbd lock ls` prints them.
    private func locker(_ image: borrowing ScratchImage) throws -> (cookie: String, client: String) {
        let line = try #require(
            try tool("rbd lock ls \(image.spec)").split(separator: "\n").first { $0.contains("auto") })
        let words = line.split(separator: " ")
        return (words.drop { $0 != "auto" }.prefix(2).joined(separator: " "), String(try #require(words.first)))
    }

    @Test("rbd lock rm fences the owner, which comes back by itself")
    func lockRemoved() throws {
        let image = try ScratchImage()
        let one = try gateway(image)
        try one.writeThrough(block(1), block: 0)
        let client = one.client
        let locker = try locker(image)
        try tool("rbd lock rm \(image.spec) '\(locker.cookie)' \(locker.client)")
        #expect(one.waits { $0.client != client }, "\(one.notices)")
        try one.writeThrough(block(2), block: 0)
        #expect(try hasLock(image))
        one.close()
    }

    @Test("a lock that vanished without a fence is noticed and taken again, by the same client")
    func lockVanished() throws {
        let image = try ScratchImage()
        let one = try gateway(image)
        try one.writeThrough(block(1), block: 0)
        let client = one.client
        let locker = try locker(image)
        let info = try tool("rbd info \(image.spec)")
        let identifier = try #require(
            info.split(separator: "\n").first { $0.contains("\tid: ") }?.split(separator: " ").last)
        try tool(
            "rados -p \(scratchPool) lock break rbd_header.\(identifier) rbd_lock \(locker.client) --lock-cookie '\(locker.cookie)'"
        )
        #expect(one.waits { $0.remarks.contains { $0.contains("removed by hand") } }, "\(one.notices)")
        try one.writeThrough(block(2), block: 0)
        #expect(try hasLock(image))
        #expect(one.client == client)
        #expect(one.generation == 1)
        one.close()
    }

    @Test("an image that vanished is told to be gone, and is found again when it is back")
    func gone() throws {
        let image = try ScratchImage()
        let one = try gateway(image)
        try one.writeThrough(block(1), block: 0)
        let address = try #require(try watchers(image).first)
        let name = image.options.image
        try tool(
            "rados -p \(scratchPool) get rbd_id.\(name) /tmp/\(name) && rados -p \(scratchPool) rm rbd_id.\(name)")
        defer { unlink("/tmp/\(name)") }
        try tool("ceph osd blocklist add \(address)")
        #expect(one.waits { $0.notices.contains(.availability(.gone(errno: ENOENT))) }, "\(one.notices)")
        try tool("rados -p \(scratchPool) put rbd_id.\(name) /tmp/\(name)")
        #expect(
            one.waits { $0.notices.last == .availability(.ready) || $0.notices.contains(.availability(.ready)) })
        try one.writeThrough(block(2), block: 0)
        one.close()
        _ = try? tool("ceph osd blocklist rm \(address)")
    }

    @Test("a size that changed is told, and the unit grows only as far as the image does")
    func resize() throws {
        let image = try ScratchImage()
        let one = try gateway(image)
        #expect(throws: BackendError.self) { try one.resize(to: image.bytes * 2) }
        try tool("rbd resize --no-progress --size 32M \(image.spec)")
        #expect(one.waits { $0.notices.contains(.sizeDiffers(bytes: 32 << 20)) }, "\(one.notices)")
        #expect(one.size == image.bytes)
        try one.resize(to: 32 << 20)
        #expect(one.size == 32 << 20)
        let error = #expect(throws: BackendError.self) { try one.resize(to: 16 << 20) }
        #expect(error?.errno == .invalidArgument)
        try one.writeThrough(block(9), block: (32 << 20) / 512 - 1)
        // A replaced session keeps what is exported.
        let client = one.client
        let address = try #require(try watchers(image).first)
        try tool("rbd resize --no-progress --size 48M \(image.spec)")
        try tool("ceph osd blocklist add \(address)")
        #expect(one.waits { $0.client != client })
        #expect(one.size == 32 << 20)
        #expect(one.waits { $0.notices.contains(.sizeDiffers(bytes: 48 << 20)) }, "\(one.notices)")
        #expect(try one.read(block: (32 << 20) / 512 - 1) == block(9))
        one.close()
        _ = try? tool("ceph osd blocklist rm \(address)")
    }

    @Test(
        "an image that was shrunk: no write beyond its end is called a success, and it works again at its old size")
    func shrunk() throws {
        let image = try ScratchImage()
        let one = try gateway(image)
        try tool("rbd resize --no-progress --allow-shrink --size 8M \(image.spec)")
        #expect(one.waits { $0.notices.contains(.sizeDiffers(bytes: 8 << 20)) }, "\(one.notices)")
        #expect(one.size == image.bytes)
        let last = (8 << 20) / 4096 - 1
        let block = [UInt8](repeating: 5, count: 4096)
        #expect(try one.write(block, block: last + 1) == -EIO)
        try one.writeThrough(block, block: last)
        #expect(try one.read(block: last + 1, bytes: 4096) == nil)
        try tool("rbd resize --no-progress --size \(image.bytes >> 20)M \(image.spec)")
        #expect(one.waits { $0.notices.contains(.sizeDiffers(bytes: image.bytes)) }, "\(one.notices)")
        try one.writeThrough(block, block: last + 1)
        one.close()
    }

    @Test("stopped and closed at any moment, it leaves nothing in the cluster", arguments: 0..<12)
    func stoppedAnyTime(round: Int) throws {
        var random = SeededGenerator(seed: UInt64(round))
        let image = try ScratchImage()
        let other = try gateway(image)
        if round % 2 == 0 { try other.writeThrough(block(1), block: 0) }
        let one = try gateway(image)
        _ = try one.write(block(2), block: 0)
        if round % 3 == 0, let address = try watchers(image).last { try tool("ceph osd blocklist add \(address)") }
        usleep(UInt32.random(in: 0...60_000, using: &random))
        one.close()
        other.close()
        #expect(try watchers(image).isEmpty)
        // The manager hears of it a moment later.
        var isListed = true
        for _ in 0..<60 where isListed {
            isListed = try tool("ceph service dump").contains(image.options.image)
            if isListed { usleep(200_000) }
        }
        #expect(!isListed)
    }

    @Test(
        "writes from both sides with fences in between: what was acknowledged is never overwritten by older data",
        arguments: [1, UInt64.random(in: 2...1 << 32)])
    func randomWriters(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let image = try ScratchImage()
        let gateways = [try gateway(image), try gateway(image)]
        var floor = [UInt64](repeating: 0, count: 8)
        for sequence in UInt64(1)...150 {
            let place = Int.random(in: 0..<floor.count, using: &random)
            let writer = gateways[Int.random(in: 0..<10, using: &random) == 0 ? 1 : Int(sequence / 40) % 2]
            try writer.writeThrough(Self.numbered(sequence, place), block: place)
            floor[place] = sequence
            if Int.random(in: 0..<50, using: &random) == 0,
                let address = try watchers(image).randomElement(using: &random)
            {
                try tool("ceph osd blocklist add \(address)")
            }
            let reader = gateways[Int.random(in: 0..<2, using: &random)]
            if let bytes = try reader.read(block: place) {
                #expect(bytes == Self.numbered(floor[place], place), "seed \(seed), block \(place)")
            }
        }
        for gateway in gateways { gateway.close() }
        let bytes = try image.export()
        for (place, sequence) in floor.enumerated() where sequence > 0 {
            #expect(Array(bytes[place * 512..<(place + 1) * 512]) == Self.numbered(sequence, place), "seed \(seed)")
        }
    }

    private static func numbered(_ sequence: UInt64, _ place: Int) -> [UInt8] {
        var random = SeededGenerator(seed: sequence << 16 | UInt64(place))
        return random.bytes(512)
    }

    @Test("writes that an OSD kept while it hung never land after the next owner's", arguments: [1, 2])
    func stalled(round: Int) throws {
        let image = try ScratchImage()
        let one = try gateway(image) {
            $0.settings = [RBDSetting("osd_heartbeat_grace", "1"), RBDSetting("osd_heartbeat_interval", "1")]
            $0.osdOperationTimeoutSeconds = 3
        }
        let two = try gateway(image)
        try one.writeThrough(block(1), block: 0)
        usleep(600_000)
        let client = one.client
        let stalled = try StalledOSDs()
        let result = try one.write(block(2), block: 0)
        // The next owner begins while the OSD still hangs.
        _ = try two.write(block(3), block: 0)
        usleep(200_000)
        stalled.goOn()
        #expect(result == -ETIMEDOUT)
        try two.writeThrough(block(3), block: 0)
        for _ in 0..<20 {
            #expect(try two.read(block: 0) == block(3))
            usleep(50_000)
        }
        #expect(one.waits { $0.client != client }, "the end of a write was unknown: only a fence makes it safe")
        two.close()
        one.close()
        #expect(try image.export()[0] == 3)
    }

    @Test("the taking is noted in the image's metadata where that is wanted, as the original writes it")
    func tag() throws {
        let image = try ScratchImage()
        let one = try gateway(image) { $0.lockTag = 7 }
        try one.writeThrough(block(1), block: 0)
        #expect(one.waits { _ in (try? tool("rbd image-meta get \(image.spec) tcmu_rbd_locker_tag")) != nil })
        let text = try tool("rbd image-meta get \(image.spec) tcmu_rbd_locker_tag")
        #expect(text.hasPrefix("tcmu_tag=7,rbd_client="), "\(text)")
        one.close()
    }
}
