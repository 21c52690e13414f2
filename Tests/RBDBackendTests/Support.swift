import BlockBackend
import Glibc
import RBDBackend
import Reactor
import Testing

/// Path of a scratch cluster's ceph.conf; the tests make and remove images there.
let scratchCluster: String? = getenv("TCMU_TEST_CEPH_CONF").map { String(cString: $0) }

/// Pool of that cluster in which images are made.
let scratchPool = getenv("TCMU_TEST_CEPH_POOL").map { String(cString: $0) } ?? "rbd"

/// A file that is gone with its owner.
struct TemporaryFile: ~Copyable {
    let path: String

    init(_ text: String = "") throws {
        var template = Array("/tmp/rbd-backend-test-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        try #require(descriptor >= 0)
        var bytes = Array(text.utf8)
        try #require(Glibc.write(descriptor, &bytes, bytes.count) == bytes.count)
        Glibc.close(descriptor)
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit {
        unlink(path)
    }

    func contents() throws -> [UInt8] { try fileContents(path) }
}

/// All bytes of a file.
func fileContents(_ path: String) throws -> [UInt8] {
    let descriptor = Glibc.open(path, O_RDONLY)
    try #require(descriptor >= 0)
    defer { Glibc.close(descriptor) }
    var all: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1 << 20)
    while true {
        let count = Glibc.read(descriptor, &piece, piece.count)
        if count <= 0 { return all }
        all += piece[0..<count]
    }
}

/// Runs Ceph's own command-line tools on the scratch cluster. Returns what they print.
@discardableResult
func tool(_ command: String) throws -> String {
    let conf = try #require(scratchCluster)
    let stream = try #require(popen("CEPH_CONF='\(conf)' timeout 60 \(command) 2>/dev/null", "r"))
    var output = ""
    var line = [CChar](repeating: 0, count: 4096)
    while fgets(&line, CInt(line.count), stream) != nil {
        output += String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
    let status = pclose(stream)
    try #require(status == 0, "\(command): status \(status)")
    return output
}

/// As ``tool(_:)``, for what may fail. Returns whether it did not.
@discardableResult
func succeeds(_ command: String) -> Bool {
    guard let conf = scratchCluster else { return false }
    return system("CEPH_CONF='\(conf)' timeout 60 \(command) >/dev/null 2>&1") == 0
}

/// An image of a random name, made and removed with the `rbd` command.
struct ScratchImage: ~Copyable {
    let spec: String
    let options: RBDOptions
    let bytes: UInt64

    init(mebibytes: UInt64 = 16, namespace: String? = nil, flags: String = "") throws {
        try self.init(bytes: mebibytes << 20, namespace: namespace, flags: flags)
    }

    init(bytes: UInt64, namespace: String? = nil, flags: String = "") throws {
        var options = RBDOptions(pool: scratchPool, image: "test-\(UInt64.random(in: 0...UInt64.max))")
        options.namespace = namespace
        let conf = try #require(scratchCluster)
        options.confPath = conf
        options.osdOperationTimeoutSeconds = 30
        try tool("rbd create \(options.spec) --size \(bytes)B \(flags)")
        self.options = options
        spec = options.spec
        self.bytes = bytes
    }

    /// A clone of a snapshot that is made for it. The parent must outlive it.
    init(cloneOf parent: borrowing ScratchImage, flags: String = "") throws {
        var options = parent.options
        options.image += "-clone"
        try tool("rbd snap create --no-progress \(parent.spec)@s")
        try tool("rbd clone --rbd-default-clone-format 2 \(parent.spec)@s \(options.spec) \(flags)")
        self.options = options
        spec = options.spec
        bytes = parent.bytes
    }

    deinit {
        succeeds("rbd snap purge --no-progress \(spec)")
        succeeds("rbd rm --no-progress \(spec)")
    }

    func open(blockSize: UInt32 = 512, _ change: (inout RBDOptions) -> Void = { _ in }) throws -> RBDBackend {
        var options = options
        change(&options)
        return try RBDBackend.open(options, expectedSize: bytes, blockSize: blockSize)
    }

    /// The image's bytes as the `rbd` command reads them.
    func export(snapshot: String? = nil) throws -> [UInt8] {
        let file = try TemporaryFile()
        unlink(file.path)
        try tool("rbd export --no-progress \(spec)\(snapshot.map { "@" + $0 } ?? "") \(file.path)")
        return try file.contents()
    }
}

/// The loop's half of a backend: nodes to answer, an inbox to answer them in, a descriptor to sleep on.
final class Answers {
    private let wake: WakeSignal
    private let inbox: CompletionInbox
    private let nodes: UnsafeMutablePointer<CompletionNode>
    private let count: Int

    init(count: Int = 1) throws {
        wake = try WakeSignal()
        inbox = CompletionInbox(wakeDescriptor: wake.descriptor)
        self.count = count
        nodes = .allocate(capacity: count)
        for index in 0..<count {
            (nodes + index).initialize(to: CompletionNode(unit: 0, slot: UInt32(index), inbox: inbox))
        }
    }

    deinit {
        nodes.deinitialize(count: count)
        nodes.deallocate()
        inbox.destroy()
    }

    func ticket(_ index: Int = 0) -> IOTicket {
        IOTicket(nodes + index)
    }

    /// The result of one submission, after sleeping for it if it is pending.
    func result(_ submission: Submission) throws -> IOResult {
        switch submission {
        case .done(let result): return result
        case .pending: return try #require(try collect(1).first).result
        }
    }

    /// Sleeps until `expected` tickets have come back. Returns slots and results in the order of arrival.
    func collect(_ expected: Int) throws -> [(slot: Int, result: IOResult)] {
        var found: [(slot: Int, result: IOResult)] = []
        while found.count < expected {
            var node = inbox.takeAll()
            if node == nil && inbox.park() {
                var descriptor = pollfd(fd: wake.descriptor, events: Int16(POLLIN), revents: 0)
                // A minute without an answer means that it is lost.
                try #require(poll(&descriptor, 1, 60_000) == 1, "\(expected - found.count) tickets never came back")
                inbox.unpark()
                wake.clear()
                node = inbox.takeAll()
            }
            while let each = node {
                node = each.pointee.following
                found.append(
                    (Int(each.pointee.slot), IOResult(code: each.pointee.result, detail: each.pointee.detail)))
            }
        }
        return found
    }
}

/// A buffer cut into segments of given lengths, with gaps between them so that overruns show.
final class Segments {
    private static let gap = 16
    private let memory: UnsafeMutableRawBufferPointer
    private let iovecs: UnsafeMutablePointer<iovec>
    private let lengths: [Int]

    init(_ lengths: [Int], bytes: [UInt8] = []) {
        self.lengths = lengths
        memory = .allocate(byteCount: lengths.reduce(Self.gap) { $0 + $1 + Self.gap }, alignment: 16)
        memory.initializeMemory(as: UInt8.self, repeating: 0xEE)
        iovecs = .allocate(capacity: max(lengths.count, 1))
        var offset = Self.gap
        for (index, length) in lengths.enumerated() {
            let base = memory.baseAddress.map { $0 + offset }
            (iovecs + index).initialize(to: iovec(iov_base: base, iov_len: length))
            offset += length + Self.gap
        }
        bytes.withUnsafeBytes { _ = list.write($0) }
    }

    convenience init(_ bytes: [UInt8]) {
        self.init([bytes.count], bytes: bytes)
    }

    deinit {
        iovecs.deallocate()
        memory.deallocate()
    }

    var list: SegmentList { SegmentList(base: iovecs, count: lengths.count) }

    var bytes: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: lengths.reduce(0, +))
        bytes.withUnsafeMutableBytes { _ = list.read(into: $0) }
        return bytes
    }

    /// True if nothing was written between the segments.
    var gapsAreIntact: Bool {
        var offset = 0
        for length in lengths + [0] {
            for byte in memory[offset..<offset + Self.gap] where byte != 0xEE { return false }
            offset += Self.gap + length
        }
        return true
    }
}

/// SplitMix64: small, and the same everywhere for the same seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 8)
        while bytes.count < count { withUnsafeBytes(of: next()) { bytes += $0 } }
        return Array(bytes.prefix(count))
    }

    /// Positive lengths that add up to `total`, at most `parts` of them.
    mutating func split(_ total: Int, parts: Int) -> [Int] {
        var cuts = Set((0..<parts - 1).map { _ in Int.random(in: 1..<max(total, 2), using: &self) })
        cuts.insert(total)
        var previous = 0
        return cuts.filter { $0 <= total }.sorted().map { cut in
            defer { previous = cut }
            return cut - previous
        }
    }
}
