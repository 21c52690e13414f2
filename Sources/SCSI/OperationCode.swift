/// The operation codes this target decodes; any other is INVALID COMMAND OPERATION CODE.
///
/// To serve one more command: a row here, a payload type, a case of ``Command``, and the row of
/// ``CommandDecoder`` which the compiler then asks for.
public enum OperationCode: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    /// TEST UNIT READY (SPC-4 6.47).
    case testUnitReady = 0x00
    /// REQUEST SENSE (SPC-4 6.39).
    case requestSense = 0x03
    /// READ(6) (SBC-3 5.7).
    case read6 = 0x08
    /// WRITE(6) (SBC-3 5.31).
    case write6 = 0x0A
    /// INQUIRY (SPC-4 6.6).
    case inquiry = 0x12
    /// MODE SELECT(6) (SPC-4 6.9).
    case modeSelect6 = 0x15
    /// MODE SENSE(6) (SPC-4 6.11).
    case modeSense6 = 0x1A
    /// START STOP UNIT (SBC-3 5.25).
    case startStopUnit = 0x1B
    /// READ CAPACITY(10) (SBC-3 5.15).
    case readCapacity10 = 0x25
    /// READ(10) (SBC-3 5.8).
    case read10 = 0x28
    /// WRITE(10) (SBC-3 5.32).
    case write10 = 0x2A
    /// SYNCHRONIZE CACHE(10) (SBC-3 5.26).
    case synchronizeCache10 = 0x35
    /// WRITE SAME(10) (SBC-3 5.44).
    case writeSame10 = 0x41
    /// UNMAP (SBC-3 5.28).
    case unmap = 0x42
    /// MODE SELECT(10) (SPC-4 6.10).
    case modeSelect10 = 0x55
    /// MODE SENSE(10) (SPC-4 6.12).
    case modeSense10 = 0x5A
    /// READ(16) (SBC-3 5.10).
    case read16 = 0x88
    /// COMPARE AND WRITE (SBC-3 5.2).
    case compareAndWrite = 0x89
    /// WRITE(16) (SBC-3 5.34).
    case write16 = 0x8A
    /// SYNCHRONIZE CACHE(16) (SBC-3 5.27).
    case synchronizeCache16 = 0x91
    /// WRITE SAME(16) (SBC-3 5.45).
    case writeSame16 = 0x93
    /// SERVICE ACTION IN(16); see ``ServiceActionIn16``.
    case serviceActionIn16 = 0x9E
    /// MAINTENANCE IN; see ``MaintenanceIn``.
    case maintenanceIn = 0xA3
    /// READ(12) (SBC-3 5.9).
    case read12 = 0xA8
    /// WRITE(12) (SBC-3 5.33).
    case write12 = 0xAA
}

/// The service actions of operation code 9Eh that this target decodes.
public enum ServiceActionIn16: UInt16, Sendable, CaseIterable {
    /// READ CAPACITY(16) (SBC-3 5.16).
    case readCapacity16 = 0x10
}

/// The service actions of operation code A3h that this target decodes.
public enum MaintenanceIn: UInt16, Sendable, CaseIterable {
    /// REPORT TARGET PORT GROUPS (SPC-4 6.37).
    case reportTargetPortGroups = 0x0A
}

/// Which of two lengths of CDB a command came in, where that changes its parameter data.
public enum CDBForm: Sendable, BitwiseCopyable {
    /// The 6-byte form.
    case six
    /// The 10-byte form.
    case ten
    /// The 16-byte form.
    case sixteen
}
