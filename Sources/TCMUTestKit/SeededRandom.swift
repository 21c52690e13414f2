internal import Glibc

/// A repeatable source of randomness for tests (SplitMix64): the same seed gives the same run.
///
/// A test prints ``seed`` with its failures; setting `TCMU_SEED` in the environment to that number replays them.
public struct SeededRandom: RandomNumberGenerator, Sendable, CustomStringConvertible {
    /// The number that repeats this run.
    public let seed: UInt64
    private var state: UInt64

    /// A generator that starts at `seed`.
    public init(seed: UInt64) {
        self.seed = seed
        state = seed
    }

    /// A generator seeded from `TCMU_SEED` (decimal, or hexadecimal with 0x), else from the system.
    public static func replayable() -> SeededRandom {
        if let text = getenv("TCMU_SEED").map({ String(cString: $0) }), let seed = parse(text) {
            return SeededRandom(seed: seed)
        }
        var system = SystemRandomNumberGenerator()
        return SeededRandom(seed: system.next())
    }

    /// The next 64 bits.
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// True in `percent` of 100 cases.
    public mutating func chance(_ percent: Int) -> Bool {
        Int.random(in: 0..<100, using: &self) < percent
    }

    /// `count` random bytes.
    public mutating func bytes(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        fill(&bytes)
        return bytes
    }

    /// Overwrites `bytes` with random ones.
    public mutating func fill(_ bytes: inout [UInt8]) {
        bytes.withUnsafeMutableBytes { buffer in
            var index = 0
            while index + 8 <= buffer.count {
                buffer.storeBytes(of: next(), toByteOffset: index, as: UInt64.self)
                index += 8
            }
            var rest = next()
            while index < buffer.count {
                buffer[index] = UInt8(truncatingIfNeeded: rest)
                rest >>= 8
                index += 1
            }
        }
    }

    /// What to set in the environment to repeat the run.
    public var description: String { "TCMU_SEED=\(seed)" }

    private static func parse(_ text: String) -> UInt64? {
        text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
    }
}
