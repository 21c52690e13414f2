extension UnitScenario {
    /// Bound: steps that one input may hold, so that a run stays short.
    static let longest = 96

    /// Reads any bytes; see ``UnitScenario``.
    public init(decoding input: UnsafeRawBufferPointer) {
        var input = Reader(bytes: input)
        let first = input.next()
        let second = input.next()
        self.init(
            backend: first >> 5, facts: Facts(rawValue: first >> 3 & 3) ?? .atOnce, saysLength: first & 1 != 0,
            hasLargeBlocks: first & 4 != 0, hasTimeLimit: second & 1 != 0, holdsAtFirst: second & 2 != 0)
        offersTaskManagement = first & 2 != 0
        while !input.isAtEnd && steps.count < Self.longest { steps.append(Self.step(&input)) }
    }

    /// The bytes that ``init(decoding:)`` reads as this scenario.
    public var encoded: [UInt8] {
        var bytes: [UInt8] = [
            (saysLength ? 1 : 0) | (offersTaskManagement ? 2 : 0) | (hasLargeBlocks ? 4 : 0) | facts.rawValue << 3
                | backend << 5,
            (hasTimeLimit ? 1 : 0) | (holdsAtFirst ? 2 : 0),
        ]
        for step in steps { bytes += Self.encoded(step) }
        return bytes
    }

    private static func step(_ input: inout Reader) -> Step {
        let tag = input.next()
        guard tag & 0x80 != 0 else { return .command(command(tag, &input)) }
        switch tag & 0x0F {
        case 1: return .answerAtOnce
        case 2: return .hold
        case 3: return .releaseOldestFirst
        case 4: return .releaseNewestFirst
        case 5: return .releaseOne(input.next())
        case 6: return .fail(kind: input.next(), errno: input.next())
        case 7: return .deliverFacts
        case 8: return .wait
        case 9: return .taskManagement(function: input.next(), commands: input.next())
        case 10: return .unknownOperation(input.next())
        default: return .turn
        }
    }

    private static func command(_ tag: UInt8, _ input: inout Reader) -> Command {
        let shape = input.next()
        let length = UInt16(input.next()) << 8 | UInt16(input.next())
        let patternCount = input.next()
        let pattern = (0..<patternCount).map { _ in input.next() }
        let cdb = (0..<min(max(tag & 0x3F, 1), 32)).map { _ in input.next() }
        return Command(
            cdb, Direction(rawValue: shape & 3) ?? .none, length: length, countsBlocks: shape & 4 != 0,
            pattern: pattern, turns: tag & 0x40 != 0)
    }

    private static func encoded(_ step: Step) -> [UInt8] {
        switch step {
        case .command(let command): encoded(command)
        case .turn: [0x80]
        case .answerAtOnce: [0x81]
        case .hold: [0x82]
        case .releaseOldestFirst: [0x83]
        case .releaseNewestFirst: [0x84]
        case .releaseOne(let number): [0x85, number]
        case .fail(let kind, let errno): [0x86, kind, errno]
        case .deliverFacts: [0x87]
        case .wait: [0x88]
        case .taskManagement(let function, let commands): [0x89, function, commands]
        case .unknownOperation(let operation): [0x8A, operation]
        }
    }

    private static func encoded(_ command: Command) -> [UInt8] {
        let head: [UInt8] = [
            (command.turns ? 0x40 : 0) | UInt8(min(command.cdb.count, 32)),
            command.direction.rawValue | (command.countsBlocks ? 4 : 0),
            UInt8(command.length >> 8), UInt8(command.length & 0xFF), UInt8(min(command.pattern.count, 255)),
        ]
        return head + command.pattern.prefix(255) + command.cdb.prefix(32)
    }
}

/// Bytes one after the other, and zeros behind them.
private struct Reader {
    let bytes: UnsafeRawBufferPointer
    var position = 0

    var isAtEnd: Bool { position >= bytes.count }

    mutating func next() -> UInt8 {
        guard position < bytes.count else { return 0 }
        position += 1
        return bytes[position - 1]
    }
}
