import BlockBackend
import Glibc
import Testing

@testable import RBDBackend

/// The old owner is barred whatever image, pool and ceph.conf tell librbd, and whenever they told it.
@Suite(
    "Fencing in spite of librbd's settings, on a real cluster",
    .enabled(if: scratchCluster != nil, "set TCMU_TEST_CEPH_CONF to the ceph.conf of a scratch cluster"),
    .serialized)
struct ClusterSettingsTests {
    /// Commands before the image is opened by the gateway that takes over, and between that and the taking over.
    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        var atOpen: [String] = []
        var atBreak: [String] = []
        var conf: [RBDSetting] = []
    }

    private static let onBreak = "rbd_blocklist_on_break_lock"
    private static let expiry = "rbd_blocklist_expire_seconds"

    private static func row(_ title: String, _ level: String, _ atOpen: [String], _ atBreak: [String]) -> Row {
        let place = level == "image" ? "image" : "pool"
        let what = level == "image" ? "IMAGE" : "POOL"
        func commands(_ texts: [String]) -> [String] {
            texts.map { text in
                let words = text.split(separator: " ")
                return "rbd config \(place) \(words[0]) \(what) \(words.dropFirst().joined(separator: " "))"
            }
        }
        return Row(testDescription: "\(title), \(level)", atOpen: commands(atOpen), atBreak: commands(atBreak))
    }

    static let rows: [Row] =
        ["image", "pool"].flatMap { level in
            [
                row("off, and taken away again", level, ["set \(onBreak) false"], ["rm \(onBreak)"]),
                row("off, and set to on", level, ["set \(onBreak) false"], ["set \(onBreak) true"]),
                row("on, and set to off", level, ["set \(onBreak) true"], ["set \(onBreak) false"]),
                row("off since it was opened", level, [], ["set \(onBreak) false"]),
                row("an expiry of 2 s", level, ["set \(expiry) 2"], []),
                row("an expiry of an hour, taken away again", level, ["set \(expiry) 3600"], ["rm \(expiry)"]),
                row("an expiry since it was opened", level, [], ["set \(expiry) 3600"]),
                row("off and an expiry", level, ["set \(onBreak) false", "set \(expiry) 1"], []),
            ]
        } + [
            Row(
                testDescription: "both in ceph.conf",
                conf: [RBDSetting(onBreak, "false"), RBDSetting(expiry, "3600")])
        ]

    @Test("a silent owner is barred before its lock is taken, none of its writes comes after", arguments: rows)
    func barred(row: Row) throws {
        let pool = "test-settings"
        try tool("ceph osd pool create \(pool) 1 1 && rbd pool init \(pool)")
        let name = "test-\(UInt32.random(in: 0...UInt32.max))"
        try tool("rbd create \(pool)/\(name) --size 16M")
        defer {
            for key in [Self.onBreak, Self.expiry] { _ = try? tool("rbd config pool rm \(pool) \(key) || true") }
            _ = try? tool("rbd rm --no-progress \(pool)/\(name)")
        }
        func run(_ commands: [String]) throws {
            for command in commands {
                try tool(command.replacing("IMAGE", with: "\(pool)/\(name)").replacing("POOL", with: pool))
            }
        }
        var options = RBDOptions(pool: pool, image: name)
        options.confPath = scratchCluster
        options.osdOperationTimeoutSeconds = 30
        var dead = try RBDBackend.open(options, expectedSize: 16 << 20, blockSize: 512)
        try run(row.atOpen)
        options.settings = row.conf
        let two = try Gateway(options, bytes: 16 << 20)
        try run(row.atBreak)

        let answers = try Answers()
        let extent = ByteExtent(offset: 512, length: 512)
        let first = Segments(block(1))
        #expect(
            try answers.result(dead.write(extent, from: first.list, durable: false, ticket: answers.ticket()))
                == .success)
        let locks = try tool("rbd lock ls \(pool)/\(name)").split(separator: "\n")
        let address = String(try #require(locks.last?.split(separator: " ").last))
        try two.writeThrough(block(2), block: 1)
        #expect(try isBlocklisted(address), "\(two.notices)")
        #expect(two.remarks.contains { $0.contains(address) && $0.contains("is blocklisted") }, "\(two.notices)")
        #expect(!two.remarks.contains { $0.contains("cannot take") }, "\(two.remarks)")
        // Past any expiry of a few seconds that librbd would have used.
        if row.testDescription.contains("2 s") { usleep(4_000_000) }
        let late = Segments(block(9))
        let code = try answers.result(
            dead.write(extent, from: late.list, durable: false, ticket: answers.ticket())
        ).code
        #expect(code == -ESHUTDOWN)
        #expect(try two.read(block: 1) == block(2))
        two.close()
        dead.close()
        _ = try? tool("ceph osd blocklist rm \(address)")
    }
}
