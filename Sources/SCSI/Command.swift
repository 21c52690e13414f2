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

    /// Whether the command alters the data on the medium: what a write-protected unit answers with
    /// ``Sense/writeProtected``.
    public var modifiesMedium: Bool {
        switch self {
        case .write, .unmap, .writeSame, .compareAndWrite: true
        default: false
        }
    }
}

/// What became of a CDB.
public enum Decoded: Sendable, Equatable, BitwiseCopyable {
    /// A command to carry out.
    case command(Command)
    /// CHECK CONDITION with this sense.
    case refused(Sense)
}
