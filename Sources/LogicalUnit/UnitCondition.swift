internal import SCSI

/// What stands between initiators and the medium: unit attentions not yet told, an erasure under way, one that failed.
///
/// Nearly always nothing does; a command then pays for one test.
struct UnitCondition {
    /// Bound: more kinds of change than this at once are not told one by one.
    private static let attentionLimit = 8

    /// Nothing is the matter.
    private(set) var isClear = true

    private var attentions: [Sense] = []

    /// FORMAT UNIT or SANITIZE under way.
    var erasure: MediumErasure? {
        didSet { update() }
    }

    /// FORMAT UNIT or SANITIZE that did not reach its end: the medium holds neither old nor new data.
    var failure: ErasureFailure? {
        didSet { update() }
    }

    /// Whether the storage can be used.
    var storage = StorageCondition.usable {
        didSet { update() }
    }

    private mutating func update() {
        isClear = attentions.isEmpty && erasure == nil && failure == nil && storage == .usable
    }

    /// Leaves a unit attention for the next command that is told of such; the same one is told once.
    mutating func raise(_ attention: Sense) {
        guard !attentions.contains(attention), attentions.count < UnitCondition.attentionLimit else { return }
        attentions.append(attention)
        update()
    }

    /// The oldest unit attention, which is told by this.
    mutating func takeAttention() -> Sense? {
        guard !attentions.isEmpty else { return nil }
        defer { update() }
        return attentions.removeFirst()
    }

    /// What `command` is answered instead of being carried out now, or nil. A unit attention told by this is gone.
    ///
    /// - Parameters:
    ///   - now: coarse milliseconds.
    ///   - hasOtherPaths: other target port groups lead to the same storage.
    mutating func refusal(of command: Command, now: Int64, hasOtherPaths: Bool) -> CommandOutcome? {
        if command.reportsAttention, let attention = takeAttention() { return .check(attention) }
        if storage != .usable, !command.isServedWithoutStorage {
            return storage.outcome(now: now, hasOtherPaths: hasOtherPaths)
        }
        if let erasure, !command.isServedWhileErasing { return .check(erasure.inProgress) }
        if let failure, !command.isServedWhileErasing, !command.endsFailure(of: failure.purpose) {
            return .check(failure.sense)
        }
        return nil
    }

    /// Why a command that the decoder refused would not have been carried out anyway, or nil: then the refusal stands.
    mutating func refusal(ofMalformed cdb: CDB, _ sense: Sense) -> Sense? {
        guard let code = OperationCode(rawValue: cdb.operationCode), sense != .invalidCommandOperationCode else {
            return nil
        }
        switch code {
        case .inquiry, .requestSense, .maintenanceIn, .logSense: return nil
        case .sanitize, .formatUnit: return takeAttention() ?? erasure?.inProgress
        case .testUnitReady, .read6, .write6, .modeSelect6, .modeSense6, .startStopUnit, .sendDiagnostic,
            .preventAllowMediumRemoval, .readCapacity10, .read10, .write10, .writeAndVerify10, .verify10,
            .prefetch10, .synchronizeCache10, .readDefectData10, .writeSame10, .unmap, .modeSelect10, .modeSense10,
            .thirdPartyCopyOut, .thirdPartyCopyIn, .read16, .compareAndWrite, .write16, .orWrite16,
            .writeAndVerify16, .verify16, .prefetch16, .synchronizeCache16, .writeSame16, .writeAtomic16,
            .serviceActionIn16, .maintenanceOut, .read12, .write12, .writeAndVerify12, .verify12, .readDefectData12:
            return takeAttention() ?? erasure?.inProgress ?? failure?.sense
        }
    }

    /// What REQUEST SENSE reports, in place of the command that would have met it.
    mutating func pendingSense() -> Sense {
        takeAttention() ?? erasure?.inProgress ?? failure?.sense ?? .none
    }
}

/// An erasure that failed.
struct ErasureFailure {
    let purpose: MediumErasure.Purpose
    /// AUSE of the SANITIZE that failed: EXIT FAILURE MODE ends this state.
    let mayExit: Bool

    /// What commands for the medium are answered.
    var sense: Sense { purpose == .sanitize ? .sanitizeCommandFailed : .formatCommandFailed }
}

extension Command {
    /// What a command is about, which decides what may stand in its way.
    private enum Subject {
        /// Who the unit is, and its sense.
        case identity
        /// What the unit serves, and how it is reached.
        case unit
        /// Mode pages, and the capacity, which initiators ask for before they take a path at all.
        case shape
        case format
        case sanitize
        case medium
    }

    private var subject: Subject {
        switch self {
        case .inquiry, .requestSense: .identity
        case .reportSupportedOperationCodes, .reportSupportedTaskManagementFunctions, .reportTargetPortGroups,
            .logSense:
            .unit
        case .modeSense, .readCapacity10, .readCapacity16: .shape
        case .formatUnit: .format
        case .sanitize: .sanitize
        case .testUnitReady, .modeSelect, .read, .write, .synchronizeCache, .unmap, .writeSame, .compareAndWrite,
            .startStopUnit, .setTargetPortGroups, .verify, .writeAndVerify, .orWrite, .writeAtomic, .prefetch,
            .readDefectData, .getLBAStatus, .sendDiagnostic, .preventAllowMediumRemoval, .extendedCopy,
            .receiveCopyResults:
            .medium
        }
    }

    /// The command is ended by a pending unit attention; all are but those two (SAM-5 5.14, REPORT LUNS is the
    /// kernel's).
    fileprivate var reportsAttention: Bool { subject != .identity }

    /// The command says nothing of the medium: served while that is being erased (SBC-3 4.11.2), and REPORT TARGET
    /// PORT GROUPS too, or multipath drivers would give up the path.
    fileprivate var isServedWhileErasing: Bool { subject == .identity || subject == .unit }

    /// The command is about the unit and not about what it stores: those of standby (SPC-4 5.15.2.4.4).
    fileprivate var isServedWithoutStorage: Bool { isServedWhileErasing || subject == .shape }

    /// The command is a way out of a failed erasure.
    fileprivate func endsFailure(of purpose: MediumErasure.Purpose) -> Bool {
        subject == .sanitize || subject == .format && purpose == .format
    }
}
