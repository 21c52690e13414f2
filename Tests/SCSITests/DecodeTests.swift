import SCSI
import Testing

/// A CDB and what it means.
struct DecodeRow: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let cdb: [UInt8]
    let command: Command

    init(_ title: String, _ cdb: String, _ command: Command) {
        (testDescription, self.cdb, self.command) = (title, hex(cdb), command)
    }
}

@Suite("Decoder: every command, field by field")
struct DecodeTests {
    @Test("commands without a medium address", arguments: plain)
    func decodesPlain(_ row: DecodeRow) {
        #expect(CommandDecoder.decode(CDB(row.cdb)) == .command(row.command))
    }

    @Test("commands that read or write blocks", arguments: medium)
    func decodesMedium(_ row: DecodeRow) {
        #expect(CommandDecoder.decode(CDB(row.cdb)) == .command(row.command))
    }

    @Test("commands of a disk that few initiators send", arguments: further)
    func decodesFurther(_ row: DecodeRow) {
        #expect(CommandDecoder.decode(CDB(row.cdb)) == .command(row.command))
    }

    @Test("what follows the command in a longer buffer is not looked at", arguments: plain + medium + further)
    func trailing(_ row: DecodeRow) {
        let longer = row.cdb + [UInt8](repeating: 0xFF, count: 32 - row.cdb.count)
        #expect(CommandDecoder.decode(CDB(longer)) == .command(row.command))
    }

    @Test("every operation code has a row here")
    func complete() {
        let tested = Set((Self.plain + Self.medium + Self.further).map { $0.cdb[0] })
        #expect(tested == Set(OperationCode.allCases.map(\.rawValue)))
    }

    static let plain: [DecodeRow] = [
        DecodeRow("TEST UNIT READY", "00 00000000 00", .testUnitReady),
        DecodeRow(
            "REQUEST SENSE, fixed",
            """
            03  # OPERATION CODE
            00  # DESC 0
            0000
            12  # ALLOCATION LENGTH 18
            00  # CONTROL
            """, .requestSense(RequestSense(allocationLength: 18))),
        DecodeRow(
            "REQUEST SENSE, descriptor", "03 01 0000 FC 00",
            .requestSense(RequestSense(descriptorFormat: true, allocationLength: 252))),
        DecodeRow(
            "INQUIRY, standard data",
            """
            12    # OPERATION CODE
            00    # EVPD 0
            00    # PAGE CODE
            0024  # ALLOCATION LENGTH 36
            00    # CONTROL
            """, .inquiry(Inquiry(allocationLength: 36))),
        DecodeRow(
            "INQUIRY, VPD 83h", "12 01 83 1000 00",
            .inquiry(Inquiry(vitalProductPage: 0x83, allocationLength: 4096))),
        DecodeRow(
            "INQUIRY, VPD 00h", "12 01 00 00FF 00",
            .inquiry(Inquiry(vitalProductPage: 0, allocationLength: 255))),
        DecodeRow(
            "INQUIRY, a page that only the unit can refuse", "12 01 C9 00FF 00",
            .inquiry(Inquiry(vitalProductPage: 0xC9, allocationLength: 255))),
        DecodeRow(
            "MODE SELECT(6)",
            """
            15    # OPERATION CODE
            10    # PF 1, SP 0
            0000
            18    # PARAMETER LIST LENGTH 24
            00    # CONTROL
            """, .modeSelect(ModeSelect(form: .six, parameterListLength: 24))),
        DecodeRow(
            "MODE SELECT(6) of nothing needs no PF", "15 00 0000 00 00",
            .modeSelect(ModeSelect(form: .six, parameterListLength: 0))),
        DecodeRow(
            "MODE SELECT(10), the longest list", "55 10 0000000000 01FF 00",
            .modeSelect(ModeSelect(form: .ten, parameterListLength: 511))),
        DecodeRow(
            "MODE SENSE(6), caching page",
            """
            1A    # OPERATION CODE
            08    # DBD
            08    # PC 0, PAGE CODE 8
            00    # SUBPAGE CODE
            FF    # ALLOCATION LENGTH 255
            00    # CONTROL
            """, .modeSense(ModeSense(form: .six, pageCode: 0x08, allocationLength: 255))),
        DecodeRow(
            "MODE SENSE(6), no data asked for", "1A 00 3F 00 00 00",
            .modeSense(ModeSense(form: .six, descriptor: .short, pageCode: 0x3F, allocationLength: 0))),
        DecodeRow(
            "MODE SENSE(10), changeable values of all pages and subpages", "5A 18 7F FF 000000 0200 00",
            .modeSense(
                ModeSense(
                    form: .ten, pageControl: .changeable, pageCode: 0x3F, subpageCode: 0xFF, allocationLength: 512))
        ),
        DecodeRow(
            "MODE SENSE(10), default values", "5A 00 8A 00 000000 0008 00",
            .modeSense(
                ModeSense(
                    form: .ten, descriptor: .short, pageControl: .default, pageCode: 0x0A, allocationLength: 8))),
        DecodeRow(
            "MODE SENSE(10), a long block descriptor", "5A 10 0A 00 000000 00FF 00",
            .modeSense(ModeSense(form: .ten, descriptor: .long, pageCode: 0x0A, allocationLength: 255))),
        DecodeRow("START STOP UNIT, start", "1B 00 0000 01 00", .startStopUnit(StartStopUnit())),
        DecodeRow(
            "START STOP UNIT, load at once without flushing", "1B 01 0000 07 00",
            .startStopUnit(StartStopUnit(immediate: true, noFlush: true, loadEject: true))),
        DecodeRow("READ CAPACITY(10)", "25 00 00000000 0000 00 00", .readCapacity10),
        DecodeRow("READ CAPACITY(10), LBA not looked at", "25 00 12345678 0000 00 00", .readCapacity10),
        DecodeRow(
            "READ CAPACITY(16)",
            """
            9E                # OPERATION CODE
            10                # SERVICE ACTION
            0000000000000000  # obsolete
            00000020          # ALLOCATION LENGTH 32
            00                # PMI 0
            00                # CONTROL
            """, .readCapacity16(allocationLength: 32)),
        DecodeRow(
            "REPORT TARGET PORT GROUPS",
            """
            A3        # OPERATION CODE
            0A        # PARAMETER DATA FORMAT 0, SERVICE ACTION
            00000000
            00000400  # ALLOCATION LENGTH 1024
            00        #
            00        # CONTROL
            """, .reportTargetPortGroups(ReportTargetPortGroups(allocationLength: 1024))),
        DecodeRow(
            "REPORT TARGET PORT GROUPS, extended header", "A3 2A 00000000 00000004 00 00",
            .reportTargetPortGroups(ReportTargetPortGroups(extendedHeader: true, allocationLength: 4))),
        DecodeRow(
            "SET TARGET PORT GROUPS",
            """
            A4        # OPERATION CODE
            0A        # SERVICE ACTION
            00000000
            00000010  # PARAMETER LIST LENGTH 16
            00        #
            00        # CONTROL
            """, .setTargetPortGroups(SetTargetPortGroups(parameterListLength: 16))),
    ]

    static let medium: [DecodeRow] = [
        DecodeRow(
            "READ(6), 21 bits of LBA",
            """
            08      # OPERATION CODE
            FFFFFF  # three reserved bits, LBA
            01      # TRANSFER LENGTH
            00      # CONTROL
            """, .read(MediumAccess(lba: 0x1F_FFFF, blocks: 1))),
        DecodeRow("READ(6), count 0 is 256", "08 000010 00 00", .read(MediumAccess(lba: 16, blocks: 256))),
        DecodeRow("WRITE(6)", "0A 010203 FF 00", .write(MediumAccess(lba: 0x010203, blocks: 255))),
        DecodeRow("WRITE(6), count 0 is 256", "0A 000000 00 00", .write(MediumAccess(lba: 0, blocks: 256))),
        DecodeRow(
            "READ(10), DPO and FUA",
            """
            28        # OPERATION CODE
            18        # RDPROTECT 0, DPO, FUA
            12345678  # LBA
            1F        # GROUP NUMBER
            0800      # TRANSFER LENGTH
            00        # CONTROL
            """, .read(MediumAccess(lba: 0x1234_5678, blocks: 0x800, fua: true, dpo: true))),
        DecodeRow("READ(10), count 0 is 0", "28 00 00000000 00 0000 00", .read(MediumAccess(lba: 0, blocks: 0))),
        DecodeRow(
            "READ(10), the highest", "28 00 FFFFFFFF 00 FFFF 00",
            .read(MediumAccess(lba: 0xFFFF_FFFF, blocks: 0xFFFF))),
        DecodeRow(
            "WRITE(10), FUA", "2A 08 00000001 00 0008 00", .write(MediumAccess(lba: 1, blocks: 8, fua: true))),
        DecodeRow(
            "READ(12), DPO",
            """
            A8        # OPERATION CODE
            10        # DPO
            89ABCDEF  # LBA
            00010000  # TRANSFER LENGTH
            00        # GROUP NUMBER
            00        # CONTROL
            """, .read(MediumAccess(lba: 0x89AB_CDEF, blocks: 0x10000, dpo: true))),
        DecodeRow(
            "WRITE(12)", "AA 00 00000002 00000003 00 00", .write(MediumAccess(lba: 2, blocks: 3))),
        DecodeRow(
            "READ(16)",
            """
            88                # OPERATION CODE
            00                # flags
            0123456789ABCDEF  # LBA
            FEDCBA98          # TRANSFER LENGTH
            00                # GROUP NUMBER
            00                # CONTROL
            """, .read(MediumAccess(lba: 0x0123_4567_89AB_CDEF, blocks: 0xFEDC_BA98))),
        DecodeRow(
            "WRITE(16), the highest", "8A 18 FFFFFFFFFFFFFFFF FFFFFFFF 00 00",
            .write(MediumAccess(lba: .max, blocks: .max, fua: true, dpo: true))),
        DecodeRow(
            "SYNCHRONIZE CACHE(10), IMMED", "35 02 00000010 00 0020 00",
            .synchronizeCache(SynchronizeCache(lba: 16, blocks: 32, immediate: true))),
        DecodeRow(
            "SYNCHRONIZE CACHE(16)", "91 00 0000000100000000 00000020 00 00",
            .synchronizeCache(SynchronizeCache(lba: 1 << 32, blocks: 32))),
        DecodeRow(
            "WRITE SAME(10), UNMAP", "41 08 00000010 00 0100 00",
            .writeSame(WriteSame(lba: 16, blocks: 256, unmap: true, form: .ten))),
        DecodeRow(
            "WRITE SAME(16), UNMAP and NDOB",
            """
            93                # OPERATION CODE
            09                # WRPROTECT 0, ANCHOR 0, UNMAP 1, NDOB 1
            0000000100000000  # LBA
            00010000          # NUMBER OF LOGICAL BLOCKS
            00                # GROUP NUMBER
            00                # CONTROL
            """,
            .writeSame(WriteSame(lba: 1 << 32, blocks: 65536, unmap: true, noDataOut: true, form: .sixteen))),
        DecodeRow(
            "WRITE SAME(16)", "93 00 0000000000000001 00000001 00 00",
            .writeSame(WriteSame(lba: 1, blocks: 1, form: .sixteen))),
        DecodeRow(
            "UNMAP",
            """
            42        # OPERATION CODE
            00        # ANCHOR 0
            00000000
            00        # GROUP NUMBER
            0018      # PARAMETER LIST LENGTH 24
            00        # CONTROL
            """, .unmap(UnmapCommand(parameterListLength: 24))),
        DecodeRow(
            "COMPARE AND WRITE, FUA",
            """
            89                # OPERATION CODE
            08                # WRPROTECT 0, DPO 0, FUA 1
            00000000000000FF  # LBA
            000000            # reserved
            01                # NUMBER OF LOGICAL BLOCKS
            00                # GROUP NUMBER
            00                # CONTROL
            """, .compareAndWrite(CompareAndWrite(lba: 255, blocks: 1, fua: true))),
        DecodeRow(
            "COMPARE AND WRITE of nothing, DPO", "89 10 0000000000000000 000000 00 00 00",
            .compareAndWrite(CompareAndWrite(lba: 0, blocks: 0, dpo: true))),
    ]

    @Test("only commands that alter data are stopped by write protection")
    func modifiesMedium() {
        for row in Self.plain { #expect(!row.command.modifiesMedium, "\(row.testDescription)") }
        let altering: Set<UInt8> = [
            0x04, 0x0A, 0x2A, 0x2E, 0x41, 0x42, 0x48, 0x83, 0x89, 0x8A, 0x8B, 0x8E, 0x93, 0x9C, 0xAA, 0xAE,
        ]
        for row in Self.medium + Self.further {
            let alters = altering.contains(row.cdb[0]) && row.cdb.prefix(2) != [0x48, 0x1F]
            #expect(row.command.modifiesMedium == alters, "\(row.testDescription)")
        }
    }
}
