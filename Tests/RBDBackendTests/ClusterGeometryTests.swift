import BlockBackend
import Glibc
import RBDBackend
import Testing

/// How an image is laid out; all that `rbd create` lets one choose and that decides which way an operation takes in librbd.
struct Layout: Sendable, CustomTestStringConvertible {
    var object = 4 << 20
    /// Bytes of a stripe unit and number of objects in a stripe; nil is the object.
    var stripe: (unit: Int, count: Int)?
    var features: String?
    var hasDataPool = false
    var isClone = false
    var encryption: ImageEncryption.Format?
    var block = 512
    var further = ""

    static let allFeatures = "layering,exclusive-lock,object-map,fast-diff,deep-flatten"
    static let journaled = "layering,exclusive-lock,journaling"

    var flags: String {
        var flags = "--object-size \(object)B"
        if let stripe { flags += " --stripe-unit \(stripe.unit)B --stripe-count \(stripe.count)" }
        if let features { flags += " --image-feature \(features)" }
        return flags + " " + further
    }

    var testDescription: String {
        "\(flags)\(hasDataPool ? " data pool" : "")\(isClone ? " clone" : "")\(encryption.map { " \($0)" } ?? "") block \(block)"
    }

    /// Two object sets and one block: its end lies in the middle of a stripe. With encryption behind a header of whole sets.
    var bytes: Int {
        let set = object * (stripe?.count ?? 1)
        let plain = min(max(2 * set + block, 1 << 20), 80 << 20) / block * block
        return plain + (encryption == nil ? 0 : 32 << 20)
    }

    /// One of each kind, and where they meet.
    static let chosen: [Layout] = [
        Layout(), Layout(block: 4096), Layout(object: 4096), Layout(object: 4096, block: 4096),
        Layout(object: 32 << 20, block: 4096), Layout(object: 4096, stripe: (512, 1)),
        Layout(object: 8192, stripe: (512, 7)), Layout(object: 65536, stripe: (1024, 3), features: allFeatures),
        Layout(object: 65536, stripe: (4096, 2), block: 4096),
        Layout(object: 1 << 20, stripe: (8192, 5), block: 4096),
        Layout(object: 65536, stripe: (65536, 4), features: "layering"),
        Layout(features: allFeatures, hasDataPool: true, isClone: true),
        Layout(object: 16384, stripe: (2048, 3), isClone: true), Layout(object: 8192, features: journaled),
        Layout(object: 65536, stripe: (512, 2), features: journaled, further: "--journal-object-size 4096B"),
    ]

    /// Minutes each, so not of every run: `TCMU_LAYOUTS=luks`.
    static let encrypted: [Layout] = [
        Layout(encryption: .luks1), Layout(object: 1 << 20, stripe: (65536, 4), encryption: .luks2, block: 4096),
        Layout(object: 1 << 20, stripe: (4096, 2), encryption: .luks2),
    ]

    /// Every object size, with every stripe unit, some counts and the features in turn.
    static var all: [Layout] {
        var layouts = chosen + encrypted
        let features = [nil, allFeatures, journaled, "layering"]
        for order in 12...25 {
            for unit in 9...order {
                for count in [1, 2, 3, 16] where 2 << order * count <= 64 << 20 {
                    layouts.append(
                        Layout(
                            object: 1 << order, stripe: (1 << unit, count), features: features[layouts.count % 4],
                            hasDataPool: layouts.count % 5 == 0, isClone: layouts.count % 3 == 0,
                            block: layouts.count % 2 == 0 ? 512 : 4096))
                }
            }
        }
        return layouts
    }

    /// What a run tries: `TCMU_ALL_GEOMETRIES=1` for all, `TCMU_LAYOUTS=TEXT` for those whose description has that text, else the
    /// chosen ones and a few more.
    static func tried(_ seed: UInt64) -> [Layout] {
        if let text = getenv("TCMU_LAYOUTS").map({ String(cString: $0) }) {
            return all.filter { $0.testDescription.contains(text) }
        }
        if getenv("TCMU_ALL_GEOMETRIES") != nil { return all }
        var random = SeededGenerator(seed: seed)
        let others = all.dropFirst(chosen.count).filter { $0.encryption == nil }
        return chosen + others.shuffled(using: &random).prefix(1)
    }

    static let seed = getenv("TCMU_SEED").flatMap { UInt64(String(cString: $0)) } ?? UInt64.random(in: 0...1 << 32)
}

/// Every operation of the data plane against every kind of layout, compared with a plain array. librbd asserts where it is
/// wrong, so that a fault here may also be the end of the test.
@Suite(
    "Layouts of images on a real cluster",
    .enabled(if: scratchCluster != nil, "set TCMU_TEST_CEPH_CONF to the ceph.conf of a scratch cluster"),
    .serialized)
struct ClusterGeometryTests {
    @Test("operations leave what a plain array holds, across every boundary", arguments: Layout.tried(Layout.seed))
    func operations(layout: Layout) throws {
        print("\(layout.testDescription): TCMU_SEED=\(Layout.seed)")
        var run = try LayoutRun(layout, seed: Layout.seed)
        try run.writeUnwritten(from: 0)
        for _ in 0..<60 { try run.step() }
        try run.flush()
        let before = run.bytes
        try run.grow()
        try run.writeUnwritten(from: before)
        for _ in 0..<15 { try run.step() }
        try run.compareAll()
        run.close()
    }
}

/// One image with what it has to hold.
private struct LayoutRun: ~Copyable {
    private let layout: Layout
    private let image: ScratchImage
    private let parent: ScratchImage
    private let passphrase: TemporaryFile
    private let answers: Answers
    private var backend: RBDBackend
    private var random: SeededGenerator
    private var model: [UInt8]
    private let title: String
    private let headerBytes: UInt64

    init(_ layout: Layout, seed: UInt64) throws {
        var random = SeededGenerator(seed: seed &+ UInt64(layout.object) &+ UInt64(layout.bytes))
        let passphrase = try TemporaryFile("not a secret\n")
        let pool = layout.hasDataPool ? try Self.dataPool() : nil
        let flags = layout.flags + (pool.map { " --data-pool \($0)" } ?? "")
        var model = [UInt8](repeating: 0, count: layout.bytes)
        // Of every layout, so that there is one way to make it; most go unused.
        let parent = try ScratchImage(bytes: layout.isClone ? UInt64(layout.bytes) : 1 << 20)
        if layout.isClone { try Self.fill(parent, &model, &random) }
        let image =
            layout.isClone
            ? try ScratchImage(cloneOf: parent, flags: flags)
            : try ScratchImage(bytes: UInt64(layout.bytes), flags: flags)
        var options = image.options
        var bytes = image.bytes
        if let format = layout.encryption {
            try tool("rbd encryption format \(image.spec) \(format.rawValue) \(passphrase.path)")
            options.encryption = ImageEncryption(format, passphraseFile: passphrase.path)
            // What the header leaves.
            bytes = try Self.bytesWithin(options, image.bytes)
            model = Array(model.prefix(Int(bytes)))
        }
        let backend = try RBDBackend.open(options, expectedSize: bytes, blockSize: UInt32(layout.block))
        let answers = try Answers()
        self.layout = layout
        title = "\(layout.testDescription) TCMU_SEED=\(seed)"
        headerBytes = image.bytes - bytes
        self.random = random
        self.passphrase = passphrase
        self.model = model
        self.image = image
        self.parent = parent
        self.backend = backend
        self.answers = answers
    }

    /// Some objects of a parent hold something, and some do not.
    private static func fill(
        _ parent: borrowing ScratchImage, _ model: inout [UInt8], _ random: inout SeededGenerator
    ) throws {
        let answers = try Answers()
        var writer = try parent.open(blockSize: 512)
        for place in stride(from: 0, to: model.count - 8192, by: 3 << 20) {
            let data = random.bytes(8192)
            let segments = Segments(data)
            let extent = ByteExtent(offset: UInt64(place), length: 8192)
            let result = try answers.result(
                writer.write(extent, from: segments.list, durable: false, ticket: answers.ticket()))
            #expect(result == .success)
            model.replaceSubrange(place..<place + 8192, with: data)
        }
        writer.close()
    }

    private static func dataPool() throws -> String {
        let pool = "geometry-data"
        try tool("ceph osd pool create \(pool) 8 && ceph osd pool application enable \(pool) rbd")
        return pool
    }

    /// An image that is too small for what is asked for says how large it is.
    private static func bytesWithin(_ options: RBDOptions, _ raw: UInt64) throws -> UInt64 {
        do throws(BackendError) {
            var backend = try RBDBackend.open(options, expectedSize: raw, blockSize: 512)
            backend.close()
            return raw
        } catch {
            let words = error.message.split(separator: " ")
            let place = try #require(words.firstIndex(of: "has"), "\(error.message)")
            return try #require(UInt64(words[place + 1])) / 4096 * 4096
        }
    }

    /// A place next to a boundary, in bytes.
    private mutating func place() -> Int {
        let unit = layout.stripe?.unit ?? layout.object
        let set = layout.object * (layout.stripe?.count ?? 1)
        let pitch = [unit, layout.object, set, model.count, layout.block].randomElement(using: &random) ?? unit
        let boundary = Int.random(in: 0...max(model.count / pitch, 1), using: &random) * pitch
        let shifted = boundary / layout.block + Int.random(in: -3...2, using: &random)
        return min(max(shifted, 0), model.count / layout.block - 1) * layout.block
    }

    private mutating func extent() -> (ByteExtent, Range<Int>) {
        let start = place()
        let most = [1, 3, 9, 64, 300].randomElement(using: &random) ?? 1
        let blocks = min(Int.random(in: 1...most, using: &random), (model.count - start) / layout.block)
        let range = start..<start + blocks * layout.block
        return (ByteExtent(offset: UInt64(start), length: UInt64(range.count)), range)
    }

    mutating func step() throws {
        let (extent, range) = extent()
        switch Int.random(in: 0..<9, using: &random) {
        case 0, 1:
            let data = random.bytes(range.count)
            let segments = Segments(random.split(range.count, parts: 5), bytes: data)
            let isDurable = backend.capabilities.forceUnitAccess && Bool.random(using: &random)
            try expect(
                answers.result(
                    backend.write(extent, from: segments.list, durable: isDurable, ticket: answers.ticket())),
                "write \(range)")
            model.replaceSubrange(range, with: data)
        case 2 where backend.capabilities.discard != nil:
            try expect(answers.result(backend.discard(extent, ticket: answers.ticket())), "discard \(range)")
            zero(range)
        case 2, 3:
            try expect(answers.result(backend.writeZeroes(extent, ticket: answers.ticket())), "zeroes \(range)")
            zero(range)
        case 4: try writeSame(extent, range)
        case 5, 6: try compareAndWrite(range.lowerBound)
        case 7: try survey(extent, range)
        default:
            try expect(answers.result(backend.prefetch(extent, ticket: answers.ticket())), "prefetch \(range)")
            try read(extent, range)
        }
    }

    private mutating func zero(_ range: Range<Int>) {
        model.replaceSubrange(range, with: repeatElement(0, count: range.count))
    }

    private mutating func writeSame(_ extent: ByteExtent, _ range: Range<Int>) throws {
        let pattern = random.bytes(layout.block)
        let segments = Segments(random.split(layout.block, parts: 2), bytes: pattern)
        try expect(
            answers.result(
                backend.writeSame(
                    extent, pattern: segments.list, patternLength: layout.block, ticket: answers.ticket())),
            "write same \(range)")
        for start in stride(from: range.lowerBound, to: range.upperBound, by: layout.block) {
            model.replaceSubrange(start..<start + layout.block, with: pattern)
        }
    }

    /// One that differs somewhere, and one that does not.
    private mutating func compareAndWrite(_ start: Int) throws {
        guard backend.capabilities.nativeCompareAndWriteBytes >= UInt64(layout.block) else { return }
        let range = start..<start + layout.block
        let extent = ByteExtent(offset: UInt64(start), length: UInt64(layout.block))
        let (present, data) = (Array(model[range]), random.bytes(layout.block))
        let place = [0, 1, layout.block - 1, Int.random(in: 0..<layout.block, using: &random)].randomElement() ?? 0
        var other = present
        other[place] ^= 0x40
        let different = Segments(random.split(2 * layout.block, parts: 3), bytes: other + data)
        let miscompare = try answers.result(
            backend.compareAndWrite(extent, data: different.list, ticket: answers.ticket()))
        #expect(miscompare == .miscompare(at: UInt64(place)), "\(title): compare and write at \(start)")
        let equal = Segments(random.split(2 * layout.block, parts: 3), bytes: present + data)
        try expect(
            answers.result(backend.compareAndWrite(extent, data: equal.list, ticket: answers.ticket())),
            "compare and write \(range)")
        model.replaceSubrange(range, with: data)
    }

    private mutating func survey(_ extent: ByteExtent, _ range: Range<Int>) throws {
        guard backend.capabilities.reportsAllocation else { return }
        let survey = Survey(.allocation(extent, limit: 64))
        try expect(answers.result(backend.survey(survey, ticket: answers.ticket())), "survey \(range)")
        for run in survey.runs where !run.isMapped {
            let hole = Int(run.extent.offset)..<Int(run.extent.offset + run.extent.length)
            #expect(model[hole].allSatisfy { $0 == 0 }, "\(title): a hole at \(hole) that holds something")
        }
    }

    private mutating func read(_ extent: ByteExtent, _ range: Range<Int>) throws {
        let segments = Segments(random.split(range.count, parts: 4))
        try expect(
            answers.result(backend.read(extent, into: segments.list, ticket: answers.ticket())), "read \(range)")
        #expect(segments.bytes == Array(model[range]), "\(title): read \(range)")
        #expect(segments.gapsAreIntact)
    }

    var bytes: Int { model.count }

    /// Within encryption a block that was never written reads as anything: the cipher text's zeros, deciphered, where its object
    /// is there. So such an image begins with zeros that were written.
    mutating func writeUnwritten(from start: Int) throws {
        guard layout.encryption != nil else { return }
        for place in stride(from: start, to: model.count, by: 1 << 20) {
            let length = min(1 << 20, model.count - place)
            let zeros = Segments([UInt8](repeating: 0, count: length))
            let extent = ByteExtent(offset: UInt64(place), length: UInt64(length))
            try expect(
                answers.result(backend.write(extent, from: zeros.list, durable: false, ticket: answers.ticket())),
                "zeros at \(place)")
        }
    }

    mutating func flush() throws {
        try expect(answers.result(backend.flush(ticket: answers.ticket())), "flush")
    }

    /// By one object and a bit.
    mutating func grow() throws {
        let more = (layout.object + layout.block) / layout.block * layout.block
        let bytes = UInt64(model.count + more)
        try tool("rbd resize --no-progress --size \(headerBytes + bytes)B \(image.spec)")
        let found = backend.keeper
        try #require(found).resize(to: bytes)
        model += [UInt8](repeating: 0, count: more)
    }

    mutating func compareAll() throws {
        for start in stride(from: 0, to: model.count, by: 4 << 20) {
            let range = start..<min(start + 4 << 20, model.count)
            try read(ByteExtent(offset: UInt64(start), length: UInt64(range.count)), range)
        }
    }

    mutating func close() { backend.close() }

    private func expect(_ result: IOResult, _ what: String) {
        #expect(result == .success, "\(title): \(what)")
    }
}
