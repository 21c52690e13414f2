import SCSI
import Testing

@Suite("What a command does to the medium, and what of that LIO can see")
struct EffectTests {
    static func decoded(_ bytes: [UInt8]) -> Command? {
        guard case .command(let command) = bytes.withUnsafeBytes({ CommandDecoder.decode(CDB($0)) }) else {
            return nil
        }
        return command
    }

    static let rows: [(title: String, cdb: [UInt8], transfer: DataTransfer, isUnseen: Bool)] = [
        ("WRITE SAME (16)", [0x93, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0], .dataOut, false),
        ("WRITE SAME (16), NDOB", [0x93, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0], .none, true),
        ("WRITE SAME (16), NDOB, UNMAP", [0x93, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0], .none, true),
        ("FORMAT UNIT", [0x04, 0, 0, 0, 0, 0], .none, true),
        ("FORMAT UNIT, fast", [0x04, 0, 0, 0, 1, 0], .none, true),
        ("FORMAT UNIT with a list", [0x04, 0x10, 0, 0, 0, 0], .dataOut, false),
        ("SANITIZE, OVERWRITE", [0x48, 1, 0, 0, 0, 0, 0, 0, 5, 0], .dataOut, false),
        ("SANITIZE, BLOCK ERASE", [0x48, 2, 0, 0, 0, 0, 0, 0, 0, 0], .none, true),
        ("SANITIZE, CRYPTOGRAPHIC ERASE", [0x48, 3, 0, 0, 0, 0, 0, 0, 0, 0], .none, true),
        ("SANITIZE, EXIT FAILURE MODE", [0x48, 0x1F, 0, 0, 0, 0, 0, 0, 0, 0], .none, true),
        ("VERIFY (10), BYTCHK 0", [0x2F, 0, 0, 0, 0, 1, 0, 0, 1, 0], .none, false),
        ("VERIFY (10), BYTCHK 1", [0x2F, 2, 0, 0, 0, 1, 0, 0, 1, 0], .dataOut, false),
        ("READ (10)", [0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0], .dataIn, false),
        ("WRITE (10)", [0x2A, 0, 0, 0, 0, 1, 0, 0, 1, 0], .dataOut, false),
        ("UNMAP", [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], .dataOut, false),
        ("EXTENDED COPY", [0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], .dataOut, false),
        ("SYNCHRONIZE CACHE (10)", [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0], .none, false),
        ("PRE-FETCH (10)", [0x34, 0, 0, 0, 0, 0, 0, 0, 1, 0], .none, false),
    ]

    @Test("by command", arguments: rows)
    func effect(_ title: String, _ cdb: [UInt8], _ transfer: DataTransfer, _ isUnseen: Bool) throws {
        let command = try #require(Self.decoded(cdb), "\(title)")
        #expect(command.transfer == transfer)
        #expect(command.changesMediumUnseen == isUnseen)
    }
}
