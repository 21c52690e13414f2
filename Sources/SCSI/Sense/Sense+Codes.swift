/// The senses this target gives, by the names of SPC-4 annex F.
///
/// Key and codes are those of the original in each situation, since multipath drivers decide by them.
extension Sense {
    /// NO ADDITIONAL SENSE INFORMATION: what REQUEST SENSE reports when nothing is pending.
    public static let none = Sense(.noSense, 0x00, 0x00)

    // MARK: Not ready

    /// LOGICAL UNIT NOT READY, CAUSE NOT REPORTABLE: the storage cannot be reached, and another path may be better.
    public static let notReadyCauseNotReportable = Sense(.notReady, 0x04, 0x00)

    /// LOGICAL UNIT NOT READY, MANUAL INTERVENTION REQUIRED: the storage does not exist any longer.
    public static let notReadyManualInterventionRequired = Sense(.notReady, 0x04, 0x03)

    /// LOGICAL UNIT NOT READY, FORMAT IN PROGRESS.
    /// - Parameter progress: how much is done, in 65 536ths.
    public static func formatInProgress(_ progress: UInt16) -> Sense {
        Sense(.notReady, 0x04, 0x04, specific: .progress(progress))
    }

    /// LOGICAL UNIT NOT ACCESSIBLE, TARGET PORT IN STANDBY STATE: what a fenced gateway answers.
    public static let targetPortInStandbyState = Sense(.notReady, 0x04, 0x0B)

    /// LOGICAL UNIT NOT READY, SANITIZE IN PROGRESS.
    /// - Parameter progress: how much is done, in 65 536ths.
    public static func sanitizeInProgress(_ progress: UInt16) -> Sense {
        Sense(.notReady, 0x04, 0x1B, specific: .progress(progress))
    }

    // MARK: Medium and hardware errors

    /// WRITE ERROR.
    public static let writeError = Sense(.mediumError, 0x0C, 0x00)

    /// UNRECOVERED READ ERROR.
    public static let unrecoveredReadError = Sense(.mediumError, 0x11, 0x00)

    /// FORMAT COMMAND FAILED.
    public static let formatCommandFailed = Sense(.mediumError, 0x31, 0x01)

    /// SANITIZE COMMAND FAILED: until a sanitize succeeds, or EXIT FAILURE MODE ends it.
    public static let sanitizeCommandFailed = Sense(.mediumError, 0x31, 0x03)

    /// INTERNAL TARGET FAILURE.
    public static let internalTargetFailure = Sense(.hardwareError, 0x44, 0x00)

    /// SET TARGET PORT GROUPS COMMAND FAILED.
    public static let setTargetPortGroupsCommandFailed = Sense(.hardwareError, 0x67, 0x0A)

    // MARK: Illegal requests

    /// PARAMETER LIST LENGTH ERROR.
    public static let parameterListLengthError = Sense(.illegalRequest, 0x1A, 0x00)

    /// INVALID COMMAND OPERATION CODE; also for a service action that is not served, as the original does.
    public static let invalidCommandOperationCode = Sense(.illegalRequest, 0x20, 0x00)

    /// LOGICAL BLOCK ADDRESS OUT OF RANGE.
    public static let logicalBlockAddressOutOfRange = Sense(.illegalRequest, 0x21, 0x00)

    /// INVALID FIELD IN CDB, without saying which.
    public static let invalidFieldInCDB = Sense(.illegalRequest, 0x24, 0x00)

    /// INVALID FIELD IN CDB, pointing at the field.
    /// - Parameters:
    ///   - byte: the byte of the CDB in which the field starts.
    ///   - bit: the most significant bit of the field where it does not fill its byte.
    public static func invalidFieldInCDB(byte: UInt16, bit: UInt8? = nil) -> Sense {
        Sense(.illegalRequest, 0x24, 0x00, specific: .fieldPointer(inCDB: true, byte: byte, bit: bit))
    }

    /// INVALID FIELD IN PARAMETER LIST, without saying which.
    public static let invalidFieldInParameterList = Sense(.illegalRequest, 0x26, 0x00)

    /// INVALID FIELD IN PARAMETER LIST, pointing at the field.
    /// - Parameters:
    ///   - byte: the byte of the parameter list in which the field starts.
    ///   - bit: the most significant bit of the field where it does not fill its byte.
    public static func invalidFieldInParameterList(byte: UInt16, bit: UInt8? = nil) -> Sense {
        Sense(.illegalRequest, 0x26, 0x00, specific: .fieldPointer(inCDB: false, byte: byte, bit: bit))
    }

    /// SAVING PARAMETERS NOT SUPPORTED.
    public static let savingParametersNotSupported = Sense(.illegalRequest, 0x39, 0x00)

    // MARK: Unit attentions

    /// THIN PROVISIONING SOFT THRESHOLD REACHED.
    public static let thinProvisioningSoftThresholdReached = Sense(.unitAttention, 0x38, 0x07)

    /// MODE PARAMETERS CHANGED.
    public static let modeParametersChanged = Sense(.unitAttention, 0x2A, 0x01)

    /// CAPACITY DATA HAS CHANGED.
    public static let capacityDataHasChanged = Sense(.unitAttention, 0x2A, 0x09)

    // MARK: Data protection and comparison

    /// WRITE PROTECTED.
    public static let writeProtected = Sense(.dataProtect, 0x27, 0x00)

    /// SPACE ALLOCATION FAILED WRITE PROTECT: a thin-provisioned backend is full.
    public static let spaceAllocationFailedWriteProtect = Sense(.dataProtect, 0x27, 0x07)

    /// MISCOMPARE DURING VERIFY OPERATION.
    /// - Parameter offset: the first differing byte, counted from the start of the data-out buffer; SBC-3
    ///   5.2 has it in INFORMATION.
    public static func miscompareDuringVerify(at offset: UInt64) -> Sense {
        Sense(.miscompare, 0x1D, 0x00, information: offset)
    }

    // MARK: Third-party copy

    /// TOO MANY TARGET DESCRIPTORS.
    public static let tooManyTargetDescriptors = Sense(.illegalRequest, 0x26, 0x06)

    /// UNSUPPORTED TARGET DESCRIPTOR TYPE CODE.
    public static let unsupportedTargetDescriptorTypeCode = Sense(.illegalRequest, 0x26, 0x07)

    /// TOO MANY SEGMENT DESCRIPTORS.
    public static let tooManySegmentDescriptors = Sense(.illegalRequest, 0x26, 0x08)

    /// UNSUPPORTED SEGMENT DESCRIPTOR TYPE CODE.
    public static let unsupportedSegmentDescriptorTypeCode = Sense(.illegalRequest, 0x26, 0x09)

    /// COPY TARGET DEVICE NOT REACHABLE.
    public static let copyTargetDeviceNotReachable = Sense(.copyAborted, 0x0D, 0x02)

    /// INCORRECT COPY TARGET DEVICE TYPE.
    public static let incorrectCopyTargetDeviceType = Sense(.copyAborted, 0x0D, 0x03)
}
