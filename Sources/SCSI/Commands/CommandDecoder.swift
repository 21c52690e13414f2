/// From a CDB to a command: one row per operation code.
public enum CommandDecoder {
    /// Decodes any CDB; never traps and never allocates.
    ///
    /// - Parameter commands: what the unit serves.
    ///
    /// An operation code or service action that has no row is refused with INVALID COMMAND OPERATION CODE, a
    /// wrong field with INVALID FIELD IN CDB and a pointer to it; so is an unknown service action of SANITIZE
    /// (SBC-3 5.24.1). Reserved fields are not looked at (SPC-4 3.5.12 leaves that to the recipient), but for those of
    /// SANITIZE.
    public static func decode(_ cdb: CDB, serving commands: CommandSet = .all) -> Decoded {
        guard let code = OperationCode(rawValue: cdb.operationCode), commands.serves(code) else {
            return .refused(.invalidCommandOperationCode)
        }
        // Bound: a block shorter than its group asks for would otherwise read as LBA 0 or count 0.
        guard !cdb.isTruncated else {
            return .refused(.invalidFieldInCDB(byte: UInt16(cdb.count)))
        }
        do throws(Sense) {
            let command = try command(code, cdb, commands)
            // INQUIRY says NORMACA = 0, so NACA must be zero (SAM-5 5.2).
            guard cdb.control & 0x04 == 0 else {
                throw .invalidFieldInCDB(byte: UInt16(cdb.controlOffset), bit: 2)
            }
            return .command(command)
        } catch {
            return .refused(error)
        }
    }

    private static func command(
        _ code: OperationCode, _ cdb: CDB, _ commands: CommandSet
    ) throws(Sense) -> Command {
        switch code {
        case .testUnitReady: .testUnitReady
        case .requestSense: .requestSense(RequestSense(cdb))
        case .read6: .read(MediumAccess(six: cdb))
        case .write6: .write(MediumAccess(six: cdb))
        case .inquiry: .inquiry(try Inquiry(cdb))
        case .modeSelect6: .modeSelect(try ModeSelect(six: cdb))
        case .modeSense6: .modeSense(try ModeSense(six: cdb))
        case .startStopUnit: .startStopUnit(try StartStopUnit(cdb))
        case .readCapacity10: try readCapacity10(cdb)
        case .read10: .read(try MediumAccess(ten: cdb))
        case .write10: .write(try MediumAccess(ten: cdb))
        case .synchronizeCache10: .synchronizeCache(SynchronizeCache(ten: cdb))
        case .writeSame10: .writeSame(try WriteSame(ten: cdb))
        case .unmap: .unmap(try UnmapCommand(cdb))
        case .modeSelect10: .modeSelect(try ModeSelect(ten: cdb))
        case .modeSense10: .modeSense(try ModeSense(ten: cdb))
        case .read16: .read(try MediumAccess(sixteen: cdb))
        case .compareAndWrite: .compareAndWrite(try CompareAndWrite(cdb))
        case .write16: .write(try MediumAccess(sixteen: cdb))
        case .synchronizeCache16: .synchronizeCache(SynchronizeCache(sixteen: cdb))
        case .writeSame16: .writeSame(try WriteSame(sixteen: cdb))
        case .serviceActionIn16: try serviceActionIn16(cdb)
        case .maintenanceIn: try maintenanceIn(cdb)
        case .maintenanceOut: try maintenanceOut(cdb)
        case .read12: .read(try MediumAccess(twelve: cdb))
        case .write12: .write(try MediumAccess(twelve: cdb))
        case .verify10: .verify(try Verify(ten: cdb))
        case .verify12: .verify(try Verify(twelve: cdb))
        case .verify16: .verify(try Verify(sixteen: cdb))
        case .writeAndVerify10: .writeAndVerify(try Verify(ten: cdb).asWritten())
        case .writeAndVerify12: .writeAndVerify(try Verify(twelve: cdb).asWritten())
        case .writeAndVerify16: .writeAndVerify(try Verify(sixteen: cdb).asWritten())
        case .orWrite16: .orWrite(try MediumAccess(sixteen: cdb))
        case .writeAtomic16: .writeAtomic(try MediumAccess(atomic: cdb))
        case .prefetch10: .prefetch(Prefetch(ten: cdb))
        case .prefetch16: .prefetch(Prefetch(sixteen: cdb))
        case .readDefectData10: .readDefectData(ReadDefectData(ten: cdb))
        case .readDefectData12: .readDefectData(ReadDefectData(twelve: cdb))
        case .sanitize: .sanitize(try Sanitize(cdb, serving: commands))
        case .formatUnit: .formatUnit(try FormatUnit(cdb))
        case .logSense: .logSense(try LogSense(cdb))
        case .sendDiagnostic: try sendDiagnostic(cdb)
        case .preventAllowMediumRemoval: .preventAllowMediumRemoval(try PreventAllowMediumRemoval(cdb))
        case .thirdPartyCopyOut: try thirdPartyCopyOut(cdb)
        case .thirdPartyCopyIn: try thirdPartyCopyIn(cdb)
        }
    }

    private static func serviceActionIn16(_ cdb: CDB) throws(Sense) -> Command {
        switch ServiceActionIn16(rawValue: cdb.serviceAction) {
        case .readCapacity16: .readCapacity16(allocationLength: cdb.u32(at: 10))
        case .getLBAStatus: .getLBAStatus(try GetLBAStatus(cdb))
        case nil: throw .invalidCommandOperationCode
        }
    }

    private static func thirdPartyCopyOut(_ cdb: CDB) throws(Sense) -> Command {
        switch ThirdPartyCopyOut(rawValue: cdb.serviceAction) {
        case .extendedCopyLID1: .extendedCopy(ExtendedCopy(cdb, .one))
        case .extendedCopyLID4: .extendedCopy(ExtendedCopy(cdb, .four))
        case nil: throw .invalidCommandOperationCode
        }
    }

    private static func thirdPartyCopyIn(_ cdb: CDB) throws(Sense) -> Command {
        guard let action = ThirdPartyCopyIn(rawValue: cdb.serviceAction) else {
            throw .invalidCommandOperationCode
        }
        return .receiveCopyResults(ReceiveCopyResults(cdb, action))
    }

    private static func maintenanceIn(_ cdb: CDB) throws(Sense) -> Command {
        switch MaintenanceIn(rawValue: cdb.serviceAction) {
        case .reportTargetPortGroups: .reportTargetPortGroups(try ReportTargetPortGroups(cdb))
        case .reportSupportedOperationCodes:
            .reportSupportedOperationCodes(try ReportSupportedOperationCodes(cdb))
        case .reportSupportedTaskManagementFunctions:
            .reportSupportedTaskManagementFunctions(try ReportSupportedTaskManagementFunctions(cdb))
        case nil: throw .invalidCommandOperationCode
        }
    }

    private static func maintenanceOut(_ cdb: CDB) throws(Sense) -> Command {
        switch MaintenanceOut(rawValue: cdb.serviceAction) {
        case .setTargetPortGroups: .setTargetPortGroups(SetTargetPortGroups(cdb))
        case nil: throw .invalidCommandOperationCode
        }
    }

    /// Only the default self test is there: no other self test, no diagnostic pages.
    private static func sendDiagnostic(_ cdb: CDB) throws(Sense) -> Command {
        guard cdb[1] & 0xE0 == 0 else { throw .invalidFieldInCDB(byte: 1, bit: 7) }
        guard cdb.u16(at: 3) == 0 else { throw .invalidFieldInCDB(byte: 3) }
        return .sendDiagnostic(selfTest: cdb[1] & 0x04 != 0)
    }

    /// RELADR and PMI are obsolete and must be zero, as the original has it; the LBA is not looked at.
    private static func readCapacity10(_ cdb: CDB) throws(Sense) -> Command {
        guard cdb[1] & 0x01 == 0 else { throw .invalidFieldInCDB(byte: 1, bit: 0) }
        guard cdb[8] & 0x01 == 0 else { throw .invalidFieldInCDB(byte: 8, bit: 0) }
        return .readCapacity10
    }
}
