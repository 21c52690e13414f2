import Glibc

/// What a process has used so far, all its threads together.
struct ProcessUsage {
    /// Nanoseconds of CPU (the process's CPU clock; threads that have ended count too).
    var cpuNanoseconds: UInt64 = 0
    /// Clock ticks of /proc/PID/stat, good for their ratio.
    var userTicks: UInt64 = 0
    var systemTicks: UInt64 = 0
    /// Voluntary and involuntary switches of the threads there are now.
    var contextSwitches: UInt64 = 0
    var threads = 0
    var peakKiB: UInt64 = 0

    /// Of process `pid`; all zero where there is none.
    init(of pid: pid_t) {
        var clock = clockid_t()
        var time = timespec()
        if clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &time) == 0 {
            cpuNanoseconds = UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
        }
        let fields = (Self.text("/proc/\(pid)/stat").split(separator: ")").last ?? "").split(separator: " ")
        // proc(5): utime and stime are fields 14 and 15; the first after the name is field 3.
        if fields.count > 12 {
            userTicks = UInt64(fields[11]) ?? 0
            systemTicks = UInt64(fields[12]) ?? 0
        }
        peakKiB = Self.number("VmHWM:", in: Self.text("/proc/\(pid)/status"))
        for thread in Self.entries("/proc/\(pid)/task") {
            let status = Self.text("/proc/\(pid)/task/\(thread)/status")
            contextSwitches += Self.number("voluntary_ctxt_switches:", in: status)
            contextSwitches += Self.number("nonvoluntary_ctxt_switches:", in: status)
            threads += 1
        }
    }

    private static func entries(_ path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.first != "." { names.append(name) }
        }
        return names
    }

    private static func text(_ path: String) -> String {
        guard let file = fopen(path, "re") else { return "" }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 8192)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[..<count], as: UTF8.self)
    }

    private static func number(_ name: String, in text: String) -> UInt64 {
        for line in text.split(separator: "\n") where line.starts(with: name) {
            let digits = line.dropFirst(name.count).drop { $0 == " " || $0 == "\t" }
            return UInt64(digits.prefix { $0.isNumber }) ?? 0
        }
        return 0
    }
}
