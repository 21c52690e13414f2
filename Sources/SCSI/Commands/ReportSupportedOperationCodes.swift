/// REPORT SUPPORTED OPERATION CODES (SPC-4 6.35).
public struct ReportSupportedOperationCodes: Sendable, Equatable, BitwiseCopyable {
    /// REPORTING OPTIONS.
    public enum Options: UInt8, Sendable, CaseIterable, BitwiseCopyable {
        /// 000b: every command.
        case all = 0
        /// 001b: one operation code that has no service actions.
        case operationCode = 1
        /// 010b: one operation code and service action.
        case serviceAction = 2
        /// 011b: one operation code, with its service action if it has them; no command is not an error.
        case either = 3
    }

    /// REPORTING OPTIONS.
    public var options: Options
    /// RCTD: a command timeouts descriptor is wanted with each command.
    public var timeouts: Bool
    /// REQUESTED OPERATION CODE.
    public var operationCode: UInt8
    /// REQUESTED SERVICE ACTION.
    public var serviceAction: UInt16
    /// ALLOCATION LENGTH, in bytes.
    public var allocationLength: UInt32

    public init(
        options: Options, timeouts: Bool = false, operationCode: UInt8 = 0, serviceAction: UInt16 = 0,
        allocationLength: UInt32
    ) {
        self.options = options
        self.timeouts = timeouts
        self.operationCode = operationCode
        self.serviceAction = serviceAction
        self.allocationLength = allocationLength
    }

    init(_ cdb: CDB) throws(Sense) {
        guard let options = Options(rawValue: cdb[2] & 0x07) else { throw .invalidFieldInCDB(byte: 2, bit: 2) }
        self.init(
            options: options, timeouts: cdb[2] & 0x80 != 0, operationCode: cdb[3], serviceAction: cdb.u16(at: 4),
            allocationLength: cdb.u32(at: 6))
    }
}

/// REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4 6.36).
public struct ReportSupportedTaskManagementFunctions: Sendable, Equatable, BitwiseCopyable {
    /// REPD: the extended form, with timeouts, is wanted.
    public var extended: Bool
    /// ALLOCATION LENGTH, in bytes; four at least.
    public var allocationLength: UInt32

    public init(extended: Bool = false, allocationLength: UInt32) {
        self.extended = extended
        self.allocationLength = allocationLength
    }

    init(_ cdb: CDB) throws(Sense) {
        let allocationLength = cdb.u32(at: 6)
        guard allocationLength >= 4 else { throw .invalidFieldInCDB(byte: 6) }
        self.init(extended: cdb[2] & 0x80 != 0, allocationLength: allocationLength)
    }
}
