import SCSI

extension DecodeTests {
    /// Rows of the commands that formatting, checking and copying tools send.
    static let further: [DecodeRow] = [
        DecodeRow(
            "VERIFY(10), nothing compared", "2F 10 00000010 00 0020 00",
            .verify(Verify(lba: 16, blocks: 32, dpo: true))),
        DecodeRow(
            "VERIFY(12), every block compared", "AF 02 00000010 00000020 00 00",
            .verify(Verify(lba: 16, blocks: 32, byteCheck: .everyBlock))),
        DecodeRow(
            "VERIFY(16), one block for all", "8F 06 0000000100000000 00000020 00 00",
            .verify(Verify(lba: 1 << 32, blocks: 32, byteCheck: .oneBlock))),
        DecodeRow(
            "WRITE AND VERIFY(10)", "2E 00 00000010 00 0020 00", .writeAndVerify(Verify(lba: 16, blocks: 32))),
        DecodeRow(
            "WRITE AND VERIFY(12), DPO and BYTCHK", "AE 12 00000010 00000020 00 00",
            .writeAndVerify(Verify(lba: 16, blocks: 32, byteCheck: .everyBlock, dpo: true))),
        DecodeRow(
            "WRITE AND VERIFY(16)", "8E 00 0000000100000000 00000020 00 00",
            .writeAndVerify(Verify(lba: 1 << 32, blocks: 32))),
        DecodeRow(
            "ORWRITE(16), FUA", "8B 08 0000000100000000 00000020 00 00",
            .orWrite(MediumAccess(lba: 1 << 32, blocks: 32, fua: true))),
        DecodeRow(
            "WRITE ATOMIC(16), DPO",
            """
            9C                # OPERATION CODE
            10                # DPO
            0000000100000000  # LBA
            0000              # ATOMIC BOUNDARY
            0020              # TRANSFER LENGTH
            00                # GROUP NUMBER
            00                # CONTROL
            """, .writeAtomic(MediumAccess(lba: 1 << 32, blocks: 32, dpo: true))),
        DecodeRow(
            "PRE-FETCH(10), IMMED", "34 02 00000010 00 0020 00",
            .prefetch(Prefetch(lba: 16, blocks: 32, immediate: true))),
        DecodeRow(
            "PRE-FETCH(16), to the end", "90 00 0000000100000000 00000000 00 00",
            .prefetch(Prefetch(lba: 1 << 32, blocks: 0))),
        DecodeRow(
            "READ DEFECT DATA(10), both lists", "37 00 1D 00000000 0008 00",
            .readDefectData(
                ReadDefectData(form: .ten, primaryList: true, grownList: true, format: 5, allocationLength: 8))),
        DecodeRow(
            "READ DEFECT DATA(12), the grown list", "B7 08 00000000 00010000 00 00",
            .readDefectData(ReadDefectData(form: .twelve, grownList: true, allocationLength: 65_536))),
        DecodeRow(
            "GET LBA STATUS", "9E 12 0000000100000000 00000018 00 00",
            .getLBAStatus(GetLBAStatus(lba: 1 << 32, allocationLength: 24))),
        DecodeRow(
            "SANITIZE, OVERWRITE", "48 01 0000000000 0008 00",
            .sanitize(Sanitize(action: .overwrite, parameterListLength: 8))),
        DecodeRow(
            "SANITIZE, BLOCK ERASE, IMMED and AUSE", "48 A2 0000000000 0000 00",
            .sanitize(Sanitize(action: .blockErase, immediate: true, allowUnrestrictedExit: true))),
        DecodeRow(
            "SANITIZE, CRYPTOGRAPHIC ERASE", "48 03 0000000000 0000 00",
            .sanitize(Sanitize(action: .cryptographicErase))),
        DecodeRow(
            "SANITIZE, EXIT FAILURE MODE", "48 1F 0000000000 0000 00",
            .sanitize(Sanitize(action: .exitFailureMode))),
        DecodeRow(
            "FORMAT UNIT with a long list", "04 3D 00 0000 00",
            .formatUnit(
                FormatUnit(longList: true, hasParameterList: true, completeList: true, defectListFormat: 5))),
        DecodeRow("FORMAT UNIT, fast", "04 00 00 00 01 00", .formatUnit(FormatUnit(fast: true))),
        DecodeRow(
            "LOG SENSE",
            """
            4D    # OPERATION CODE
            00    # SP 0
            4C    # PC 1, PAGE CODE 0Ch
            00    # SUBPAGE CODE
            00
            0002  # PARAMETER POINTER
            0100  # ALLOCATION LENGTH
            00    # CONTROL
            """, .logSense(LogSense(pageCode: 0x0C, parameterPointer: 2, allocationLength: 256))),
        DecodeRow("SEND DIAGNOSTIC, default self test", "1D 04 00 0000 00", .sendDiagnostic(selfTest: true)),
        DecodeRow(
            "PREVENT ALLOW MEDIUM REMOVAL, prevent", "1E 00 0000 01 00",
            .preventAllowMediumRemoval(PreventAllowMediumRemoval(prevent: true))),
        DecodeRow(
            "PREVENT ALLOW MEDIUM REMOVAL, allow", "1E 00 0000 00 00",
            .preventAllowMediumRemoval(PreventAllowMediumRemoval(prevent: false))),
        DecodeRow(
            "EXTENDED COPY(LID1)", "83 00 0000000000000000 00000058 00 00",
            .extendedCopy(ExtendedCopy(form: .one, parameterListLength: 88))),
        DecodeRow(
            "EXTENDED COPY(LID4)", "83 01 0000000000000000 00000058 00 00",
            .extendedCopy(ExtendedCopy(form: .four, parameterListLength: 88))),
        DecodeRow(
            "RECEIVE COPY STATUS(LID1)", "84 00 12 00000000000000 0000000C 00 00",
            .receiveCopyResults(
                ReceiveCopyResults(action: .copyStatusLID1, listIdentifier: 0x12, allocationLength: 12))),
        DecodeRow(
            "RECEIVE COPY OPERATING PARAMETERS", "84 03 12 00000000000000 00000400 00 00",
            .receiveCopyResults(ReceiveCopyResults(action: .operatingParameters, allocationLength: 1024))),
        DecodeRow(
            "RECEIVE COPY FAILURE DETAILS(LID1)", "84 04 12 00000000000000 00000400 00 00",
            .receiveCopyResults(
                ReceiveCopyResults(action: .failureDetailsLID1, listIdentifier: 0x12, allocationLength: 1024))),
        DecodeRow(
            "RECEIVE COPY STATUS(LID4)", "84 05 12345678 00000000 0000000C 00 00",
            .receiveCopyResults(
                ReceiveCopyResults(action: .copyStatusLID4, listIdentifier: 0x1234_5678, allocationLength: 12))),
        DecodeRow(
            "REPORT SUPPORTED OPERATION CODES, all with timeouts", "A3 0C 80 00 0000 00010000 00 00",
            .reportSupportedOperationCodes(
                ReportSupportedOperationCodes(options: .all, timeouts: true, allocationLength: 65_536))),
        DecodeRow(
            "REPORT SUPPORTED OPERATION CODES, one service action", "A3 0C 02 9E 0010 00000100 00 00",
            .reportSupportedOperationCodes(
                ReportSupportedOperationCodes(
                    options: .serviceAction, operationCode: 0x9E, serviceAction: 0x10, allocationLength: 256))),
        DecodeRow(
            "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS, extended", "A3 0D 80 00 0000 00000010 00 00",
            .reportSupportedTaskManagementFunctions(
                ReportSupportedTaskManagementFunctions(extended: true, allocationLength: 16))),
    ]
}
