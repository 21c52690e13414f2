/// From a CDB to a command: one row per operation code.
public enum CommandDecoder {
    /// Decodes any CDB; never traps and never allocates.
    ///
    /// An operation code or service action that has no row is refused with INVALID COMMAND OPERATION CODE, a
    /// wrong field with INVALID FIELD IN CDB and a pointer to it. Reserved fields are not looked at (SPC-4
    /// 3.5.12 leaves that to the recipient).
    public static func decode(_ cdb: CDB) -> Decoded {
        guard let code = OperationCode(rawValue: cdb.operationCode) else {
            return .refused(.invalidCommandOperationCode)
        }
        // Bound: a block shorter than its group asks for would otherwise read as LBA 0 or count 0.
        guard !cdb.isTruncated else {
            return .refused(.invalidFieldInCDB(byte: UInt16(cdb.count)))
        }
        do throws(Sense) {
            let command = try command(code, cdb)
            // INQUIRY says NORMACA = 0, so NACA must be zero (SAM-5 5.2).
            guard cdb.control & 0x04 == 0 else {
                throw .invalidFieldInCDB(byte: UInt16(cdb.controlOffset), bit: 2)
            }
            return .command(command)
        } catch {
            return .refused(error)
        }
    }

    private static func command(_ code: OperationCode, _ cdb: CDB) throws(Sense) -> Command {
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
        case .read12: .read(try MediumAccess(twelve: cdb))
        case .write12: .write(try MediumAccess(twelve: cdb))
        }
    }

    private static func serviceActionIn16(_ cdb: CDB) throws(Sense) -> Command {
        switch ServiceActionIn16(rawValue: cdb.serviceAction) {
        case .readCapacity16: .readCapacity16(allocationLength: cdb.u32(at: 10))
        case nil: throw .invalidCommandOperationCode
        }
    }

    private static func maintenanceIn(_ cdb: CDB) throws(Sense) -> Command {
        switch MaintenanceIn(rawValue: cdb.serviceAction) {
        case .reportTargetPortGroups: .reportTargetPortGroups(try ReportTargetPortGroups(cdb))
        case nil: throw .invalidCommandOperationCode
        }
    }

    /// RELADR and PMI are obsolete and must be zero, as the original has it; the LBA is not looked at.
    private static func readCapacity10(_ cdb: CDB) throws(Sense) -> Command {
        guard cdb[1] & 0x01 == 0 else { throw .invalidFieldInCDB(byte: 1, bit: 0) }
        guard cdb[8] & 0x01 == 0 else { throw .invalidFieldInCDB(byte: 8, bit: 0) }
        return .readCapacity10
    }
}
