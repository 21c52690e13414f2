import TCMUTestKit

/// What the medium must hold: a plain array, and the commands whose effect on it is not yet certain.
///
/// Commands in flight may take effect in any order, so a command is only made up if it overlaps none in flight,
/// with two exceptions that have one outcome whatever the order: reads may overlap reads, and commands that compare
/// are only used where the outcome is known.
struct MediumModel {
    static let blockSize = 512

    private(set) var content: [UInt8]
    /// Blocks that a command in flight reads, by count, or writes (-1).
    private var claims: [Int32]
    private var inFlight: [UInt16: Pending] = [:]
    /// Commands answered with TASK SET FULL.
    private(set) var refused = 0

    struct Pending {
        let title: String
        let blocks: Range<Int>
        let writes: Bool
        let expected: Expected
        /// What the range holds once the command has succeeded.
        let newContent: [UInt8]?
        let ranges: [Range<Int>]
        /// What it reads besides.
        var sources: [Range<Int>] = []

        /// It needs memory of the unit's own.
        var mayBeRefused: Bool {
            let titles = [
                "COMPARE AND WRITE", "WRITE SAME", "VERIFY", "WRITE AND VERIFY", "ORWRITE", "EXTENDED COPY",
            ]
            return titles.contains { title.hasPrefix($0) }
        }
    }

    enum Expected {
        case good
        case data([UInt8])
        case miscompare(at: Int)
    }

    /// A command to be sent.
    struct Made {
        let cdb: [UInt8]
        var dataOut: [UInt8] = []
        var dataInLength = 0
        let pending: Pending
    }

    init(blocks: Int) {
        content = [UInt8](repeating: 0, count: blocks * Self.blockSize)
        claims = [Int32](repeating: 0, count: blocks)
    }

    var blocks: Int { claims.count }

    /// A random command that overlaps none in flight; nil if none is found in some tries.
    func makeCommand(_ random: inout SeededRandom) -> Made? {
        for _ in 0..<100 {
            if let made = tryCommand(&random) { return made }
        }
        return nil
    }

    private func tryCommand(_ random: inout SeededRandom) -> Made? {
        let kind = Int.random(in: 0..<100, using: &random)
        let longest = random.chance(2) ? 256 : 16
        let count = Int.random(in: 1...longest, using: &random)
        let start = Int.random(in: 0...(blocks - count), using: &random)
        let range = start..<start + count
        switch kind {
        case 0..<37: return makeRead(range, &random)
        case 37..<68: return makeWrite(range, &random)
        case 68..<75: return makeWriteSame(range, &random)
        case 75..<82: return makeUnmap(&random)
        case 82..<90: return makeCompareAndWrite(start..<start + min(count, 255), &random)
        case 90..<93: return makeVerify(range, &random)
        case 93..<95: return makeOrWrite(range, &random)
        case 95..<97: return makeWriteAndVerify(range, &random)
        default: return makeExtendedCopy(range, &random)
        }
    }

    mutating func start(_ made: Made, as id: UInt16) {
        precondition(inFlight.updateValue(made.pending, forKey: id) == nil, "id \(id) is in use")
        claim(made.pending, by: 1)
    }

    /// Takes a completion. Returns what is wrong with it, or nil.
    mutating func finish(_ done: RingCompletion) -> String? {
        guard let pending = inFlight.removeValue(forKey: done.id) else { return "id \(done.id) was not in flight" }
        claim(pending, by: -1)
        // TASK SET FULL: the unit's memory for commands of several steps is in use; nothing was done.
        if done.status == 0x28 && pending.mayBeRefused {
            refused += 1
            return nil
        }
        switch pending.expected {
        case .good:
            guard done.status == 0 else { return "\(pending.title) ended with status \(done.status)" }
        case .data(let bytes):
            guard done.status == 0 else { return "\(pending.title) ended with status \(done.status)" }
            guard done.dataIn == bytes else {
                let at = zip(done.dataIn, bytes).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? -1
                return "\(pending.title) differs at byte \(at)"
            }
        case .miscompare(let offset):
            guard done.status == 2, done.senseTriple?.key == 0x0E else {
                return "\(pending.title) ended with status \(done.status), expected a miscompare"
            }
            let information = done.sense[3..<7].reduce(0) { $0 << 8 | Int($1) }
            guard information == offset else {
                return "\(pending.title) reports a difference at \(information), it is at \(offset)"
            }
        }
        if let bytes = pending.newContent {
            var taken = 0
            for range in pending.ranges {
                let place = range.lowerBound * Self.blockSize..<range.upperBound * Self.blockSize
                content.replaceSubrange(place, with: bytes[taken..<taken + place.count])
                taken += place.count
            }
        }
        return nil
    }

    // MARK: - Commands

    private func makeRead(_ range: Range<Int>, _ random: inout SeededRandom) -> Made? {
        guard isFree(range, forWriting: false) else { return nil }
        let cdb =
            random.chance(50)
            ? InitiatorCDB.read10(UInt32(range.lowerBound), UInt16(range.count))
            : InitiatorCDB.read16(UInt64(range.lowerBound), UInt32(range.count))
        return Made(
            cdb: cdb, dataInLength: range.count * Self.blockSize,
            pending: Pending(
                title: "READ \(range)", blocks: range, writes: false, expected: .data(bytes(range)),
                newContent: nil, ranges: [range]))
    }

    private func makeWrite(_ range: Range<Int>, _ random: inout SeededRandom) -> Made? {
        guard isFree(range, forWriting: true) else { return nil }
        let data = random.bytes(range.count * Self.blockSize)
        let flags: UInt8 = random.chance(3) ? 0x08 : 0
        let cdb =
            random.chance(50)
            ? InitiatorCDB.write10(UInt32(range.lowerBound), UInt16(range.count), flags: flags)
            : InitiatorCDB.write16(UInt64(range.lowerBound), UInt32(range.count), flags: flags)
        return Made(cdb: cdb, dataOut: data, pending: writing("WRITE", [range], data))
    }

    private func makeWriteSame(_ range: Range<Int>, _ random: inout SeededRandom) -> Made? {
        guard isFree(range, forWriting: true) else { return nil }
        let isZero = random.chance(40)
        let pattern = isZero ? [UInt8](repeating: 0, count: Self.blockSize) : random.bytes(Self.blockSize)
        let all = (0..<range.count).flatMap { _ in pattern }
        // UNMAP with a pattern that is not zero must still leave the pattern.
        let flags: UInt8 = random.chance(30) ? 0x08 : 0
        return Made(
            cdb: InitiatorCDB.writeSame16(UInt64(range.lowerBound), UInt32(range.count), flags: flags),
            dataOut: pattern, pending: writing("WRITE SAME", [range], all))
    }

    private func makeUnmap(_ random: inout SeededRandom) -> Made? {
        var ranges: [Range<Int>] = []
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let count = Int.random(in: 1...16, using: &random)
            let start = Int.random(in: 0...(blocks - count), using: &random)
            let range = start..<start + count
            guard isFree(range, forWriting: true) else { continue }
            if !ranges.contains(where: { $0.overlaps(range) }) { ranges.append(range) }
        }
        guard !ranges.isEmpty else { return nil }
        let list = InitiatorCDB.unmapParameters(
            ranges.map { (lba: UInt64($0.lowerBound), blocks: UInt32($0.count)) })
        let total = ranges.reduce(0) { $0 + $1.count } * Self.blockSize
        return Made(
            cdb: InitiatorCDB.unmap(parameterListLength: UInt16(list.count)), dataOut: list,
            pending: writing("UNMAP", ranges, [UInt8](repeating: 0, count: total)))
    }

    private func makeCompareAndWrite(_ range: Range<Int>, _ random: inout SeededRandom) -> Made? {
        guard isFree(range, forWriting: true) else { return nil }
        let compare = bytes(range)
        let new = random.bytes(compare.count)
        let cdb = InitiatorCDB.compareAndWrite(UInt64(range.lowerBound), UInt8(range.count))
        if random.chance(50) {
            return Made(cdb: cdb, dataOut: compare + new, pending: writing("COMPARE AND WRITE", [range], new))
        }
        return different(cdb, "COMPARE AND WRITE", range, writes: true, compare, behind: new, &random)
    }

    private func makeVerify(_ range: Range<Int>, _ random: inout SeededRandom) -> Made? {
        guard isFree(range, forWriting: false) else { return nil }
        let (lba, count) = (UInt64(range.lowerBound), UInt32(range.count))
        let same = Pending(
            title: "VERIFY \(range)", blocks: range, writes: false, expected: .good, newContent: nil,
            ranges: [range])
        let present = bytes(range)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: return Made(cdb: InitiatorCDB.verify16(lba, count), pending: same)
        case 1: return Made(cdb: InitiatorCDB.verify16(lba, count, byteCheck: 1), dataOut: present, pending: same)
        case 2:
            let one = range.lowerBound..<range.lowerBound + 1
            return Made(cdb: InitiatorCDB.verify16(lba, 1, byteCheck: 3), dataOut: bytes(one), pending: same)
        default:
            let cdb = InitiatorCDB.verify16(lba, count, byteCheck: 1)
            return different(cdb, "VERIFY", range, writes: false, present, behind: [], &random)
        }
    }

    private func makeOrWrite(_ range: Range<Int>, _ random: inout SeededRandom) -> Made? {
        guard isFree(range, forWriting: true) else { return nil }
        let bits = random.bytes(range.count * Self.blockSize)
        return Made(
            cdb: InitiatorCDB.orWrite16(UInt64(range.lowerBound), UInt32(range.count)), dataOut: bits,
            pending: writing("ORWRITE", [range], zip(bytes(range), bits).map { $0 | $1 }))
    }

    private func makeWriteAndVerify(_ range: Range<Int>, _ random: inout SeededRandom) -> Made? {
        guard isFree(range, forWriting: true) else { return nil }
        let data = random.bytes(range.count * Self.blockSize)
        return Made(
            cdb: InitiatorCDB.writeAndVerify16(UInt64(range.lowerBound), UInt32(range.count)), dataOut: data,
            pending: writing("WRITE AND VERIFY", [range], data))
    }

    private func makeExtendedCopy(_ source: Range<Int>, _ random: inout SeededRandom) -> Made? {
        let start = Int.random(in: 0...(blocks - source.count), using: &random)
        let range = start..<start + source.count
        guard isFree(source, forWriting: false), isFree(range, forWriting: true), !source.overlaps(range) else {
            return nil
        }
        let list = InitiatorCDB.copyParameters(
            units: [(InitiatorCDB.designator(serial: "0123456789abcdef"), UInt32(Self.blockSize))],
            [CopyRequestSegment(UInt64(source.lowerBound), UInt64(start), UInt16(source.count))], usage: 3)
        var pending = writing("EXTENDED COPY", [range], bytes(source))
        pending.sources = [source]
        return Made(
            cdb: InitiatorCDB.extendedCopy(parameterListLength: list.count), dataOut: list, pending: pending)
    }

    /// A command that compares with `present`, of which one byte has been changed.
    private func different(
        _ cdb: [UInt8], _ title: String, _ range: Range<Int>, writes: Bool, _ present: [UInt8], behind: [UInt8],
        _ random: inout SeededRandom
    ) -> Made {
        var present = present
        let offset = Int.random(in: present.indices, using: &random)
        present[offset] ^= 0x80
        return Made(
            cdb: cdb, dataOut: present + behind,
            pending: Pending(
                title: "\(title) \(range)", blocks: range, writes: writes, expected: .miscompare(at: offset),
                newContent: nil, ranges: [range]))
    }

    private func writing(_ title: String, _ ranges: [Range<Int>], _ bytes: [UInt8]) -> Pending {
        Pending(
            title: "\(title) \(ranges)", blocks: ranges[0], writes: true, expected: .good, newContent: bytes,
            ranges: ranges)
    }

    // MARK: - Claims

    private func bytes(_ range: Range<Int>) -> [UInt8] {
        Array(content[range.lowerBound * Self.blockSize..<range.upperBound * Self.blockSize])
    }

    private func isFree(_ range: Range<Int>, forWriting: Bool) -> Bool {
        range.allSatisfy { forWriting ? claims[$0] == 0 : claims[$0] >= 0 }
    }

    private mutating func claim(_ pending: Pending, by step: Int32) {
        for range in pending.ranges {
            for block in range { claims[block] += pending.writes ? -step : step }
        }
        for range in pending.sources {
            for block in range { claims[block] += step }
        }
    }
}
