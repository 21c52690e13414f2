/// What befalls a logical unit in one run: what surrounds it, and step by step what kernel and backend do.
///
/// A fuzzer's input is a scenario, and every sequence of bytes is one: bytes that are missing at the end read as 0.
///
///     byte 0   bit 0     READ_LEN is offered
///              bit 1     TMR and KEEP_BUF are offered
///              bit 2     4096 bytes per block instead of 512
///              bits 3-4  ``Facts``
///              bits 5-7  backend: 0 memory, else the row of ``backends`` a scripted one claims
///     byte 1   bit 0     commands have a time limit
///              bit 1     the scripted backend begins by holding its answers
///     then steps, each a byte and what it asks for:
///     00-7F    a command: bit 6 a turn follows; bits 0-5 bytes of the CDB, 1 to 32; then
///                shape     bits 0-1 ``Direction``, bit 2 the length counts blocks
///                length    2 bytes, of the data buffer
///                count     of the pattern's bytes
///                pattern   what Data-Out holds, again and again; zeros if it is empty
///                CDB
///     80-FF    the low 4 bits are a ``Step`` other than a command, in the order of their declaration; what its case
///              carries follows, a byte each. Beyond the last it is a turn.
///
/// Numbers are big-endian.
public struct UnitScenario: Equatable, Sendable {
    /// How the unit learns what configfs says.
    public enum Facts: UInt8, CaseIterable, Sendable {
        /// As soon as it asks.
        case atOnce
        /// When a step says so.
        case byStep
        /// As soon as it asks, with a port and its groups.
        case withPort
        /// As soon as it asks, it is told that they cannot be read.
        case unreadable
    }

    /// Which way a command's data goes, as the kernel's entry shows it.
    public enum Direction: UInt8, CaseIterable, Sendable {
        /// No data buffer.
        case none
        /// To the initiator.
        case dataIn
        /// From the initiator.
        case dataOut
        /// Both, each with a buffer of the length given.
        case both
    }

    /// A command and its data buffer.
    public struct Command: Equatable, Sendable {
        /// 1 to 32 bytes. The kernel has none without.
        public var cdb: [UInt8]
        /// See ``Direction``.
        public var direction: Direction
        /// Bytes, or blocks, of the data buffer.
        public var length: UInt16
        /// ``length`` counts blocks.
        public var countsBlocks: Bool
        /// What Data-Out is filled with; at most 255 bytes.
        public var pattern: [UInt8]
        /// The unit has a turn after it; else it takes this command together with the next one.
        public var turns: Bool

        public init(
            _ cdb: [UInt8], _ direction: Direction = .none, length: UInt16 = 0, countsBlocks: Bool = false,
            pattern: [UInt8] = [], turns: Bool = true
        ) {
            self.cdb = cdb
            self.direction = direction
            self.length = length
            self.countsBlocks = countsBlocks
            self.pattern = pattern
            self.turns = turns
        }

        /// A command with `data` as its Data-Out, at most 255 bytes, all of it.
        public static func sending(_ cdb: [UInt8], _ data: [UInt8]) -> Command {
            Command(cdb, .dataOut, length: UInt16(data.count), pattern: data)
        }

        /// A command that moves `blocks` blocks; those it sends hold `pattern`, again and again.
        public static func moving(
            _ cdb: [UInt8], _ direction: Direction, blocks: UInt16, pattern: [UInt8] = []
        ) -> Command {
            Command(cdb, direction, length: blocks, countsBlocks: true, pattern: pattern)
        }
    }

    /// What happens next.
    public enum Step: Equatable, Sendable {
        /// The kernel posts a command; dropped while there is no room for it.
        case command(Command)
        /// The unit has a turn.
        case turn
        /// From now on the scripted backend answers at once.
        case answerAtOnce
        /// From now on the scripted backend answers when it is released.
        case hold
        /// What is held is answered as it was submitted.
        case releaseOldestFirst
        /// What is held is answered the other way round.
        case releaseNewestFirst
        /// One of the held operations is answered, picked by this number.
        case releaseOne(UInt8)
        /// From now on, operations of a kind (its number in `BackendScript.Kind`) fail with this errno; 0 ends that.
        case fail(kind: UInt8, errno: UInt8)
        /// The unit is told what configfs says.
        case deliverFacts
        /// Ten seconds pass: what is known from configfs is too old, and what is in flight late.
        case wait
        /// The kernel tells of task management: the function, and how many of the commands in flight it hit.
        case taskManagement(function: UInt8, commands: UInt8)
        /// An entry of an operation that no kernel has, 3 to 7.
        case unknownOperation(UInt8)
    }

    /// READ_LEN is offered.
    public var saysLength = true
    /// TMR and KEEP_BUF are offered.
    public var offersTaskManagement = true
    /// 4096 bytes per block instead of 512.
    public var hasLargeBlocks = false
    /// See ``Facts``.
    public var facts = Facts.atOnce
    /// 0 for memory, else the number of a row of ``backends``, 1 to 7.
    public var backend: UInt8 = 0
    /// Commands have a time limit of five seconds.
    public var hasTimeLimit = false
    /// The scripted backend begins by holding its answers.
    public var holdsAtFirst = false
    /// What happens. Bound: 255 bytes of a pattern and 32 of a CDB for a command, and what an input has of them.
    public var steps: [Step] = []

    /// All that is not said is as in a plain unit on memory.
    public init(
        backend: UInt8 = 0, facts: Facts = .atOnce, saysLength: Bool = true, hasLargeBlocks: Bool = false,
        hasTimeLimit: Bool = false, holdsAtFirst: Bool = false, _ steps: [Step] = []
    ) {
        self.backend = backend
        self.facts = facts
        self.saysLength = saysLength
        self.hasLargeBlocks = hasLargeBlocks
        self.hasTimeLimit = hasTimeLimit
        self.holdsAtFirst = holdsAtFirst
        self.steps = steps
    }

    /// Bytes per block.
    public var blockSize: Int { hasLargeBlocks ? 4096 : 512 }
}
