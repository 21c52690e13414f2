import Glibc
import TCMUTestKit

/// Writes to every unit until it takes the write, as an initiator does that is told BUSY and tries again.
///
/// Where an image has an exclusive lock the first write asks for it, and commands are answered BUSY until it is there. That
/// belongs to taking a unit into use and not into any figure.
struct Claim {
    private let nodes: [RingNode]
    /// Between two looks: an initiator that is told BUSY waits, too.
    private static let pauseMicroseconds: UInt32 = 20_000

    init(_ nodes: [RingNode]) {
        self.nodes = nodes
    }

    /// - Throws: where a unit has not taken a write after `seconds`, with the status that it answers.
    func run(seconds: Double) throws {
        let end = Clock.nanoseconds + UInt64(seconds * 1e9)
        var waiting = Array(nodes.indices)
        // The last answer of each.
        var statuses = [UInt8?](repeating: nil, count: nodes.count)
        for index in waiting { post(index) }
        while !waiting.isEmpty {
            usleep(Self.pauseMicroseconds)
            for index in waiting {
                let answers = nodes[index].ring.reapBare(withoutDoorbell: true) { statuses[index] = $1 }
                if answers > 0 && statuses[index] != 0 { post(index) }
            }
            for node in nodes where !node.ring.violations.isEmpty { throw LoadFailure("\(node.ring.violations)") }
            waiting.removeAll { nodes[$0].ring.inFlight == 0 }
            guard let late = waiting.first, Clock.nanoseconds >= end else { continue }
            let said = statuses[late].map { "answers WRITE with status \($0)" } ?? "does not answer a WRITE"
            throw LoadFailure("unit \(late) \(said) after \(seconds) s")
        }
    }

    /// One WRITE(10) of 4 KiB at the unit's start.
    private func post(_ index: Int) {
        let cdb: [UInt8] = [0x2A, 0, 0, 0, 0, 0, 0, 0, 8, 0]
        _ = cdb.withUnsafeBytes { nodes[index].ring.postBare($0, outBytes: 4096, inBytes: 0) }
        nodes[index].ring.notify()
    }
}
