/// What the initiators ask for.
struct Workload {
    enum Pattern: String {
        case randread, randwrite, read, write, randrw
    }

    var pattern = Pattern.randread
    /// Bytes per command, a multiple of 512.
    var block = 4096
    /// Commands in flight per unit.
    var depth = 32
    /// Units that get commands, from the first one on.
    var units = 1
    /// Bytes of each unit that are touched, from its start on.
    var span = 64 << 20
    var seconds = 3.0
    var warmup = 0.5
    /// Microseconds for which a lack of answers is watched before sleeping.
    var spin = 0.0
    /// Microseconds between an answer and the commands that take its place, spent awake: what an initiator needs to take
    /// the one in and to send the other. Without it a daemon that answers at once never gets to sleep.
    var pause = 0.0
    /// The daemon.
    var process: Int32 = 0

    /// Reads `key=value` words. Throws for a word that means nothing.
    init(parsing words: [Substring]) throws {
        for word in words {
            let parts = word.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { throw LoadFailure("\(word): expected key=value") }
            try take(parts[0], parts[1])
        }
        guard block >= 512, block % 512 == 0, depth > 0, units > 0, span >= block, seconds > 0, warmup >= 0 else {
            throw LoadFailure("a workload of nothing: \(words.joined(separator: " "))")
        }
    }

    private mutating func take(_ key: Substring, _ value: Substring) throws {
        switch key {
        case "pattern":
            guard let pattern = Pattern(rawValue: String(value)) else { throw LoadFailure("pattern \(value)") }
            self.pattern = pattern
        case "block": block = try Self.number(key, value)
        case "depth": depth = try Self.number(key, value)
        case "units": units = try Self.number(key, value)
        case "span": span = try Self.number(key, value)
        case "seconds": seconds = try Self.real(key, value)
        case "warmup": warmup = try Self.real(key, value)
        case "spin": spin = try Self.real(key, value)
        case "pause": pause = try Self.real(key, value)
        case "pid": process = try Int32(Self.number(key, value))
        default: throw LoadFailure("\(key): not a word of a workload")
        }
    }

    private static func number(_ key: Substring, _ value: Substring) throws -> Int {
        guard let number = Int(value) else { throw LoadFailure("\(key)=\(value): expected a whole number") }
        return number
    }

    private static func real(_ key: Substring, _ value: Substring) throws -> Double {
        guard let number = Double(value) else { throw LoadFailure("\(key)=\(value): expected a number") }
        return number
    }
}

struct LoadFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// Makes one unit's commands: READ(10) and WRITE(10), aligned to their length.
struct CommandSource {
    private let pattern: Workload.Pattern
    private let blocks: UInt32
    private let places: UInt64
    private var next: UInt64
    private var state: UInt64

    init(_ workload: Workload, unit: Int) {
        pattern = workload.pattern
        blocks = UInt32(workload.block / 512)
        places = UInt64(workload.span / workload.block)
        next = 0
        state = 0x9E37_79B9_7F4A_7C15 &* UInt64(unit + 1)
    }

    /// Writes the next CDB. Returns whether it reads.
    mutating func fill(_ cdb: UnsafeMutableRawBufferPointer) -> Bool {
        let isRead: Bool
        let place: UInt64
        switch pattern {
        case .read, .write:
            isRead = pattern == .read
            place = next
            next = next + 1 == places ? 0 : next + 1
        case .randread, .randwrite, .randrw:
            // xorshift64: one command costs this side little.
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            isRead = pattern == .randrw ? state >> 63 == 0 : pattern == .randread
            place = (state & 0xFFFF_FFFF) &* places >> 32
        }
        let address = UInt32(truncatingIfNeeded: place &* UInt64(blocks))
        cdb[0] = isRead ? 0x28 : 0x2A
        cdb[1] = 0
        cdb.storeBytes(of: address.bigEndian, toByteOffset: 2, as: UInt32.self)
        cdb[6] = 0
        cdb.storeBytes(of: UInt16(truncatingIfNeeded: blocks).bigEndian, toByteOffset: 7, as: UInt16.self)
        cdb[9] = 0
        return isRead
    }
}
