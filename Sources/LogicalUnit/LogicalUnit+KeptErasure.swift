internal import BlockBackend
internal import SCSI

/// An erasure that has begun and has not reached its end, as it outlives the process.
public struct KeptErasure: Sendable, Equatable {
    /// SANITIZE; else FORMAT UNIT.
    public let isSanitize: Bool
    /// AUSE: EXIT FAILURE MODE ends its failure.
    public let mayExit: Bool

    public init(isSanitize: Bool, mayExit: Bool) {
        (self.isSanitize, self.mayExit) = (isSanitize, mayExit)
    }
}

/// A word on erasures that the control plane keeps, and what follows when it has.
enum ErasureChange {
    /// One is to begin: told before its first piece, so that whatever cuts it off the next process knows.
    case begins(slot: Int, isImmediate: Bool)
    /// It has reached its end.
    case ends(slot: Int)
    /// EXIT FAILURE MODE.
    case exits(slot: Int)
    /// Nobody waits: one that was to begin has not.
    case settles
}

/// A medium that is half erased is told as such until an erasure succeeds (SBC-3 4.11.2 and 5.3), which is longer than a
/// process may live.
extension LogicalUnit where Backend: ~Copyable {
    /// Begins an erasure, of which everything is checked, once it is kept. Commands that come after it are refused from here on.
    mutating func keepBeginning(_ command: consuming PendingCommand, _ erasure: MediumErasure, immediate: Bool) {
        condition.erasure = erasure
        slots[command.slot].pointee.writeGeneration = backend.writeGeneration
        keep(command, erasure.kept) { .begins(slot: $0, isImmediate: immediate) }
    }

    /// All of the medium is erased: the command ends when that is kept.
    mutating func keepEnd(_ command: consuming PendingCommand) {
        keep(command, nil) { .ends(slot: $0) }
    }

    /// A failure is over without an erasure.
    mutating func keepExit(_ command: consuming PendingCommand) {
        keep(command, nil) { .exits(slot: $0) }
    }

    /// The erasure under way has touched nothing, and ends: the medium is what it was before.
    mutating func forgetErasure() {
        condition.erasure = nil
        settleErasure()
    }

    /// The erasure in this slot waits for its beginning to be kept.
    func beginsErasure(_ slot: Int) -> Bool {
        if case .begins(slot, _) = erasureChange { true } else { false }
    }

    private mutating func keep(
        _ command: consuming PendingCommand, _ erasure: KeptErasure?, _ change: (Int) -> ErasureChange
    ) {
        precondition(erasureChange == nil, "two words on erasures at a time")
        erasureChange = change(command.slot)
        slots.park(command, as: .awaitingIdentity)
        report(.erasureChanged(erasure))
    }

    private mutating func settleErasure() {
        precondition(erasureChange == nil, "two words on erasures at a time")
        erasureChange = .settles
        report(.erasureChanged(condition.failure?.kept))
    }

    /// The control plane has kept the word on erasures, or has failed to.
    mutating func erasureKept(_ succeeded: Bool) {
        guard let change = erasureChange else { return }
        erasureChange = nil
        switch change {
        case .settles: break
        case .begins(let slot, let isImmediate):
            begin(slots.resume(slot, from: .awaitingIdentity), immediate: isImmediate, isKept: succeeded)
        case .ends(let slot):
            // Where it could not be kept: this process knows better than the next one will.
            condition.erasure = nil
            condition.failure = nil
            sendNothing(slots.resume(slot, from: .awaitingIdentity))
        case .exits(let slot):
            let command = slots.resume(slot, from: .awaitingIdentity)
            guard succeeded else { return finish(command, .check(.internalTargetFailure)) }
            condition.failure = nil
            sendNothing(command)
        }
    }

    private mutating func begin(_ command: consuming PendingCommand, immediate: Bool, isKept: Bool) {
        let slot = command.slot
        guard isKept else {
            // What the next process would not know of is not begun.
            condition.erasure = nil
            return finish(command, .check(.internalTargetFailure))
        }
        let hasRight =
            slots[slot].pointee.writeGeneration == backend.writeGeneration && backend.claimWriting().isSuccess
        guard mode == .serving, hasRight else {
            forgetErasure()
            return finish(command, .status(.busy))
        }
        guard let size = condition.erasure?.size else { preconditionFailure("no erasure to begin") }
        // One that was aborted has its answer.
        if immediate && !slots[slot].pointee.isDetached { detach(slot) }
        // What was taken before is answered first; what comes after meets the condition.
        beginLong(command, .erasure, as: .erase, whole: ByteExtent(offset: 0, length: size))
    }
}

extension MediumErasure {
    var kept: KeptErasure { KeptErasure(isSanitize: purpose == .sanitize, mayExit: mayExit) }
}

extension ErasureFailure {
    /// What an earlier process has left: it did not live to the end of an erasure, or that failed.
    init(_ kept: KeptErasure) {
        self.init(purpose: kept.isSanitize ? .sanitize : .format, mayExit: kept.mayExit)
    }

    var kept: KeptErasure { KeptErasure(isSanitize: purpose == .sanitize, mayExit: mayExit) }
}
