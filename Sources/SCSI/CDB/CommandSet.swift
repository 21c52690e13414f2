/// Which commands a unit serves: what its backend can do decides.
///
/// The decoder refuses what is not in here, and REPORT SUPPORTED OPERATION CODES lists what is, so that the two
/// cannot disagree.
public struct CommandSet: Sendable, Equatable, BitwiseCopyable {
    /// UNMAP: the backend deallocates and may be written.
    public var unmap: Bool
    /// WRITE ATOMIC(16): the backend writes all or nothing.
    public var writeAtomic: Bool
    /// SANITIZE with BLOCK ERASE: the backend deallocates, and what it deallocated reads as zeros.
    public var blockErase: Bool
    /// SANITIZE with CRYPTOGRAPHIC ERASE: the medium is encrypted with a key that can be changed.
    public var cryptographicErase: Bool
    /// COMPARE AND WRITE: it is atomic against whatever writes the medium.
    public var compareAndWrite: Bool
    /// ORWRITE: it is, too.
    public var orWrite: Bool

    public init(
        unmap: Bool = true, writeAtomic: Bool = true, blockErase: Bool = true, cryptographicErase: Bool = true,
        compareAndWrite: Bool = true, orWrite: Bool = true
    ) {
        self.compareAndWrite = compareAndWrite
        self.orWrite = orWrite
        self.unmap = unmap
        self.writeAtomic = writeAtomic
        self.blockErase = blockErase
        self.cryptographicErase = cryptographicErase
    }

    /// Every command that the decoder knows.
    public static let all = CommandSet()

    /// The commands that ask nothing special of a backend.
    public static let common = CommandSet(
        unmap: false, writeAtomic: false, blockErase: false, cryptographicErase: false)

    /// Whether the operation code is served, with one of its service actions at least.
    public func serves(_ code: OperationCode) -> Bool {
        switch code {
        case .unmap: unmap
        case .writeAtomic16: writeAtomic
        case .compareAndWrite: compareAndWrite
        case .orWrite16: orWrite
        case .testUnitReady, .requestSense, .formatUnit, .read6, .write6, .inquiry, .modeSelect6, .modeSense6,
            .startStopUnit, .sendDiagnostic, .preventAllowMediumRemoval, .readCapacity10, .read10, .write10,
            .writeAndVerify10, .verify10, .prefetch10, .synchronizeCache10, .readDefectData10, .writeSame10,
            .sanitize, .logSense, .modeSelect10, .modeSense10, .thirdPartyCopyOut, .thirdPartyCopyIn, .read16,
            .write16, .writeAndVerify16, .verify16, .prefetch16, .synchronizeCache16, .writeSame16,
            .serviceActionIn16, .maintenanceIn, .maintenanceOut, .read12, .write12, .writeAndVerify12, .verify12,
            .readDefectData12:
            true
        }
    }

    /// Whether this kind of SANITIZE is served.
    public func serves(_ action: SanitizeAction) -> Bool {
        switch action {
        case .overwrite, .exitFailureMode: true
        case .blockErase: blockErase
        case .cryptographicErase: cryptographicErase
        }
    }
}
