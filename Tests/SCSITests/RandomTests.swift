import SCSI
import TCMUTestKit
import Testing

@Suite("Any bytes at all: every function returns")
struct RandomTests {
    private static let rounds = 200_000

    @Test("random CDBs are decoded or refused with an illegal request")
    func cdbs() {
        var random = SeededRandom.replayable()
        let seed = random.description
        let codes = OperationCode.allCases.map(\.rawValue)
        let refusals: Set<String> = ["5/2000", "5/2400", "5/3900", "5/1A00"]
        var decoded = 0
        for round in 0..<Self.rounds {
            var bytes = random.bytes(Int.random(in: 0...40, using: &random))
            // Half of the blocks carry a code that is served, or hardly any would get past the first check.
            if round.isMultiple(of: 2), let code = codes.randomElement(using: &random), !bytes.isEmpty {
                bytes[0] = code
            }
            let cdb = CDB(bytes)
            _ = (cdb.control, cdb.serviceAction, cdb.u64(at: Int.random(in: -4...40, using: &random)))
            switch CommandDecoder.decode(cdb) {
            case .command:
                decoded += 1
                #expect(codes.contains(cdb.operationCode), "\(seed), CDB \(hexText(bytes))")
            case .refused(let sense):
                #expect(refusals.contains(sense.description), "\(seed), CDB \(hexText(bytes))")
            }
        }
        #expect(decoded > Self.rounds / 100, "\(seed)")
    }

    @Test("any READ and WRITE that can be written down is read back")
    func roundTrip() {
        var random = SeededRandom.replayable()
        let seed = random.description
        for _ in 0..<Self.rounds / 10 {
            let flags = UInt8.random(in: 0...3, using: &random) << 3
            let (lba, blocks) = (UInt64.random(in: 0...UInt64.max, using: &random), random.next())
            func bytes(_ value: UInt64, _ width: Int) -> [UInt8] {
                (0..<width).map { UInt8(truncatingIfNeeded: value >> (8 * (width - 1 - $0))) }
            }
            func access(_ lbaBits: Int, _ countBits: Int) -> MediumAccess {
                MediumAccess(
                    lba: lba & (UInt64.max >> (64 - lbaBits)),
                    blocks: UInt32(blocks & (UInt64.max >> (64 - countBits))),
                    fua: flags & 8 != 0, dpo: flags & 16 != 0)
            }
            let ten = [flags] + bytes(lba, 4) + [0] + bytes(blocks, 2) + [0]
            let twelve = [flags] + bytes(lba, 4) + bytes(blocks, 4) + [0, 0]
            let sixteen = [flags] + bytes(lba, 8) + bytes(blocks, 4) + [0, 0]
            let rows: [([UInt8], Command)] = [
                ([0x28] + ten, .read(access(32, 16))), ([0x2A] + ten, .write(access(32, 16))),
                ([0xA8] + twelve, .read(access(32, 32))), ([0xAA] + twelve, .write(access(32, 32))),
                ([0x88] + sixteen, .read(access(64, 32))), ([0x8A] + sixteen, .write(access(64, 32))),
            ]
            for (cdb, command) in rows {
                #expect(CommandDecoder.decode(CDB(cdb)) == .command(command), "\(seed)")
            }
        }
    }

    @Test("random ranges: inside the unit exactly when wide arithmetic says so")
    func ranges() {
        var random = SeededRandom.replayable()
        let seed = random.description
        for _ in 0..<Self.rounds {
            func number() -> UInt64 { random.next() >> UInt64.random(in: 0...63, using: &random) }
            let range = BlockRange(lba: number(), blocks: number())
            let capacity = Capacity(blocks: number(), blockSize: UInt32(truncatingIfNeeded: number()))
            let size = UInt128(capacity.blockSize)
            let end = UInt128(range.lba) + UInt128(range.blocks)
            let fits = end <= UInt128(capacity.blocks) && end * size <= UInt128(UInt64.max)
            let bytes = range.byteRange(in: capacity)
            #expect((bytes != nil) == fits, "\(seed), \(range), \(capacity)")
            if let bytes {
                #expect(UInt128(bytes.offset) == UInt128(range.lba) * size, "\(seed)")
                #expect(UInt128(bytes.length) == UInt128(range.blocks) * size, "\(seed)")
            }
        }
    }

    @Test("random UNMAP lists: no descriptor from outside the list, no more than allowed")
    func unmapLists() {
        var random = SeededRandom.replayable()
        let seed = random.description
        let limits = BlockLimits.Unmap(maximumBlocks: .max, granularity: 1, alignment: 0)
        for _ in 0..<Self.rounds / 4 {
            var bytes = random.bytes(Int.random(in: 0...96, using: &random))
            if bytes.count > 3, Bool.random(using: &random) {
                bytes[2] = 0
                bytes[3] &= 0x7F
            }
            let length = Int.random(in: 0...100, using: &random)
            bytes.withUnsafeBytes { delivered in
                let command = UnmapCommand(parameterListLength: UInt16(length))
                guard let list = try? UnmapParameterList(delivered, for: command, limits: limits) else { return }
                #expect(list.count <= 4, "\(seed)")
                #expect(list.count == 0 || 8 + 16 * list.count <= min(bytes.count, length), "\(seed)")
                for index in 0..<list.count {
                    let lba = bytes[(8 + 16 * index)..<(16 + 16 * index)].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                    #expect(list[index].lba == lba, "\(seed)")
                }
                _ = list.refusal(limits: limits, capacity: Capacity(blocks: random.next(), blockSize: 512))
            }
        }
    }

    @Test("random MODE SELECT lists: GOOD only for what MODE SENSE shows, but for the bits that can be changed")
    func modeSelectLists() throws {
        var random = SeededRandom.replayable()
        let seed = random.description
        let pages = ModePages(
            writeCacheEnabled: true, writeCacheChangeable: true, dpoFUA: false, writeProtected: false)
        for round in 0..<Self.rounds / 4 {
            let form: CDBForm = round.isMultiple(of: 2) ? .six : .ten
            let header = form == .six ? 4 : 8
            var list = zeros(header)
            var mask = zeros(header)
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                if let page = pages.pages.randomElement(using: &random) {
                    list += pages.bytes(of: page)
                    // PS may differ too. The header of a page is no part of its mask.
                    var bits = pages.bytes(of: page, .changeable)
                    let headerLength = bits[0] & 0x40 == 0 ? 2 : 4
                    bits.replaceSubrange(0..<headerLength, with: [0x80] + zeros(headerLength - 1))
                    mask += bits
                }
            }
            let pristine = list
            for _ in 0..<Int.random(in: 0...2, using: &random) {
                list[Int.random(in: 0..<list.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            let length = Int.random(in: 0...list.count + 4, using: &random)
            let command = ModeSelect(form: form, parameterListLength: UInt16(length))
            var changed = pages
            let refusal = list.withUnsafeBytes { changed.select(command, delivered: $0, capacity: testCapacity) }
            if refusal != nil { #expect(changed == pages, "\(seed)") }
            guard refusal == nil, length > 0 else { continue }
            #expect(length <= list.count, "\(seed)")
            for index in header..<max(header, length) where list[index] != pristine[index] {
                #expect((list[index] ^ pristine[index]) & ~mask[index] == 0, "\(seed), \(hexText(list))")
            }
        }
    }
}
