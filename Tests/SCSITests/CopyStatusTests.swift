import SCSI
import TCMUTestKit
import Testing

@Suite("RECEIVE COPY: what became of a copy, and what may be asked for")
struct CopyStatusTests {
    private static let failure = Sense.unrecoveredReadError
    private static let senseData = "70 00 03 00000000 0A 00000000 11 00 00 000000"

    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let status: CopyStatus
        let data: [UInt8]

        init(
            _ title: String, _ state: CopyStatus.State, form: ExtendedCopy.ListIdentifierLength = .one,
            segments: UInt16 = 0, bytes: UInt64 = 0, _ data: String
        ) {
            (testDescription, self.data) = (title, hex(data))
            status = CopyStatus(listIdentifier: 1, form: form, state: state, segments: segments, bytes: bytes)
        }
    }

    @Test(
        "COPY STATUS(LID1)",
        arguments: [
            Row("just begun", .inForeground, "00000008 00 0000 00 00000000"),
            Row("behind its command", .inBackground, segments: 1, bytes: 512, "00000008 00 0001 00 00000200"),
            Row("done", .done, segments: 16, bytes: 0xFFFF_FFFF, "00000008 01 0010 00 FFFFFFFF"),
            Row("4 GiB, told in KiB", .done, segments: 0xFFFF, bytes: 1 << 32, "00000008 01 FFFF 01 00400000"),
            Row("rounded down", .done, bytes: 1 << 32 | 1023, "00000008 01 0000 01 00400000"),
            Row("4 TiB, told in MiB", .done, bytes: 1 << 42, "00000008 01 0000 02 00400000"),
            Row("as much as there is", .done, bytes: .max, "00000008 01 0000 04 00FFFFFF"),
            Row("failed", .failed(failure), segments: 2, bytes: 4096, "00000008 02 0002 00 00001000"),
            Row("terminated", .terminated, "00000008 02 0000 00 00000000"),
        ])
    func statusLID1(_ row: Row) {
        #expect(hexText(row.status.statusLID1) == hexText(row.data))
    }

    @Test(
        "COPY STATUS(LID4)",
        arguments: [
            Row(
                "in foreground", .inForeground, form: .four, segments: 1, bytes: 512,
                "0000001C 01 11 0001 000003E8 00 00 00 00 0000000000000200 0001 000000000000"),
            Row(
                "in background", .inBackground, form: .four,
                "0000001C 01 12 0000 000003E8 00 00 00 00 0000000000000000 0000 000000000000"),
            Row(
                "done", .done, form: .four, segments: 16, bytes: .max,
                "0000001C 01 01 0010 00000000 00 00 00 00 FFFFFFFFFFFFFFFF 0010 000000000000"),
            Row(
                "failed", .failed(failure), form: .four, segments: 2, bytes: 4096,
                "0000002E 01 02 0002 00000000 02 12 12 00 0000000000001000 0002 000000000000 \(senseData)"),
            Row(
                "terminated", .terminated, form: .four,
                "0000001C 01 60 0000 00000000 40 00 00 00 0000000000000000 0000 000000000000"),
            Row(
                "of a LID1 command", .done, form: .one,
                "0000001C 00 01 0000 00000000 00 00 00 00 0000000000000000 0000 000000000000"),
        ])
    func statusLID4(_ row: Row) {
        #expect(hexText(row.status.statusLID4) == hexText(row.data))
    }

    @Test(
        "FAILURE DETAILS(LID1)",
        arguments: [
            Row(
                "failed", .failed(failure),
                "0000004A \(String(repeating: "00", count: 52)) 02 00 0012 \(senseData)"),
            Row("done", .done, "00000000"),
            Row("going on", .inForeground, "00000000"),
            Row("terminated", .terminated, "00000000"),
        ])
    func failureDetails(_ row: Row) {
        #expect(hexText(row.status.failureDetails) == hexText(row.data))
    }

    @Test("a list identifier is taken while its copy goes on")
    func inProgress() {
        func status(_ state: CopyStatus.State) -> CopyStatus {
            CopyStatus(listIdentifier: 1, form: .one, state: state)
        }
        #expect(status(.inForeground).isInProgress)
        #expect(status(.inBackground).isInProgress)
        #expect(!status(.done).isInProgress)
        #expect(!status(.failed(Self.failure)).isInProgress)
        #expect(!status(.terminated).isInProgress)
    }

    @Test("OPERATING PARAMETERS")
    func operatingParameters() {
        let limits = CopyLimits(
            maximumUnits: 4, maximumSegments: 16, maximumListLength: 1024, maximumSegmentBytes: 1 << 24,
            concurrentCopies: 3)
        let data = hex(
            """
            0000002A            # AVAILABLE DATA
            01 000000           # SNLID
            0004 0010 00000400  # CSCD descriptors, segments, length of both
            01000000            # MAXIMUM SEGMENT LENGTH
            00000000 00000000 00000000 0000
            0003 03             # TOTAL and MAXIMUM CONCURRENT COPIES
            09 09 09            # granularities
            000000 02 02 E4     # IMPLEMENTED DESCRIPTOR LIST
            """)
        #expect(hexText(ReceiveCopyResults.operatingParameters(limits)) == hexText(data))
        #expect(limits == CopyLimits(concurrentCopies: 3))
    }

    @Test("the command picks the answer; a list identifier that is not known is refused")
    func responses() throws {
        let (limits, status) = (
            CopyLimits(), CopyStatus(listIdentifier: 9, form: .one, state: .failed(Self.failure))
        )
        func response(_ cdb: [UInt8], _ status: CopyStatus?) throws -> [UInt8] {
            guard case .command(.receiveCopyResults(let command)) = CommandDecoder.decode(CDB(cdb)) else {
                Issue.record("not decoded: \(hexText(cdb))")
                return []
            }
            return try command.response(status, limits: limits)
        }
        let commands: [([UInt8], [UInt8])] = [
            (InitiatorCDB.receiveCopyStatusLID1(9), status.statusLID1),
            (InitiatorCDB.receiveCopyStatusLID4(9), status.statusLID4),
            (InitiatorCDB.receiveCopyFailureDetails(9), status.failureDetails),
        ]
        for (cdb, expected) in commands {
            #expect(try response(cdb, status) == expected)
            #expect(throws: Sense.invalidFieldInCDB(byte: 2)) { try response(cdb, nil) }
        }
        let parameters = ReceiveCopyResults.operatingParameters(limits)
        #expect(try response(InitiatorCDB.receiveCopyOperatingParameters(), nil) == parameters)
    }

    @Test("CDBs of the builders are those that the decoder knows", arguments: CopyListBuilder.Form.allCases)
    func commands(_ form: CopyListBuilder.Form) {
        let list = CopyListBuilder.within(CopyListTests.designator, from: 0, to: 8, blocks: 8, form: form)
        let command = ExtendedCopy(
            form: form == .lid1 ? .one : .four, parameterListLength: UInt32(form.headerLength + 32 + 28))
        #expect(CommandDecoder.decode(CDB(list.cdb)) == .command(.extendedCopy(command)))
    }
}
