/// Where a command's data go, as the standard has it and whatever an initiator sends along.
public enum DataTransfer: Sendable, BitwiseCopyable {
    /// Nowhere.
    case none
    /// To the initiator.
    case dataIn
    /// To the unit.
    case dataOut
}

// What a command does to the medium, and what LIO can see of that. No `default` here: a new command does not compile
// before both are said of it.
extension Command {
    /// Whether the command alters the data on the medium: what a write-protected unit answers with
    /// ``Sense/writeProtected``.
    public var modifiesMedium: Bool {
        switch self {
        case .write, .unmap, .writeSame, .compareAndWrite, .writeAndVerify, .orWrite, .writeAtomic, .formatUnit,
            .extendedCopy:
            true
        case .sanitize(let sanitize): sanitize.action != .exitFailureMode
        case .testUnitReady, .requestSense, .inquiry, .readCapacity10, .readCapacity16, .modeSense, .modeSelect,
            .read, .synchronizeCache, .startStopUnit, .reportTargetPortGroups, .setTargetPortGroups, .verify,
            .prefetch, .readDefectData, .getLBAStatus, .logSense, .sendDiagnostic, .preventAllowMediumRemoval,
            .receiveCopyResults, .reportSupportedOperationCodes, .reportSupportedTaskManagementFunctions:
            false
        }
    }

    /// Where the command's data go.
    public var transfer: DataTransfer {
        switch self {
        case .requestSense, .inquiry, .readCapacity10, .readCapacity16, .modeSense, .read, .reportTargetPortGroups,
            .readDefectData, .getLBAStatus, .logSense, .receiveCopyResults, .reportSupportedOperationCodes,
            .reportSupportedTaskManagementFunctions:
            .dataIn
        case .modeSelect, .write, .unmap, .compareAndWrite, .setTargetPortGroups, .writeAndVerify, .orWrite,
            .writeAtomic, .extendedCopy:
            .dataOut
        case .writeSame(let same): same.noDataOut ? .none : .dataOut
        case .verify(let verify): verify.byteCheck == .none ? .none : .dataOut
        case .formatUnit(let format): format.hasParameterList ? .dataOut : .none
        case .sanitize(let sanitize): sanitize.action == .overwrite ? .dataOut : .none
        case .testUnitReady, .synchronizeCache, .startStopUnit, .prefetch, .sendDiagnostic,
            .preventAllowMediumRemoval:
            .none
        }
    }

    /// Whether the command changes what is on the medium, or gives an erased one back, without Data-Out.
    ///
    /// LIO holds writes to reservations of the kind Write Exclusive and to read-only mappings by the direction of their data
    /// alone (`core_scsi3_pr_seq_non_holder`, `transport_lookup_cmd_lun`): such a command it lets pass whoever sends it.
    public var changesMediumUnseen: Bool {
        guard transfer != .dataOut else { return false }
        if case .sanitize = self { return true }
        return modifiesMedium
    }
}
