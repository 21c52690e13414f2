/// What REPORT SUPPORTED OPERATION CODES tells of one command: its CDB, and which bits of it are looked at.
struct CommandUsage: Sendable, Equatable {
    /// How long a command may take before an initiator should worry: RECOMMENDED COMMAND TIMEOUT. The nominal
    /// processing time is not told (zero), since the backend alone knows it.
    enum Patience: UInt32, Sendable {
        /// Answered from memory, or by one access to the medium: 30 s, what Linux gives a disk command.
        case oneAccess = 30
        /// Over a range, however long: 10 min.
        case range = 600
        /// Over the whole medium: a day.
        case wholeMedium = 86_400
    }

    /// What configfs has to say besides what the backend can do, for the command to be served.
    enum Condition: Sendable {
        case none
        case targetPortGroups
        case setTargetPortGroups
        case thirdPartyCopy
    }

    /// The service action, where the operation code has them.
    let serviceAction: UInt16?
    /// CDB USAGE DATA (SPC-4 6.35.3): the operation code, then one bit for each bit that is looked at; the field of a
    /// service action holds its value. Its length is that of the CDB.
    let bits: [UInt8]
    /// The time limit to recommend.
    let patience: Patience
    let condition: Condition

    init(
        _ bits: [UInt8], serviceAction: UInt16? = nil, _ patience: Patience = .oneAccess,
        condition: Condition = .none
    ) {
        (self.bits, self.serviceAction, self.patience, self.condition) = (bits, serviceAction, patience, condition)
    }

    /// OPERATION CODE.
    var operationCode: UInt8 { bits.first ?? 0 }
}

extension CommandUsage {
    /// Every command that a unit serves itself, in ascending order of operation code and service action.
    static func all(_ commands: CommandSet) -> [CommandUsage] {
        OperationCode.allCases.filter { commands.serves($0) }.flatMap { rows(of: $0, commands) }
    }

    /// NACA: looked at, to be refused.
    private static let control: UInt8 = 0x04
    private static let dpo: UInt8 = 0x10
    private static let fua: UInt8 = 0x08
    private static let immediate: UInt8 = 0x02

    /// The rows of one operation code. Of the bits that only ever are refused (PROTECT, ANCHOR, GROUP NUMBER, SP) none
    /// is set: an initiator asks what it may use.
    private static func rows(of code: OperationCode, _ commands: CommandSet) -> [CommandUsage] {
        let raw = code.rawValue
        switch code {
        case .testUnitReady: return [six(raw, 0x00, 0x00, 0x00, 0x00)]
        case .requestSense: return [six(raw, 0x01, 0x00, 0x00, 0xFF)]
        // LONGLIST, FMTDATA, CMPLST, DEFECT LIST FORMAT; FFMT 01b
        case .formatUnit: return [six(raw, 0x3F, 0x00, 0x00, 0x01, .wholeMedium)]
        case .read6, .write6: return [six(raw, 0x1F, 0xFF, 0xFF, 0xFF)]
        case .inquiry: return [six(raw, 0x01, 0xFF, 0xFF, 0xFF)]
        case .modeSelect6: return [six(raw, 0x10, 0x00, 0x00, 0xFF)]
        case .modeSense6: return [six(raw, 0x08, 0xFF, 0xFF, 0xFF)]
        // IMMED; NO_FLUSH, LOEJ, START
        case .startStopUnit: return [six(raw, 0x01, 0x00, 0x00, 0x07, .range)]
        case .sendDiagnostic: return [six(raw, 0x04, 0x00, 0x00, 0x00)]
        case .preventAllowMediumRemoval: return [six(raw, 0x00, 0x00, 0x00, 0x01)]
        case .readCapacity10: return [CommandUsage([raw] + .zeros(8) + [control])]
        case .read10, .write10: return [ten(raw, dpo | fua)]
        case .writeAndVerify10: return [ten(raw, dpo | 0x02)]
        case .verify10: return [ten(raw, dpo | 0x06, .range)]
        case .prefetch10, .synchronizeCache10: return [ten(raw, immediate, .range)]
        // REQ_PLIST, REQ_GLIST, DEFECT LIST FORMAT
        case .readDefectData10: return [CommandUsage([raw, 0, 0x1F, 0, 0, 0, 0, 0xFF, 0xFF, control])]
        case .writeSame10: return [ten(raw, commands.unmap ? 0x08 : 0, .range)]
        case .unmap: return [CommandUsage([raw, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, control], .range)]
        case .sanitize: return SanitizeAction.allCases.filter { commands.serves($0) }.map(sanitize)
        case .logSense: return [CommandUsage([raw, 0, 0xFF, 0xFF, 0, 0xFF, 0xFF, 0xFF, 0xFF, control])]
        case .modeSelect10: return [CommandUsage([raw, 0x10, 0, 0, 0, 0, 0, 0xFF, 0xFF, control])]
        // LLBAA and DBD
        case .modeSense10: return [CommandUsage([raw, 0x18, 0xFF, 0xFF, 0, 0, 0, 0xFF, 0xFF, control])]
        case .thirdPartyCopyOut: return ThirdPartyCopyOut.allCases.map(copyOut)
        case .thirdPartyCopyIn: return ThirdPartyCopyIn.allCases.map(copyIn)
        case .read16, .write16, .orWrite16: return [sixteen(raw, dpo | fua)]
        case .compareAndWrite: return [sixteen(raw, dpo | fua, count: [0, 0, 0, 0xFF])]
        case .writeAndVerify16: return [sixteen(raw, dpo | 0x02)]
        case .verify16: return [sixteen(raw, dpo | 0x06, .range)]
        case .prefetch16, .synchronizeCache16: return [sixteen(raw, immediate, .range)]
        // UNMAP, NDOB
        case .writeSame16: return [sixteen(raw, commands.unmap ? 0x09 : 0x01, .range)]
        case .writeAtomic16: return [sixteen(raw, dpo | fua, count: [0, 0, 0xFF, 0xFF])]
        case .serviceActionIn16: return ServiceActionIn16.allCases.map(serviceActionIn)
        case .maintenanceIn: return MaintenanceIn.allCases.map(maintenanceIn)
        case .maintenanceOut: return MaintenanceOut.allCases.map(maintenanceOut)
        case .read12, .write12: return [twelve(raw, dpo | fua)]
        case .writeAndVerify12: return [twelve(raw, dpo | 0x02)]
        case .verify12: return [twelve(raw, dpo | 0x06, .range)]
        case .readDefectData12:
            return [CommandUsage([raw, 0x1F, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, control])]
        }
    }

    // MARK: - Operation codes with service actions

    private static func sanitize(_ action: SanitizeAction) -> CommandUsage {
        let list: UInt8 = action == .overwrite ? 0xFF : 0x00
        // IMMED, AUSE
        return row(
            .sanitize, action.rawValue, flags: 0xA0,
            [0, 0, 0, 0, 0, list, list], action == .exitFailureMode ? .oneAccess : .wholeMedium)
    }

    private static func copyOut(_ action: ThirdPartyCopyOut) -> CommandUsage {
        row(
            .thirdPartyCopyOut, action.rawValue, .zeros(8) + [0xFF, 0xFF, 0xFF, 0xFF, 0], .range,
            condition: .thirdPartyCopy)
    }

    private static func copyIn(_ action: ThirdPartyCopyIn) -> CommandUsage {
        let list: [UInt8] =
            switch action {
            case .operatingParameters: [0, 0, 0, 0]
            case .copyStatusLID1, .failureDetailsLID1: [0xFF, 0, 0, 0]
            case .copyStatusLID4: [0xFF, 0xFF, 0xFF, 0xFF]
            }
        return row(
            .thirdPartyCopyIn, action.rawValue, list + .zeros(4) + [0xFF, 0xFF, 0xFF, 0xFF, 0],
            condition: .thirdPartyCopy)
    }

    private static func serviceActionIn(_ action: ServiceActionIn16) -> CommandUsage {
        let lba: UInt8 = action == .getLBAStatus ? 0xFF : 0x00
        return row(
            .serviceActionIn16, action.rawValue,
            [UInt8](repeating: lba, count: 8) + [0xFF, 0xFF, 0xFF, 0xFF, 0])
    }

    private static func maintenanceIn(_ action: MaintenanceIn) -> CommandUsage {
        let length: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0]
        switch action {
        case .reportTargetPortGroups:
            // PARAMETER DATA FORMAT 001b
            return row(
                .maintenanceIn, action.rawValue, flags: 0x20, .zeros(4) + length, condition: .targetPortGroups)
        case .reportSupportedOperationCodes:
            // RCTD, REPORTING OPTIONS; REQUESTED OPERATION CODE; REQUESTED SERVICE ACTION
            return row(.maintenanceIn, action.rawValue, [0x87, 0xFF, 0xFF, 0xFF] + length)
        case .reportSupportedTaskManagementFunctions:
            // REPD
            return row(.maintenanceIn, action.rawValue, [0x80, 0, 0, 0] + length)
        }
    }

    private static func maintenanceOut(_ action: MaintenanceOut) -> CommandUsage {
        switch action {
        case .setTargetPortGroups:
            row(
                .maintenanceOut, action.rawValue, [0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0],
                condition: .setTargetPortGroups)
        }
    }

    // MARK: - Forms of CDB

    private static func row(
        _ code: OperationCode, _ action: UInt16, flags: UInt8 = 0, _ fields: [UInt8],
        _ patience: Patience = .oneAccess, condition: Condition = .none
    ) -> CommandUsage {
        let second = flags | UInt8(truncatingIfNeeded: action)
        return CommandUsage(
            [code.rawValue, second] + fields + [control], serviceAction: action, patience, condition: condition)
    }

    private static func six(
        _ code: UInt8, _ one: UInt8, _ two: UInt8, _ three: UInt8, _ four: UInt8,
        _ patience: Patience = .oneAccess
    ) -> CommandUsage {
        CommandUsage([code, one, two, three, four, control], patience)
    }

    /// LBA in bytes 2...5, a count of blocks in 7 and 8.
    private static func ten(_ code: UInt8, _ flags: UInt8, _ patience: Patience = .oneAccess) -> CommandUsage {
        CommandUsage([code, flags, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0xFF, 0xFF, control], patience)
    }

    /// LBA in bytes 2...5, a count of blocks in 6...9.
    private static func twelve(_ code: UInt8, _ flags: UInt8, _ patience: Patience = .oneAccess) -> CommandUsage {
        CommandUsage([code, flags] + [UInt8](repeating: 0xFF, count: 8) + [0, control], patience)
    }

    /// LBA in bytes 2...9, `count` in 10...13.
    private static func sixteen(
        _ code: UInt8, _ flags: UInt8, count: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF], _ patience: Patience = .oneAccess
    ) -> CommandUsage {
        CommandUsage([code, flags] + [UInt8](repeating: 0xFF, count: 8) + count + [0, control], patience)
    }
}
