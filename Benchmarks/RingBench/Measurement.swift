import CAllocationProbe
import Glibc
import LogicalUnit
import TCMUTestKit

/// What the loop's thread has used so far, read on that thread.
struct LoopUsage: Sendable {
    /// Nanoseconds of CPU, user and system (CLOCK_THREAD_CPUTIME_ID).
    var cpuNanoseconds: UInt64
    var allocations: UInt64
    /// Voluntary and involuntary context switches.
    var contextSwitches: Int

    /// On the calling thread.
    static func now() -> LoopUsage {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        var usage = rusage()
        // RUSAGE_THREAD, a GNU extension that Glibc's module does not show, is 1.
        getrusage(__rusage_who_t(1), &usage)
        return LoopUsage(
            cpuNanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec),
            allocations: callocation_probe_thread_count(), contextSwitches: usage.ru_nvcsw + usage.ru_nivcsw)
    }
}

/// One line of the table.
struct Measurement {
    let backend: String
    let operation: String
    let depth: Int
    let commands: Int
    let seconds: Double
    let cpuNanoseconds: UInt64
    let doorbells: Int
    /// Less what looking at the counters costs, which is why it may come out a few below zero.
    let allocations: Int
    let contextSwitches: Int

    var commandsPerSecond: Double { Double(commands) / seconds }
    var cpuMicroseconds: Double { Double(cpuNanoseconds) / 1000 / Double(commands) }
    /// What one loop thread could do if it were never idle.
    var commandsPerCPUSecond: Double { 1e6 / cpuMicroseconds }

    static let header =
        "| backend | 4 KiB | depth | commands/s | CPU us/command | commands per CPU second | doorbells/command "
        + "| allocations/command | context switches/command |\n|---|---|---|---|---|---|---|---|---|"

    var row: String {
        let cells = [
            backend, operation, "\(depth)", grouped(commandsPerSecond), fixed(cpuMicroseconds, 3),
            grouped(commandsPerCPUSecond), fixed(Double(doorbells) / Double(commands), 4),
            fixed(Double(max(allocations, 0)) / Double(commands), 5),
            fixed(Double(contextSwitches) / Double(commands), 4),
        ]
        return "| " + cells.joined(separator: " | ") + " |"
    }
}

/// `value` with `digits` decimals.
func fixed(_ value: Double, _ digits: Int) -> String {
    let scale = (0..<digits).reduce(1) { product, _ in product * 10 }
    let scaled = Int((value * Double(scale)).rounded())
    let rest = String(scaled % scale)
    return "\(scaled / scale)." + String(repeating: "0", count: digits - rest.count) + rest
}

/// `value` without decimals, in groups of three digits.
func grouped(_ value: Double) -> String {
    let digits = Array(String(Int(value.rounded())))
    var text = ""
    for (index, digit) in digits.enumerated() {
        if index > 0 && (digits.count - index) % 3 == 0 { text.append(" ") }
        text.append(digit)
    }
    return text
}
