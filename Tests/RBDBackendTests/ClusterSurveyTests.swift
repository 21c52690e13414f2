import BlockBackend
import RBDBackend
import Testing

/// What librbd tells of allocation and the monitors of space. Exact to the object's last byte and no further: see
/// docs/backends/rbd.md.
@Suite(
    "Surveys on a real cluster",
    .enabled(if: scratchCluster != nil, "set TCMU_TEST_CEPH_CONF to the ceph.conf of a scratch cluster"),
    .serialized)
struct ClusterSurveyTests {
    private static let mib = 1 << 20

    private func run(_ range: Range<Int>, _ isMapped: Bool) -> AllocationRun {
        AllocationRun(
            extent: ByteExtent(offset: UInt64(range.lowerBound), length: UInt64(range.count)), isMapped: isMapped)
    }

    private func runs(_ backend: inout RBDBackend, _ range: Range<Int>, limit: Int = 1000) throws -> [AllocationRun]
    {
        let answers = try Answers()
        let survey = Survey(
            .allocation(ByteExtent(offset: UInt64(range.lowerBound), length: UInt64(range.count)), limit: limit))
        #expect(try answers.result(backend.survey(survey, ticket: answers.ticket())) == .success)
        return survey.runs
    }

    private func write(_ backend: inout RBDBackend, _ range: Range<Int>) throws {
        let answers = try Answers()
        let segments = Segments([UInt8](repeating: 0xA5, count: range.count))
        let extent = ByteExtent(offset: UInt64(range.lowerBound), length: UInt64(range.count))
        #expect(
            try answers.result(
                backend.write(extent, from: segments.list, durable: false, ticket: answers.ticket())) == .success)
    }

    private func discard(_ backend: inout RBDBackend, _ range: Range<Int>) throws {
        let answers = try Answers()
        let extent = ByteExtent(offset: UInt64(range.lowerBound), length: UInt64(range.count))
        #expect(try answers.result(backend.discard(extent, ticket: answers.ticket())) == .success)
    }

    @Test(
        "objects count up to the last byte written, and a discarded one is a hole",
        arguments: ["", "--image-feature layering"])
    func extents(flags: String) throws {
        let mib = Self.mib
        let image = try ScratchImage(flags: flags)
        var backend = try image.open()
        #expect(try runs(&backend, 0..<16 * mib) == [run(0..<16 * mib, false)])
        try write(&backend, mib..<mib + 65536)
        try write(&backend, 12 * mib - 512..<12 * mib + 512)
        // The hole at the start of objects 0 and 2 does not show.
        let written = [
            run(0..<mib + 65536, true), run(mib + 65536..<8 * mib, false), run(8 * mib..<12 * mib + 512, true),
            run(12 * mib + 512..<16 * mib, false),
        ]
        #expect(try runs(&backend, 0..<16 * mib) == written)
        for limit in 1...5 {
            #expect(try runs(&backend, 0..<16 * mib, limit: limit) == Array(written.prefix(limit)))
        }
        #expect(
            try runs(&backend, mib + 512..<2 * mib)
                == [run(mib + 512..<mib + 65536, true), run(mib + 65536..<2 * mib, false)])
        #expect(try runs(&backend, 3 * mib..<3 * mib + 512) == [run(3 * mib..<3 * mib + 512, false)])
        #expect(try runs(&backend, mib..<mib) == [])
        try discard(&backend, 8 * mib..<12 * mib)
        #expect(
            try runs(&backend, 0..<16 * mib) == [
                run(0..<mib + 65536, true), run(mib + 65536..<12 * mib, false),
                run(12 * mib..<12 * mib + 512, true), run(12 * mib + 512..<16 * mib, false),
            ])
        // The end of an object goes with a discard, too.
        try discard(&backend, mib..<4 * mib)
        #expect(try runs(&backend, 0..<4 * mib) == [run(0..<mib, true), run(mib..<4 * mib, false)])
        backend.close()
    }

    @Test(
        "what is called a hole reads zeros, after any mix of writes and discards",
        arguments: ["", "--object-size 1M --stripe-unit 65536 --stripe-count 4"],
        [1, UInt64.random(in: 2...1 << 32)])
    func holesReadZeros(flags: String, seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let image = try ScratchImage(flags: flags)
        var backend = try image.open()
        let size = Int(image.bytes)
        for step in 0..<40 {
            let start = Int.random(in: 0..<size / 512, using: &random) * 512
            let length = min(Int.random(in: 1...2048, using: &random) * 512, size - start)
            if step % 2 == 0 {
                try write(&backend, start..<start + length)
            } else {
                try discard(&backend, start..<start + length)
            }
            if step == 20 { try tool("rbd snap create --no-progress \(image.spec)@middle") }
        }
        // Of each at least one, whatever the seed: by chance alone all objects may be mapped to their ends.
        try write(&backend, 0..<512)
        try discard(&backend, size - 4 * Self.mib..<size)
        let found = try runs(&backend, 0..<size, limit: 100_000)
        backend.close()
        let bytes = try image.export()
        var position = 0
        for run in found {
            #expect(run.extent.offset == UInt64(position))
            let end = position + Int(run.extent.length)
            if !run.isMapped {
                #expect(bytes[position..<end].allSatisfy { $0 == 0 }, "seed \(seed): \(position)..<\(end)")
            }
            position = end
        }
        #expect(position == size)
        #expect(found.contains { !$0.isMapped } && found.contains { $0.isMapped }, "seed \(seed)")
    }

    @Test("a clone has what its parent has, as far as the two overlap, and its own")
    func clone() throws {
        let mib = Self.mib
        let parent = try ScratchImage(mebibytes: 8)
        var backend = try parent.open()
        try write(&backend, 0..<65536)
        backend.close()
        try tool("rbd snap create --no-progress \(parent.spec)@base")
        var options = parent.options
        options.image += "-clone"
        try tool("rbd clone --rbd-default-clone-format 2 \(parent.spec)@base \(options.spec)")
        defer { _ = try? tool("rbd rm --no-progress \(options.spec)") }
        try tool("rbd resize --no-progress --size 16M \(options.spec)")
        var child = try RBDBackend.open(options, expectedSize: 16 << 20, blockSize: 512)
        #expect(try runs(&child, 0..<16 * mib) == [run(0..<65536, true), run(65536..<16 * mib, false)])
        try write(&child, 12 * mib..<12 * mib + 4096)
        try write(&child, 65536..<65536 + 512)
        #expect(
            try runs(&child, 0..<16 * mib) == [
                run(0..<65536 + 512, true), run(65536 + 512..<12 * mib, false),
                run(12 * mib..<12 * mib + 4096, true), run(12 * mib + 4096..<16 * mib, false),
            ])
        child.close()
    }

    @Test("a snapshot is surveyed as it was taken")
    func snapshot() throws {
        let mib = Self.mib
        let image = try ScratchImage()
        var head = try image.open()
        try write(&head, 0..<65536)
        try tool("rbd snap create --no-progress \(image.spec)@monday")
        try discard(&head, 0..<4 * mib)
        try write(&head, 4 * mib..<4 * mib + 512)
        var snapshot = try image.open { $0.snapshot = "monday" }
        #expect(snapshot.capabilities.reportsAllocation)
        #expect(snapshot.capabilities.atomicWriteBytes == 0)
        #expect(try runs(&snapshot, 0..<16 * mib) == [run(0..<65536, true), run(65536..<16 * mib, false)])
        snapshot.close()
        #expect(
            try runs(&head, 0..<16 * mib) == [
                run(0..<4 * mib, false), run(4 * mib..<4 * mib + 512, true), run(4 * mib + 512..<16 * mib, false),
            ])
        head.close()
    }

    @Test("one survey covers 1024 objects, up to an object's end")
    func window() throws {
        let gib = 1 << 30
        let image = try ScratchImage(mebibytes: 9 << 10)
        var backend = try image.open()
        #expect(try runs(&backend, 0..<9 * gib) == [run(0..<4 * gib, false)])
        #expect(try runs(&backend, 512..<9 * gib) == [run(512..<4 * gib, false)])
        #expect(
            try runs(&backend, gib + 5 * Self.mib..<9 * gib)
                == [run(gib + 5 * Self.mib..<5 * gib + 4 * Self.mib, false)])
        backend.close()
    }

    @Test("space is what ceph df gives the pool, and what its quota leaves")
    func space() throws {
        let image = try ScratchImage()
        var backend = try image.open()
        #expect(backend.capabilities.reportsSpace)
        let answers = try Answers()
        let survey = Survey(.space)
        #expect(try answers.result(backend.survey(survey, ticket: answers.ticket())) == .success)
        let text = try tool("ceph df detail -f json")
        let pools = try #require(JSONValue(text)?["pools"]?.elements)
        let pool = try #require(pools.first { $0["name"] == .string(scratchPool) }?["stats"])
        let reported = try #require(pool["max_avail"]?.number)
        let available = try #require(survey.availableBytes)
        // The monitors' figures move on every few seconds.
        #expect(available > reported / 2 && available / 2 < reported)
        #expect(survey.usedBytes == nil)

        let stored = try #require(pool["stored"]?.number)
        let quota = stored + (64 << 20)
        try tool("ceph osd pool set-quota \(scratchPool) max_bytes \(quota)")
        defer { _ = try? tool("ceph osd pool set-quota \(scratchPool) max_bytes 0") }
        let limited = Survey(.space)
        #expect(try answers.result(backend.survey(limited, ticket: answers.ticket())) == .success)
        #expect(try #require(limited.availableBytes) <= quota)
        backend.close()
    }

    @Test("surveys and transfers go on side by side, and close after the last ticket is safe")
    func sideBySide() throws {
        let image = try ScratchImage()
        for _ in 0..<5 {
            var backend = try image.open()
            let answers = try Answers(count: 32)
            let content = Segments([UInt8](repeating: 1, count: 4096))
            let whole = ByteExtent(offset: 0, length: image.bytes)
            for slot in 0..<32 {
                let extent = ByteExtent(offset: UInt64(slot * 100 * 1024), length: 4096)
                let submission =
                    slot % 4 == 0
                    ? backend.survey(Survey(.allocation(whole, limit: 8)), ticket: answers.ticket(slot))
                    : backend.write(extent, from: content.list, durable: false, ticket: answers.ticket(slot))
                guard case .pending = submission else {
                    Issue.record("operation \(slot) was not accepted")
                    return
                }
            }
            let found = try answers.collect(32)
            backend.close()
            #expect(found.map(\.slot).sorted() == Array(0..<32))
            #expect(found.allSatisfy { $0.result == .success })
        }
    }

    @Test(
        "atomic writes are promised as far as nothing stands between a write and its object",
        arguments: [
            ("", nil, 4 << 20), ("--object-size 1M --stripe-unit 8192 --stripe-count 4", nil, 8192),
            ("--image-feature exclusive-lock,journaling", nil, 0), ("", "rbd_cache true", 0),
        ] as [(String, String?, UInt64)])
    func atomicWrites(flags: String, setting: String?, bytes: UInt64) throws {
        let image = try ScratchImage(flags: flags)
        if let setting { try tool("rbd config image set \(image.spec) \(setting)") }
        var backend = try image.open()
        #expect(backend.capabilities.atomicWriteBytes == bytes)
        backend.close()
        var reader = try image.open { $0.readOnly = true }
        #expect(reader.capabilities.atomicWriteBytes == 0)
        #expect(reader.capabilities.reportsAllocation && reader.capabilities.reportsSpace)
        reader.close()
    }
}
