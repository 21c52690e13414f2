/// A command whose CDB was found well-formed, with its fields as values.
///
/// What only the unit can judge is not judged yet: whether the blocks exist, whether they may be written,
/// whether the backend can unmap. The payloads have a check for each.
public enum Command: Sendable, Equatable, BitwiseCopyable {
    /// TEST UNIT READY.
    case testUnitReady
    /// REQUEST SENSE.
    case requestSense(RequestSense)
    /// INQUIRY.
    case inquiry(Inquiry)
    /// READ CAPACITY(10): eight bytes, no allocation length.
    case readCapacity10
    /// READ CAPACITY(16).
    case readCapacity16(allocationLength: UInt32)
    /// MODE SENSE, 6 and 10.
    case modeSense(ModeSense)
    /// MODE SELECT, 6 and 10.
    case modeSelect(ModeSelect)
    /// READ, 6 to 16.
    case read(MediumAccess)
    /// WRITE, 6 to 16.
    case write(MediumAccess)
    /// SYNCHRONIZE CACHE, 10 and 16.
    case synchronizeCache(SynchronizeCache)
    /// UNMAP.
    case unmap(UnmapCommand)
    /// WRITE SAME, 10 and 16.
    case writeSame(WriteSame)
    /// COMPARE AND WRITE.
    case compareAndWrite(CompareAndWrite)
    /// START STOP UNIT.
    case startStopUnit(StartStopUnit)
    /// REPORT TARGET PORT GROUPS.
    case reportTargetPortGroups(ReportTargetPortGroups)
    /// SET TARGET PORT GROUPS.
    case setTargetPortGroups(SetTargetPortGroups)
    /// VERIFY, 10 to 16.
    case verify(Verify)
    /// WRITE AND VERIFY, 10 to 16.
    case writeAndVerify(Verify)
    /// ORWRITE(16).
    case orWrite(MediumAccess)
    /// WRITE ATOMIC(16).
    case writeAtomic(MediumAccess)
    /// PRE-FETCH, 10 and 16.
    case prefetch(Prefetch)
    /// READ DEFECT DATA, 10 and 12.
    case readDefectData(ReadDefectData)
    /// GET LBA STATUS.
    case getLBAStatus(GetLBAStatus)
    /// SANITIZE.
    case sanitize(Sanitize)
    /// FORMAT UNIT.
    case formatUnit(FormatUnit)
    /// LOG SENSE.
    case logSense(LogSense)
    /// SEND DIAGNOSTIC: the default self test, which a unit without parts of its own always passes.
    case sendDiagnostic(selfTest: Bool)
    /// PREVENT ALLOW MEDIUM REMOVAL.
    case preventAllowMediumRemoval(PreventAllowMediumRemoval)
    /// EXTENDED COPY, LID1 and LID4.
    case extendedCopy(ExtendedCopy)
    /// RECEIVE COPY RESULTS.
    case receiveCopyResults(ReceiveCopyResults)
    /// REPORT SUPPORTED OPERATION CODES.
    case reportSupportedOperationCodes(ReportSupportedOperationCodes)
    /// REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS.
    case reportSupportedTaskManagementFunctions(ReportSupportedTaskManagementFunctions)
}

/// What became of a CDB.
public enum Decoded: Sendable, Equatable, BitwiseCopyable {
    /// A command to carry out.
    case command(Command)
    /// CHECK CONDITION with this sense.
    case refused(Sense)
}
