import SCSI
import TCMUTestKit
import Testing

@Suite("EXTENDED COPY: the parameter list")
struct CopyListTests {
    typealias Outcome = Result<CopyList, Sense>

    static let designator = hex("6001405 0123456789ABCDEF012345678")
    static let other = hex("6001405 FFFFFFFFFFFFFFFFFFFFFFFFF")

    /// A list with two units and one segment from the first to the second.
    static func list(_ form: CopyListBuilder.Form) -> CopyListBuilder {
        var list = CopyListBuilder(form, listIdentifier: 7)
        list.units = [CopyListBuilder.unit(designator), CopyListBuilder.unit(other, blockSize: 4096)]
        list.segments = [CopyListBuilder.segment(0, from: 0x1122_3344_5566, 1, to: 1 << 63, blocks: 2048)]
        return list
    }

    /// What `delivered` is read as, for a CDB that says `length`.
    static func read(
        _ delivered: [UInt8], _ form: CopyListBuilder.Form, length: UInt32? = nil, limits: CopyLimits = CopyLimits()
    ) -> Outcome {
        delivered.withUnsafeBytes { bytes in
            let command = ExtendedCopy(
                form: form == .lid1 ? .one : .four, parameterListLength: length ?? UInt32(bytes.count))
            return Result { () throws(Sense) in try CopyList(bytes, for: command, limits: limits) }
        }
    }

    static func read(_ list: CopyListBuilder, limits: CopyLimits = CopyLimits()) -> Outcome {
        read(list.bytes, list.form, limits: limits)
    }

    @Test("fields, in both forms", arguments: CopyListBuilder.Form.allCases)
    func fields(_ form: CopyListBuilder.Form) throws {
        var builder = Self.list(form)
        builder.segments.append(CopyListBuilder.segment(1, from: 1, 0, to: 2, blocks: 3, flags: 0x02))
        let list = try Self.read(builder).get()
        #expect(list.listIdentifier == 7)
        #expect(list.usage == .hold)
        #expect(list.keepsStatus)
        #expect(!list.immediate)
        #expect(list.units.map(\.designator) == [Self.designator, Self.other])
        #expect(list.units.map(\.blockSize) == [512, 4096])
        #expect(list.segments.map(\.source) == [0, 1])
        #expect(list.segments.map(\.destination) == [1, 0])
        #expect(list.segments.map(\.isCountInDestinationBlocks) == [false, true])
        #expect(list.segments.map(\.sourceLBA) == [0x1122_3344_5566, 1])
        #expect(list.segments.map(\.destinationLBA) == [1 << 63, 2])
        #expect(list.segments.map(\.blocks) == [2048, 3])
    }

    @Test("a list as the wire has it")
    func golden() throws {
        let bytes = hex(
            """
            2A                # LIST IDENTIFIER
            31                # STR, LIST ID USAGE 10b, PRIORITY 1
            0020 00000000     # CSCD DESCRIPTOR LIST LENGTH
            0000001C          # SEGMENT DESCRIPTOR LIST LENGTH
            00000000          # INLINE DATA LENGTH
            E4 00 0001        # identification descriptor, RELATIVE INITIATOR PORT IDENTIFIER
            01 03 00 10       # binary, logical unit, NAA, 16 bytes
            6001405 0123456789ABCDEF012345678 00000000
            04 001000         # PAD, DISK BLOCK LENGTH
            02 03 0018        # block to block, DC and CAT
            0000 0000         # CSCD DESCRIPTOR IDs
            0000 0040         # NUMBER OF BLOCKS
            0000000000000100 FFFFFFFFFFFFFFFF
            """)
        let list = try Self.read(bytes, .lid1).get()
        #expect(list.listIdentifier == 42)
        #expect(list.usage == .discard)
        #expect(list.units.count == 1)
        #expect(list.units.first?.blockSize == 4096)
        #expect(list.segments.count == 1)
        #expect(list.segments.first?.isCountInDestinationBlocks == true)
        #expect(list.segments.first?.blocks == 64)
        #expect(list.segments.first?.destinationLBA == .max)
    }

    @Test("PARAMETER LIST LENGTH 0 copies nothing", arguments: CopyListBuilder.Form.allCases)
    func emptyList(_ form: CopyListBuilder.Form) {
        #expect(Self.read(Self.list(form).bytes, form, length: 0) == .success(.empty))
        #expect(!CopyList.empty.keepsStatus)
    }

    @Test("a header without descriptors copies nothing", arguments: CopyListBuilder.Form.allCases)
    func withoutDescriptors(_ form: CopyListBuilder.Form) throws {
        let list = try Self.read(CopyListBuilder(form)).get()
        #expect(list.units.isEmpty && list.segments.isEmpty)
    }

    @Test("a list cut anywhere is refused, whatever the CDB says", arguments: CopyListBuilder.Form.allCases)
    func cutLists(_ form: CopyListBuilder.Form) {
        let whole = Self.list(form).bytes
        for count in 0..<whole.count {
            let cut = Array(whole.prefix(count))
            #expect(Self.read(cut, form, length: UInt32(whole.count)) == .failure(.parameterListLengthError))
            #expect(Self.read(cut, form) == (count == 0 ? .success(.empty) : .failure(.parameterListLengthError)))
            let more = Self.read(whole, form, length: UInt32(count))
            #expect(more == (count == 0 ? .success(.empty) : .failure(.parameterListLengthError)))
        }
    }

    @Test("bytes behind the last descriptor are ignored", arguments: CopyListBuilder.Form.allCases)
    func trailingBytes(_ form: CopyListBuilder.Form) {
        let list = Self.list(form)
        #expect(Self.read(list.bytes + [0xFF, 0xFF], form) == Self.read(list))
    }

    @Test("flags of the LID4 form")
    func immediate() throws {
        var builder = Self.list(.lid4)
        builder.immediate = true
        builder.listIdentifier = 0xFEDC_BA98
        let list = try Self.read(builder).get()
        #expect(list.immediate)
        #expect(list.listIdentifier == 0xFEDC_BA98)
    }

    @Test(
        "LIST ID USAGE", arguments: CopyListBuilder.Form.allCases,
        [(UInt8(0), CopyList.Usage.hold), (1, .hold), (2, .discard), (3, .none)])
    func usage(_ form: CopyListBuilder.Form, _ expected: (code: UInt8, usage: CopyList.Usage)) throws {
        var builder = Self.list(form)
        (builder.usage, builder.listIdentifier) = (expected.code, 0)
        let list = try Self.read(builder).get()
        #expect(list.usage == expected.usage)
        #expect(list.keepsStatus == (expected.code != 3))
    }

    @Test("random lists, and valid ones with random bytes in them, stay within what was delivered")
    func randomLists() throws {
        var random = SeededRandom.replayable()
        let seed = random.description
        let limits = CopyLimits()
        for _ in 0..<4000 {
            let form: CopyListBuilder.Form = random.chance(50) ? .lid1 : .lid4
            var bytes =
                random.chance(50) ? Self.list(form).bytes : random.bytes(Int.random(in: 0...200, using: &random))
            for _ in 0..<Int.random(in: 0...3, using: &random) where !bytes.isEmpty {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            let length = random.chance(70) ? UInt32(bytes.count) : UInt32.random(in: 0...300, using: &random)
            switch Self.read(bytes, form, length: length) {
            case .success(let list):
                #expect(list.units.count <= Int(limits.maximumUnits), "seed \(seed)")
                #expect(list.segments.count <= Int(limits.maximumSegments), "seed \(seed)")
                #expect(list.units.allSatisfy { $0.designator.count == 16 }, "seed \(seed)")
                for segment in list.segments {
                    #expect(list.units.indices.contains(segment.source), "seed \(seed)")
                    #expect(list.units.indices.contains(segment.destination), "seed \(seed)")
                }
            case .failure(let sense):
                #expect([.illegalRequest, .copyAborted].contains(sense.key), "seed \(seed)")
            }
        }
    }
}
