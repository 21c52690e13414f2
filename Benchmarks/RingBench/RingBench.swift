import ArgumentParser
import BlockBackend
import FileBackend
import Glibc
import MemoryBackend
import TCMUTestKit

/// Measures the data path on the ring simulator.
@main
struct RingBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ring-bench",
        abstract: "4 KiB reads and writes on a simulated kernel's ring: speed and cost of one loop thread.")

    @Option(help: "Backends: mem, file.") var backend: [String] = ["mem", "file"]
    @Option(help: "Commands in flight.") var depth: [Int] = [1, 32, 128]
    @Option(help: "Commands per measurement on mem; a tenth of it on file.") var commands = 1_000_000
    @Option(help: "Runs per line; the median by CPU time is shown.") var repeats = 5
    @Option(help: "Where the image of the file backend is made.") var folder = "/var/tmp"
    @Option(help: "Also write the table, with the machine's description, to this file.") var write: String?

    func run() async throws {
        var rows: [String] = []
        print(Machine.description)
        print(Measurement.header)
        for name in backend {
            for isRead in [true, false] {
                for depth in depth {
                    var runs: [Measurement] = []
                    for _ in 0..<max(repeats, 1) {
                        runs.append(try await measure(name, isRead: isRead, depth: depth))
                    }
                    let median = runs.sorted { $0.cpuNanoseconds < $1.cpuNanoseconds }[runs.count / 2]
                    print(median.row)
                    rows.append(median.row)
                }
            }
        }
        if let write { try save(rows, to: write) }
    }

    private func measure(_ name: String, isRead: Bool, depth: Int) async throws -> Measurement {
        switch name {
        case "mem":
            // A lone command waits for two threads to wake each other: fewer will do.
            let load = Load(isRead: isRead, depth: depth, commands: depth == 1 ? commands / 10 : commands)
            return try await load.run(MemoryBackend.open(size: Load.span), name: name)
        case "file":
            let load = Load(isRead: isRead, depth: depth, commands: commands / (depth == 1 ? 20 : 10))
            setenv("TMPDIR", folder, 1)
            let image = try TemporaryImage(size: Int(Load.span))
            let backend = try FileBackend.open(
                path: image.path, direct: false, expectedSize: Load.span, blockSize: 512)
            return try await load.run(backend, name: name)
        default: throw ValidationError("backend \(name): expected mem or file")
        }
    }

    private func save(_ rows: [String], to path: String) throws {
        let command = CommandLine.arguments.dropFirst().joined(separator: " ")
        let text = """
            # Ring benchmark

            Machine: \(Machine.description)

            Command: `ring-bench \(command)` (release build)

            One loop thread serves one unit; another thread plays the kernel. CPU, allocations and context switches are
            those of the loop's thread alone. Each line is the median of \(repeats) runs by CPU time. The kernel's own
            work per doorbell, which on a real ring is done inside the daemon's system call, is not in these figures.

            \(Measurement.header)
            \(rows.joined(separator: "\n"))

            """
        guard let file = fopen(path, "w") else { throw ValidationError("cannot write \(path)") }
        defer { fclose(file) }
        fputs(text, file)
    }
}
