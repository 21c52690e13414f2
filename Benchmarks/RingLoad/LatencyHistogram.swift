/// Latencies in nanoseconds, each known to 1/64 of its value.
///
/// Log-linear: 64 buckets for each power of two, so that recording is two shifts and an addition.
struct LatencyHistogram {
    private var counts = [UInt64](repeating: 0, count: 64 * 40)
    private(set) var total: UInt64 = 0

    private static func bucket(_ nanoseconds: UInt64) -> Int {
        let value = max(nanoseconds, 64)
        let power = 63 - value.leadingZeroBitCount
        return min((power - 6) * 64 + Int(value >> UInt64(power - 6)) - 64, 64 * 40 - 1)
    }

    mutating func record(_ nanoseconds: UInt64) {
        counts[Self.bucket(nanoseconds)] += 1
        total += 1
    }

    /// Microseconds that `fraction` of all commands did not exceed.
    func microseconds(at fraction: Double) -> Double {
        let wanted = UInt64((Double(total) * fraction).rounded(.up))
        var seen: UInt64 = 0
        for (index, count) in counts.enumerated() {
            seen += count
            if seen >= wanted && seen > 0 {
                let power = index / 64
                return Double(UInt64(index % 64 + 64) << UInt64(power)) / 1000
            }
        }
        return 0
    }
}
