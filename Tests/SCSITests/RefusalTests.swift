import SCSI
import Testing

/// A CDB and the sense it is refused with.
struct RefusalRow: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let cdb: [UInt8]
    let sense: Sense

    init(_ title: String, _ cdb: String, _ sense: Sense) {
        (testDescription, self.cdb, self.sense) = (title, hex(cdb), sense)
    }
}

@Suite("Decoder: wrong fields, and commands that are not served")
struct RefusalTests {
    @Test("a wrong field is named by byte and bit", arguments: fields)
    func wrongField(_ row: RefusalRow) {
        #expect(CommandDecoder.decode(CDB(row.cdb)) == .refused(row.sense))
    }

    static let fields: [RefusalRow] = [
        RefusalRow("INQUIRY, page code without EVPD", "12 00 83 00FF 00", .invalidFieldInCDB(byte: 2)),
        RefusalRow("MODE SELECT(6), PF 0", "15 00 0000 18 00", .invalidFieldInCDB(byte: 1, bit: 4)),
        RefusalRow("MODE SELECT(6), SP 1", "15 11 0000 18 00", .invalidFieldInCDB(byte: 1, bit: 0)),
        RefusalRow("MODE SELECT(10), PF 0", "55 00 0000000000 0018 00", .invalidFieldInCDB(byte: 1, bit: 4)),
        RefusalRow("MODE SELECT(10), list too long", "55 10 0000000000 0200 00", .parameterListLengthError),
        RefusalRow("MODE SENSE(6), saved values", "1A 00 C8 00 FF 00", .savingParametersNotSupported),
        RefusalRow("MODE SENSE(10), saved values", "5A 00 FF 00 000000 00FF 00", .savingParametersNotSupported),
        RefusalRow("START STOP UNIT, stop", "1B 00 0000 00 00", .invalidFieldInCDB(byte: 4, bit: 0)),
        RefusalRow("START STOP UNIT, eject", "1B 00 0000 02 00", .invalidFieldInCDB(byte: 4, bit: 0)),
        RefusalRow("START STOP UNIT, standby", "1B 00 0000 31 00", .invalidFieldInCDB(byte: 4, bit: 7)),
        RefusalRow("READ CAPACITY(10), RELADR", "25 01 00000000 0000 00 00", .invalidFieldInCDB(byte: 1, bit: 0)),
        RefusalRow("READ CAPACITY(10), PMI", "25 00 00000000 0000 01 00", .invalidFieldInCDB(byte: 8, bit: 0)),
        RefusalRow("READ(10), RDPROTECT 1", "28 20 00000000 00 0001 00", .invalidFieldInCDB(byte: 1, bit: 7)),
        RefusalRow("READ(12), RDPROTECT 4", "A8 80 00000000 00000001 00 00", .invalidFieldInCDB(byte: 1, bit: 7)),
        RefusalRow(
            "READ(16), RDPROTECT 2", "88 40 0000000000000000 00000001 00 00", .invalidFieldInCDB(byte: 1, bit: 7)),
        RefusalRow("WRITE(10), WRPROTECT 1", "2A 20 00000000 00 0001 00", .invalidFieldInCDB(byte: 1, bit: 7)),
        RefusalRow("WRITE(12), WRPROTECT 5", "AA A0 00000000 00000001 00 00", .invalidFieldInCDB(byte: 1, bit: 7)),
        RefusalRow(
            "WRITE(16), WRPROTECT 3", "8A 60 0000000000000000 00000001 00 00", .invalidFieldInCDB(byte: 1, bit: 7)),
        RefusalRow(
            "COMPARE AND WRITE, WRPROTECT 1", "89 20 0000000000000000 000000 01 00 00",
            .invalidFieldInCDB(byte: 1, bit: 7)),
        RefusalRow("WRITE SAME(10), WRPROTECT 1", "41 20 00000000 00 0001 00", .invalidFieldInCDB(byte: 1, bit: 7)),
        RefusalRow("WRITE SAME(10), ANCHOR", "41 18 00000000 00 0001 00", .invalidFieldInCDB(byte: 1, bit: 4)),
        RefusalRow("WRITE SAME(10), PBDATA", "41 04 00000000 00 0001 00", .invalidFieldInCDB(byte: 1, bit: 2)),
        RefusalRow("WRITE SAME(10), LBDATA", "41 02 00000000 00 0001 00", .invalidFieldInCDB(byte: 1, bit: 1)),
        RefusalRow("WRITE SAME(10), count 0", "41 00 00000000 00 0000 00", .invalidFieldInCDB(byte: 7)),
        RefusalRow(
            "WRITE SAME(16), ANCHOR", "93 10 0000000000000000 00000001 00 00", .invalidFieldInCDB(byte: 1, bit: 4)),
        RefusalRow(
            "WRITE SAME(16), count 0", "93 00 0000000000000000 00000000 00 00", .invalidFieldInCDB(byte: 10)),
        RefusalRow("UNMAP, ANCHOR", "42 01 00000000 00 0018 00", .invalidFieldInCDB(byte: 1, bit: 0)),
        RefusalRow(
            "REPORT TARGET PORT GROUPS, reserved format", "A3 4A 00000000 00000400 00 00",
            .invalidFieldInCDB(byte: 1, bit: 7)),
        RefusalRow(
            "REPORT TARGET PORT GROUPS, length not returned", "A3 0A 00000000 00000003 00 00",
            .invalidFieldInCDB(byte: 6)),
        RefusalRow("VERIFY(10), VRPROTECT 1", "2F 20 00000000 00 0001 00", .invalidFieldInCDB(byte: 1, bit: 7)),
        RefusalRow("VERIFY(10), BYTCHK 10b", "2F 04 00000000 00 0001 00", .invalidFieldInCDB(byte: 1, bit: 2)),
        RefusalRow("VERIFY(12), VRPROTECT 7", "AF E0 00000000 00000001 00 00", .invalidFieldInCDB(byte: 1, bit: 7)),
        RefusalRow(
            "VERIFY(16), BYTCHK 10b", "8F 04 0000000000000000 00000001 00 00", .invalidFieldInCDB(byte: 1, bit: 2)),
        RefusalRow(
            "WRITE AND VERIFY(10), one block for all", "2E 06 00000000 00 0001 00",
            .invalidFieldInCDB(byte: 1, bit: 2)),
        RefusalRow(
            "WRITE AND VERIFY(16), WRPROTECT 1", "8E 20 0000000000000000 00000001 00 00",
            .invalidFieldInCDB(byte: 1, bit: 7)),
        RefusalRow(
            "ORWRITE(16), ORPROTECT 2", "8B 40 0000000000000000 00000001 00 00", .invalidFieldInCDB(byte: 1, bit: 7)
        ),
        RefusalRow(
            "WRITE ATOMIC(16), a boundary", "9C 00 0000000000000000 0008 0001 00 00", .invalidFieldInCDB(byte: 10)),
        RefusalRow(
            "SEND DIAGNOSTIC, a background self test", "1D 20 00 0000 00", .invalidFieldInCDB(byte: 1, bit: 7)),
        RefusalRow("SEND DIAGNOSTIC, a diagnostic page", "1D 10 00 0004 00", .invalidFieldInCDB(byte: 3)),
        RefusalRow(
            "GET LBA STATUS, a report type", "9E 12 0000000000000000 00000018 01 00", .invalidFieldInCDB(byte: 14)),
        RefusalRow("FORMAT UNIT, FMTPINFO", "04 40 00 00 00 00", .invalidFieldInCDB(byte: 1, bit: 7)),
        RefusalRow("FORMAT UNIT, FFMT 10b", "04 00 00 00 02 00", .invalidFieldInCDB(byte: 4, bit: 1)),
        RefusalRow("SANITIZE, ZNR", "48 42 0000000000 0000 00", .invalidFieldInCDB(byte: 1, bit: 6)),
        RefusalRow("SANITIZE, a reserved byte", "48 02 0000000100 0000 00", .invalidFieldInCDB(byte: 5)),
        RefusalRow("SANITIZE, BLOCK ERASE with a list", "48 02 0000000000 0008 00", .invalidFieldInCDB(byte: 7)),
        RefusalRow(
            "SANITIZE, OVERWRITE without a pattern", "48 01 0000000000 0004 00", .invalidFieldInCDB(byte: 7)),
        RefusalRow("LOG SENSE, SP", "4D 01 40 00 00 0000 00FF 00", .invalidFieldInCDB(byte: 1, bit: 0)),
        RefusalRow("LOG SENSE, PPC", "4D 02 40 00 00 0000 00FF 00", .invalidFieldInCDB(byte: 1, bit: 1)),
        RefusalRow("PREVENT ALLOW MEDIUM REMOVAL, 10b", "1E 00 0000 02 00", .invalidFieldInCDB(byte: 4, bit: 1)),
        RefusalRow(
            "REPORT SUPPORTED OPERATION CODES, reserved option", "A3 0C 04 00 0000 00000100 00 00",
            .invalidFieldInCDB(byte: 2, bit: 2)),
        RefusalRow(
            "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS, length too short", "A3 0D 00 00 0000 00000003 00 00",
            .invalidFieldInCDB(byte: 6)),
        RefusalRow("NACA, 6 bytes", "00 00000000 04", .invalidFieldInCDB(byte: 5, bit: 2)),
        RefusalRow("NACA, 10 bytes", "28 00 00000000 00 0001 04", .invalidFieldInCDB(byte: 9, bit: 2)),
        RefusalRow("NACA, 12 bytes", "A8 00 00000000 00000001 00 04", .invalidFieldInCDB(byte: 11, bit: 2)),
        RefusalRow(
            "NACA, 16 bytes", "88 00 0000000000000000 00000001 00 04", .invalidFieldInCDB(byte: 15, bit: 2)),
    ]

    @Test("a service action without a row is an unknown command, as by the original", arguments: 0...0x1F)
    func serviceActions(_ action: UInt8) {
        let served: [UInt8: Set<UInt8>] = [
            0x83: [0x00, 0x01], 0x84: [0x00, 0x03, 0x04, 0x05], 0x9E: [0x10, 0x12], 0xA3: [0x0A, 0x0C, 0x0D],
            0xA4: [0x0A],
        ]
        for (code, actions) in served {
            // Byte 9 is in the allocation length of every MAINTENANCE IN.
            let decoded = CommandDecoder.decode(CDB([code, action] + zeros(7) + [0xFF] + zeros(6)))
            let isUnknown = decoded == .refused(.invalidCommandOperationCode)
            #expect(isUnknown == !actions.contains(action), "\(String(code, radix: 16))")
        }
    }

    @Test("an unknown or unserved SANITIZE is a wrong field (SBC-3 5.24.1)", arguments: 0...0x1F)
    func sanitizeActions(_ action: UInt8) {
        let length: UInt8 = action == 0x01 ? 8 : 0
        func decoded(_ commands: CommandSet) -> Decoded {
            CommandDecoder.decode(CDB([0x48, action] + zeros(6) + [length, 0]), serving: commands)
        }
        let refused = Decoded.refused(.invalidFieldInCDB(byte: 1, bit: 4))
        #expect((decoded(.all) == refused) == ![0x01, 0x02, 0x03, 0x1F].contains(action))
        #expect((decoded(.common) == refused) == ![0x01, 0x1F].contains(action))
    }

    @Test("commands that the backend cannot carry out are unknown", arguments: [UInt8(0x42), 0x9C])
    func unservedCodes(_ code: UInt8) {
        let cdb = CDB([code] + zeros(15))
        #expect(CommandDecoder.decode(cdb, serving: .common) == .refused(.invalidCommandOperationCode))
        #expect(CommandDecoder.decode(cdb) != .refused(.invalidCommandOperationCode))
    }

    @Test("every other operation code is answered, those of vendor and reserved groups too")
    func unknownCodes() {
        let served = Set(OperationCode.allCases.map(\.rawValue))
        for code in (0...UInt8.max) where !served.contains(code) {
            for count in [1, 6, 10, 12, 16, 32] {
                #expect(
                    CommandDecoder.decode(CDB([code] + zeros(count - 1))) == .refused(.invalidCommandOperationCode),
                    "operation code \(String(code, radix: 16)), \(count) bytes")
            }
        }
    }

    @Test("READ(32) and WRITE(32) are refused", arguments: [UInt8(0x09), 0x0B])
    func variableLength(_ action: UInt8) {
        let cdb = CDB(hex("7F 00 00 00 00 00 00 18 00") + [action] + zeros(22))
        #expect(CommandDecoder.decode(cdb) == .refused(.invalidCommandOperationCode))
    }

    @Test(
        "a CDB cut short is never carried out",
        arguments: DecodeTests.plain + DecodeTests.medium + DecodeTests.further)
    func truncated(_ row: DecodeRow) {
        for count in 1..<row.cdb.count {
            #expect(
                CommandDecoder.decode(CDB([UInt8](row.cdb.prefix(count))))
                    == .refused(.invalidFieldInCDB(byte: UInt16(count))))
        }
    }

    @Test("an empty CDB is not TEST UNIT READY")
    func empty() {
        #expect(CommandDecoder.decode(CDB([])) == .refused(.invalidFieldInCDB(byte: 0)))
    }

    @Test(
        "limits of the unit: COMPARE AND WRITE",
        arguments: [(0, 1, true), (1, 1, true), (2, 1, false), (1, 0, false)])
    func compareAndWrite(_ blocks: UInt8, _ limit: UInt8, _ served: Bool) {
        let limits = BlockLimits(
            maximumTransferBlocks: 8, optimalTransferBlocks: 8, maximumCompareAndWriteBlocks: limit)
        let refusal = CompareAndWrite(lba: 0, blocks: blocks).refusal(limits: limits)
        #expect(refusal == (served ? nil : .invalidFieldInCDB(byte: 13)))
    }

    @Test("limits of the unit: WRITE SAME")
    func writeSame() {
        let limits = BlockLimits(maximumTransferBlocks: 8, optimalTransferBlocks: 8, maximumWriteSameBlocks: 100)
        let only16 = ProvisioningFlags(lbpu: true, lbpws: true, lbpws10: false, lbprz: true)
        let only10 = ProvisioningFlags(lbpu: true, lbpws: false, lbpws10: true, lbprz: true)
        func refusal(_ blocks: UInt32, _ unmap: Bool, _ form: CDBForm, _ flags: ProvisioningFlags) -> Sense? {
            WriteSame(lba: 0, blocks: blocks, unmap: unmap, form: form).refusal(limits: limits, provisioning: flags)
        }
        #expect(refusal(100, false, .ten, .none) == nil)
        #expect(refusal(101, false, .ten, .none) == .invalidFieldInCDB(byte: 7))
        #expect(refusal(101, false, .sixteen, .none) == .invalidFieldInCDB(byte: 10))
        #expect(refusal(1, true, .ten, .none) == .invalidFieldInCDB(byte: 1, bit: 3))
        #expect(refusal(1, true, .ten, only16) == .invalidFieldInCDB(byte: 1, bit: 3))
        #expect(refusal(1, true, .ten, only10) == nil)
        #expect(refusal(1, true, .sixteen, only10) == .invalidFieldInCDB(byte: 1, bit: 3))
        #expect(refusal(1, true, .sixteen, only16) == nil)
    }
}
