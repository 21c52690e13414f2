/// The operation codes this target decodes; any other is INVALID COMMAND OPERATION CODE.
///
/// Numbers of clauses, here and everywhere, are those of SPC-4 revision 37 and SBC-3 revision 36. A later standard is named
/// without a number where it alone has something (WRITE ATOMIC, the report type of GET LBA STATUS).
///
/// To serve one more command: a row here, a payload type, a case of ``Command``, and the row of
/// ``CommandDecoder`` which the compiler then asks for.
public enum OperationCode: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    /// TEST UNIT READY (SPC-4 6.47).
    case testUnitReady = 0x00
    /// REQUEST SENSE (SPC-4 6.39).
    case requestSense = 0x03
    /// FORMAT UNIT (SBC-3 5.3).
    case formatUnit = 0x04
    /// READ(6) (SBC-3 5.10).
    case read6 = 0x08
    /// WRITE(6) (SBC-3 5.33).
    case write6 = 0x0A
    /// INQUIRY (SPC-4 6.6).
    case inquiry = 0x12
    /// MODE SELECT(6) (SPC-4 6.11).
    case modeSelect6 = 0x15
    /// MODE SENSE(6) (SPC-4 6.13).
    case modeSense6 = 0x1A
    /// START STOP UNIT (SBC-3 5.25).
    case startStopUnit = 0x1B
    /// SEND DIAGNOSTIC (SPC-4 6.42).
    case sendDiagnostic = 0x1D
    /// PREVENT ALLOW MEDIUM REMOVAL (SPC-4).
    case preventAllowMediumRemoval = 0x1E
    /// READ CAPACITY(10) (SBC-3 5.15).
    case readCapacity10 = 0x25
    /// READ(10) (SBC-3 5.11).
    case read10 = 0x28
    /// WRITE(10) (SBC-3 5.34).
    case write10 = 0x2A
    /// WRITE AND VERIFY(10) (SBC-3 5.38).
    case writeAndVerify10 = 0x2E
    /// VERIFY(10) (SBC-3 5.29).
    case verify10 = 0x2F
    /// PRE-FETCH(10) (SBC-3 5.8).
    case prefetch10 = 0x34
    /// SYNCHRONIZE CACHE(10) (SBC-3 5.26).
    case synchronizeCache10 = 0x35
    /// READ DEFECT DATA(10) (SBC-3 5.17).
    case readDefectData10 = 0x37
    /// WRITE SAME(10) (SBC-3 5.44).
    case writeSame10 = 0x41
    /// UNMAP (SBC-3 5.28).
    case unmap = 0x42
    /// SANITIZE; see ``SanitizeAction``.
    case sanitize = 0x48
    /// LOG SENSE (SPC-4 6.8).
    case logSense = 0x4D
    /// MODE SELECT(10) (SPC-4 6.12).
    case modeSelect10 = 0x55
    /// MODE SENSE(10) (SPC-4 6.14).
    case modeSense10 = 0x5A
    /// Third-party copy OUT; see ``ThirdPartyCopyOut``.
    case thirdPartyCopyOut = 0x83
    /// Third-party copy IN; see ``ThirdPartyCopyIn``.
    case thirdPartyCopyIn = 0x84
    /// READ(16) (SBC-3 5.13).
    case read16 = 0x88
    /// COMPARE AND WRITE (SBC-3 5.2).
    case compareAndWrite = 0x89
    /// WRITE(16) (SBC-3 5.36).
    case write16 = 0x8A
    /// ORWRITE(16) (SBC-3 5.5).
    case orWrite16 = 0x8B
    /// WRITE AND VERIFY(16) (SBC-3 5.40).
    case writeAndVerify16 = 0x8E
    /// VERIFY(16) (SBC-3 5.31).
    case verify16 = 0x8F
    /// PRE-FETCH(16) (SBC-3 5.9).
    case prefetch16 = 0x90
    /// SYNCHRONIZE CACHE(16) (SBC-3 5.27).
    case synchronizeCache16 = 0x91
    /// WRITE SAME(16) (SBC-3 5.45).
    case writeSame16 = 0x93
    /// WRITE ATOMIC(16) (SBC-4).
    case writeAtomic16 = 0x9C
    /// SERVICE ACTION IN(16); see ``ServiceActionIn16``.
    case serviceActionIn16 = 0x9E
    /// MAINTENANCE IN; see ``MaintenanceIn``.
    case maintenanceIn = 0xA3
    /// MAINTENANCE OUT; see ``MaintenanceOut``.
    case maintenanceOut = 0xA4
    /// READ(12) (SBC-3 5.12).
    case read12 = 0xA8
    /// WRITE(12) (SBC-3 5.35).
    case write12 = 0xAA
    /// WRITE AND VERIFY(12) (SBC-3 5.39).
    case writeAndVerify12 = 0xAE
    /// VERIFY(12) (SBC-3 5.30).
    case verify12 = 0xAF
    /// READ DEFECT DATA(12) (SBC-3 5.18).
    case readDefectData12 = 0xB7
}

/// The service actions of operation code 9Eh that this target decodes.
public enum ServiceActionIn16: UInt16, Sendable, CaseIterable {
    /// READ CAPACITY(16) (SBC-3 5.16).
    case readCapacity16 = 0x10
    /// GET LBA STATUS (SBC-3 5.4).
    case getLBAStatus = 0x12
}

/// The service actions of operation code A3h that this target decodes.
public enum MaintenanceIn: UInt16, Sendable, CaseIterable {
    /// REPORT TARGET PORT GROUPS (SPC-4 6.37).
    case reportTargetPortGroups = 0x0A
    /// REPORT SUPPORTED OPERATION CODES (SPC-4 6.35).
    case reportSupportedOperationCodes = 0x0C
    /// REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4 6.36).
    case reportSupportedTaskManagementFunctions = 0x0D
}

/// The service actions of operation code A4h that this target decodes.
public enum MaintenanceOut: UInt16, Sendable, CaseIterable, BitwiseCopyable {
    /// SET TARGET PORT GROUPS (SPC-4 6.45).
    case setTargetPortGroups = 0x0A
}

/// The service actions of SANITIZE (SBC-3 5.24).
public enum SanitizeAction: UInt16, Sendable, CaseIterable, BitwiseCopyable {
    /// OVERWRITE: a pattern over the whole medium.
    case overwrite = 0x01
    /// BLOCK ERASE: every block deallocated.
    case blockErase = 0x02
    /// CRYPTOGRAPHIC ERASE: the key that the medium was encrypted with is changed.
    case cryptographicErase = 0x03
    /// EXIT FAILURE MODE: leaves the state after a failed sanitize.
    case exitFailureMode = 0x1F
}

/// The service actions of operation code 83h that this target decodes.
public enum ThirdPartyCopyOut: UInt16, Sendable, CaseIterable, BitwiseCopyable {
    /// EXTENDED COPY(LID1) (SPC-4).
    case extendedCopyLID1 = 0x00
    /// EXTENDED COPY(LID4) (SPC-4).
    case extendedCopyLID4 = 0x01
}

/// The service actions of operation code 84h that this target decodes.
public enum ThirdPartyCopyIn: UInt16, Sendable, CaseIterable, BitwiseCopyable {
    /// RECEIVE COPY STATUS(LID1) (SPC-4).
    case copyStatusLID1 = 0x00
    /// RECEIVE COPY OPERATING PARAMETERS (SPC-4).
    case operatingParameters = 0x03
    /// RECEIVE COPY FAILURE DETAILS(LID1) (SPC-4).
    case failureDetailsLID1 = 0x04
    /// RECEIVE COPY STATUS(LID4) (SPC-4).
    case copyStatusLID4 = 0x05
}

/// Which of two lengths of CDB a command came in, where that changes its parameter data.
public enum CDBForm: Sendable, BitwiseCopyable {
    /// The 6-byte form.
    case six
    /// The 10-byte form.
    case ten
    /// The 12-byte form.
    case twelve
    /// The 16-byte form.
    case sixteen
}
