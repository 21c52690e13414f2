import Glibc
import TCMUTestKit

/// One run of a workload: keeps every unit's ring at its depth and notes how long each command took.
///
/// A command's time starts when it is put into the ring and ends when the daemon's doorbell for it is seen: what the
/// initiator of a real kernel would wait, less the kernel's own work.
struct Drive {
    private let nodes: [RingNode]
    private let workload: Workload
    private var sources: [CommandSource]
    private var seen: [UInt64]
    private let posted: [UnsafeMutablePointer<UInt64>]
    private let cdb = UnsafeMutableRawBufferPointer.allocate(byteCount: 16, alignment: 8)
    private var histogram = LatencyHistogram()
    private var finished = 0
    private var failed = 0
    private var measures = false

    init(_ nodes: [RingNode], _ workload: Workload) {
        self.nodes = Array(nodes.prefix(workload.units))
        self.workload = workload
        sources = (0..<self.nodes.count).map { CommandSource(workload, unit: $0) }
        seen = self.nodes.map { $0.doorbells }
        posted = self.nodes.map { _ in
            let times = UnsafeMutablePointer<UInt64>.allocate(capacity: 65536)
            times.initialize(repeating: 0, count: 65536)
            return times
        }
        cdb.initializeMemory(as: UInt8.self, repeating: 0)
    }

    /// Warms up, measures, and waits until nothing is in flight. Returns the figures as JSON.
    mutating func run() throws -> String {
        defer {
            for times in posted { times.deallocate() }
            cdb.deallocate()
        }
        for index in nodes.indices { refill(index, at: Clock.nanoseconds) }
        try go(until: Clock.nanoseconds + UInt64(workload.warmup * 1e9))
        let warm = finished
        let before = ProcessUsage(of: workload.process)
        let rung = doorbells
        let cleared = nodes.reduce(0) { $0 + $1.clears }
        let start = Clock.nanoseconds
        measures = true
        try go(until: start + UInt64(workload.seconds * 1e9))
        let elapsed = Double(Clock.nanoseconds - start) / 1e9
        let after = ProcessUsage(of: workload.process)
        let commands = finished - warm
        let rings = doorbells - rung
        let clears = nodes.reduce(0) { $0 + $1.clears } - cleared
        measures = false
        try drain()
        // Rings that are watched, not slept on, are looked at nowhere else.
        try checkRings()
        guard failed == 0 else { throw LoadFailure("\(failed) of \(finished) commands failed") }
        guard commands > 0 else { throw LoadFailure("not one command was answered in \(elapsed) s") }
        return figures(
            commands, elapsed, before, after, [("doorbells", Double(rings)), ("clears", Double(clears))])
    }

    private func figures(
        _ commands: Int, _ elapsed: Double, _ before: ProcessUsage, _ after: ProcessUsage,
        _ counts: [(String, Double)]
    ) -> String {
        let each = 1 / Double(commands)
        let cpu = Double(after.cpuNanoseconds - before.cpuNanoseconds) / 1000 * each
        let user = Double(after.userTicks - before.userTicks)
        let system = Double(after.systemTicks - before.systemTicks)
        let share = user + system > 0 ? user / (user + system) : 0
        var pairs: [(String, Double)] = [
            ("commands", Double(commands)), ("total_commands", Double(finished)), ("seconds", elapsed),
            ("iops", Double(commands) / elapsed), ("p50_us", histogram.microseconds(at: 0.5)),
            ("p99_us", histogram.microseconds(at: 0.99)), ("p999_us", histogram.microseconds(at: 0.999)),
            ("cpu_us", cpu), ("user_us", cpu * share), ("system_us", cpu * (1 - share)),
            ("switches", Double(after.contextSwitches &- before.contextSwitches) * each),
            ("peak_kib", Double(after.peakKiB)), ("threads", Double(after.threads)),
        ]
        pairs += counts.map { ($0.0, $0.1 * each) }
        return "{" + pairs.map { "\"\($0.0)\": \($0.1)" }.joined(separator: ", ") + "}"
    }

    private var doorbells: UInt64 { nodes.reduce(0) { $0 + $1.doorbells } }

    private mutating func go(until end: UInt64) throws {
        while Clock.nanoseconds < end {
            if !step(refills: true) { try wait() }
        }
    }

    private mutating func drain() throws {
        while nodes.contains(where: { $0.ring.inFlight > 0 }) {
            if !step(refills: false) { try wait() }
        }
    }

    /// Looks at every ring once. Returns whether any had news.
    private mutating func step(refills: Bool) -> Bool {
        var any = false
        for index in nodes.indices {
            let rung = nodes[index].doorbells
            if rung == seen[index] { continue }
            seen[index] = rung
            any = true
            let now = Clock.nanoseconds
            let times = posted[index]
            var count = 0
            let measures = measures
            withUnsafeMutablePointer(to: &histogram) { histogram in
                withUnsafeMutablePointer(to: &failed) { failed in
                    count = nodes[index].ring.reapBare(withoutDoorbell: true) { id, status in
                        if measures { histogram.pointee.record(now &- times[Int(id)]) }
                        if status != 0 { failed.pointee += 1 }
                    }
                }
            }
            finished += count
            if refills { refill(index, at: workload.pause > 0 ? paused(since: now) : now) }
        }
        return any
    }

    /// Lets the pause go by. Returns the time then.
    private func paused(since start: UInt64) -> UInt64 {
        let end = start + UInt64(workload.pause * 1000)
        var now = start
        while now < end { now = Clock.nanoseconds }
        return now
    }

    /// Fills the ring up to the depth, and tells the daemon once.
    private mutating func refill(_ index: Int, at now: UInt64) {
        let ring = nodes[index].ring
        var added = false
        while ring.inFlight < workload.depth {
            let isRead = sources[index].fill(cdb)
            let id = ring.postBare(
                UnsafeRawBufferPointer(rebasing: cdb[..<10]), outBytes: isRead ? 0 : workload.block,
                inBytes: isRead ? workload.block : 0)
            if id == 0 { break }
            posted[index][Int(id)] = now
            added = true
        }
        if added { ring.notify() }
    }

    /// Watches for a doorbell as long as the workload says, then sleeps until one comes.
    private func wait() throws {
        let patience = UInt64(workload.spin * 1000)
        if patience > 0 {
            let end = Clock.nanoseconds + patience
            while Clock.nanoseconds < end {
                for index in nodes.indices where nodes[index].doorbells != seen[index] { return }
            }
        }
        try checkRings()
        // Doorbells rung before this are only forgotten if their count is seen after it.
        for node in nodes { node.clearDoorbell() }
        for index in nodes.indices where nodes[index].doorbells != seen[index] { return }
        var watches = nodes.map { pollfd(fd: $0.doorbell, events: Int16(POLLIN), revents: 0) }
        guard poll(&watches, nfds_t(watches.count), 30_000) > 0 else {
            throw LoadFailure("no doorbell for 30 s with \(nodes.map { $0.ring.inFlight }) commands in flight")
        }
    }

    /// - Throws: where the daemon has broken a rule of the ring.
    private func checkRings() throws {
        for node in nodes where !node.ring.violations.isEmpty { throw LoadFailure("\(node.ring.violations)") }
    }
}

enum Clock {
    static var nanoseconds: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
