import ArgumentParser
import Glibc
import TCMUTestKit

/// Plays the kernel's half of a number of rings for a daemon in another process, and measures it.
@main
struct RingLoad: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ring-load",
        abstract: "The kernel's half of TCMU rings for a daemon in another process, as a load generator.",
        discussion: """
            Writes a line per ring to --nodes (for the preload library), then takes commands from standard input, one \
            per line, and answers each with one line of JSON on standard output:
              ready seconds=N                  waits until every ring answers TEST UNIT READY
              claim seconds=N                  waits until every ring takes a WRITE: the first one asks for an image's \
            exclusive lock, and is told BUSY until it is there
              run pattern=randread block=4096 depth=32 units=1 span=BYTES seconds=3 warmup=0.5 spin=US pause=US pid=PID
            """)

    @Option(help: "The file to write the list of rings to.") var nodes: String
    @Option(help: "How many rings.") var units = 1
    @Option(help: "MiB of each ring's data area.") var dataMib = 64

    func run() throws {
        let rings = try (0..<units).map { _ in try RingNode(dataBlocks: dataMib << 8) }
        let lines = rings.enumerated().map { $1.line(minor: $0) }.joined(separator: "\n") + "\n"
        guard let file = fopen(nodes, "we") else { throw LoadFailure("cannot write \(nodes)") }
        fputs(lines, file)
        fclose(file)
        Self.say("{\"map_size\": \(rings[0].mapSize)}")
        while let line = readLine() {
            let words = line.split(separator: " ")
            do {
                Self.say(try Self.answer(words, rings))
            } catch {
                Self.say("{\"error\": \"\(error)\"}")
            }
        }
    }

    private static func answer(_ words: [Substring], _ rings: [RingNode]) throws -> String {
        switch words.first {
        case "ready":
            try waitUntilReady(rings, seconds: seconds(words))
            return "{\"ready\": \(rings.count)}"
        case "claim":
            try Claim(rings).run(seconds: seconds(words))
            return "{\"claimed\": \(rings.count)}"
        case "run":
            var drive = Drive(rings, try Workload(parsing: Array(words.dropFirst())))
            return try drive.run()
        default: throw LoadFailure("\(words.joined(separator: " ")): expected ready, claim or run")
        }
    }

    private static func seconds(_ words: [Substring]) -> Double {
        Double(words.last?.split(separator: "=").last ?? "") ?? 30
    }

    private static func waitUntilReady(_ rings: [RingNode], seconds: Double) throws {
        let end = Clock.nanoseconds + UInt64(seconds * 1e9)
        let testUnitReady = [UInt8](repeating: 0, count: 6)
        for node in rings where node.ring.inFlight == 0 {
            _ = testUnitReady.withUnsafeBytes { node.ring.postBare($0, outBytes: 0, inBytes: 0) }
            node.ring.notify()
        }
        for (index, node) in rings.enumerated() {
            while node.ring.inFlight > 0 {
                if node.ring.reapBare(withoutDoorbell: true) > 0 { continue }
                guard Clock.nanoseconds < end else {
                    throw LoadFailure("unit \(index) is not served after \(seconds) s")
                }
                usleep(2000)
            }
        }
    }

    private static func say(_ line: String) {
        print(line)
        fflush(nil)
    }
}
