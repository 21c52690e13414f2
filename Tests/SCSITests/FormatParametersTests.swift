import SCSI
import Testing

@Suite("FORMAT UNIT: the parameter list")
struct FormatParametersTests {
    struct Outcome: Equatable, Sendable {
        var immediate = false
        var pattern: [UInt8]?
        var refusal: Sense?
    }

    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let list: [UInt8]
        let isLong: Bool
        let outcome: Outcome

        init(
            _ title: String, long: Bool = false, _ list: String, immediate: Bool = false, pattern: String? = nil
        ) {
            (testDescription, self.list, isLong) = (title, hex(list), long)
            outcome = Outcome(immediate: immediate, pattern: pattern.map(hex))
        }

        init(_ title: String, long: Bool = false, _ list: String, refused: Sense) {
            (testDescription, self.list, isLong) = (title, hex(list), long)
            outcome = Outcome(refusal: refused)
        }

        init(_ title: String, long: Bool = false, _ list: String, refusedAt byte: UInt16, bit: UInt8? = nil) {
            self.init(title, long: long, list, refused: .invalidFieldInParameterList(byte: byte, bit: bit))
        }
    }

    private static func outcome(_ list: [UInt8], isLong: Bool = false, hasList: Bool = true) -> Outcome {
        list.withUnsafeBytes { bytes in
            do throws(Sense) {
                let command = FormatUnit(longList: isLong, hasParameterList: hasList)
                let parameters = try FormatParameters(bytes, for: command, blockSize: 512)
                return Outcome(immediate: parameters.immediate, pattern: parameters.pattern)
            } catch {
                return Outcome(refusal: error)
            }
        }
    }

    @Test(
        "short and long headers",
        arguments: [
            Row("short header", "00 00 0000"),
            Row("long header", long: true, "00 00 0000 00000000"),
            Row("IMMED without FOV", "00 02 0000", immediate: true),
            Row("IMMED in a long header", long: true, "00 82 0000 00000000", immediate: true),
            Row("FOV", "00 80 0000"),
            Row("FOV, DPRY, DCRT and STPF", "00 F0 0000"),
            Row("bytes behind the header", "00 00 0000 FFFFFFFF"),
            Row("vendor specific bit", "00 01 0000"),
            Row("PROTECTION FIELD USAGE", "01 00 0000", refusedAt: 0, bit: 2),
            Row("PROTECTION FIELD USAGE 111b", long: true, "07 00 0000 00000000", refusedAt: 0, bit: 2),
            Row("DPRY without FOV", "00 40 0000", refusedAt: 1, bit: 6),
            Row("DCRT without FOV", "00 20 0000", refusedAt: 1, bit: 5),
            Row("STPF without FOV", "00 10 0000", refusedAt: 1, bit: 4),
            Row("IP without FOV", "00 08 0000 00 00 0000", refusedAt: 1, bit: 3),
            Row("DSP without FOV", "00 04 0000", refusedAt: 1, bit: 2),
            Row("PROTECTION INTERVAL EXPONENT", long: true, "00 00 0001 00000000", refusedAt: 3),
            Row("P_I_INFORMATION", long: true, "00 00 0010 00000000", refusedAt: 3),
            Row("one defect", "00 80 0004 00000001", refusedAt: 2),
            Row("65535 bytes of defects, none delivered", "00 80 FFFF", refusedAt: 2),
            Row("one defect, long", long: true, "00 80 0000 00000008 0000000000000001", refusedAt: 4),
            Row("4 GiB of defects", long: true, "00 80 0000 FFFFFFFF", refusedAt: 4),
            Row("nothing delivered", "", refused: .parameterListLengthError),
            Row("a short header for LONGLIST", long: true, "00 00 0000", refused: .parameterListLengthError),
        ])
    func headers(_ row: Row) {
        #expect(Self.outcome(row.list, isLong: row.isLong) == row.outcome)
    }

    @Test(
        "initialization pattern descriptors",
        arguments: [
            Row("default pattern", "00 88 0000 00 00 0000"),
            Row("default pattern and IMMED", "00 8A 0000 00 00 0000", immediate: true),
            Row("repeated pattern", "00 88 0000 00 01 0004 01020304", pattern: "01020304"),
            Row("long header", long: true, "00 88 0000 00000000 00 01 0002 0102", pattern: "0102"),
            Row("bytes behind the pattern", "00 88 0000 00 01 0002 0102 0304", pattern: "0102"),
            Row("IP MODIFIER 01b", "00 88 0000 40 01 0002 0102", refusedAt: 4, bit: 7),
            Row("IP MODIFIER 10b", long: true, "00 88 0000 00000000 80 01 0002 0102", refusedAt: 8, bit: 7),
            Row("SI", "00 88 0000 20 01 0002 0102", refusedAt: 4, bit: 5),
            Row("default pattern with bytes", "00 88 0000 00 00 0002 0102", refusedAt: 6),
            Row("empty pattern", "00 88 0000 00 01 0000", refusedAt: 6),
            Row("a pattern longer than the block", "00 88 0000 00 01 0201 00", refusedAt: 6),
            Row("pattern type 02h", "00 88 0000 00 02 0002 0102", refusedAt: 5),
            Row("pattern type FFh", long: true, "00 88 0000 00000000 00 FF 0000", refusedAt: 9),
            Row("a pattern that is not all there", "00 88 0000 00 01 0002 01", refused: .parameterListLengthError),
            Row("no descriptor", "00 88 0000", refused: .parameterListLengthError),
        ])
    func patterns(_ row: Row) {
        #expect(Self.outcome(row.list, isLong: row.isLong) == row.outcome)
    }

    @Test("a list cut anywhere is refused")
    func cutLists() {
        let short = hex("00 88 0000 00 01 0004 01020304")
        let long = hex("00 88 0000 00000000 00 01 0004 01020304")
        for (list, isLong) in [(short, false), (long, true)] {
            for count in 0..<list.count {
                let outcome = Self.outcome(Array(list.prefix(count)), isLong: isLong)
                #expect(outcome == Outcome(refusal: .parameterListLengthError))
            }
            #expect(Self.outcome(list, isLong: isLong).pattern == [1, 2, 3, 4])
        }
    }

    @Test("without FMTDATA there is no list, whatever was delivered")
    func withoutFormatData() {
        #expect(Self.outcome([], hasList: false) == Outcome())
        #expect(Self.outcome(hex("FF FF FFFF"), hasList: false) == Outcome())
        #expect(FormatParameters.default.pattern == nil)
        #expect(!FormatParameters.default.immediate)
    }

    @Test("a block holds the pattern from its first byte, or zeros")
    func fill() throws {
        var block = hex("FFFFFFFFFF")
        block.withUnsafeMutableBytes { FormatParameters.default.fill($0) }
        #expect(block == zeros(5))
        let list = hex("00 88 0000 00 01 0003 010203")
        let parameters = try list.withUnsafeBytes {
            try FormatParameters($0, for: FormatUnit(hasParameterList: true), blockSize: 512)
        }
        block.withUnsafeMutableBytes { parameters.fill($0) }
        #expect(block == hex("0102030102"))
    }
}
