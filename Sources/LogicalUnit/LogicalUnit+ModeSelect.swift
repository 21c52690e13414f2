internal import BlockBackend
internal import SCSI

/// A MODE SELECT whose parameters are being kept.
struct ModeChange {
    let slot: Int
    let modes: ModePages
}

/// MODE SELECT.
extension LogicalUnit where Backend: ~Copyable {
    /// MODE SELECT: takes what may be changed, and refuses a list that would change anything else.
    ///
    /// Parameters live as long as the device, not as long as this process: they count, and GOOD is told, once the control
    /// plane has kept them. The daemon does not learn which initiator a command came from: where there are several, one unit
    /// attention is left for the next of them that sends a command, be it the same one.
    mutating func modeSelect(_ command: consuming PendingCommand, _ select: ModeSelect) {
        let list = parameterList(command.slot, length: Int(select.parameterListLength))
        var changed = modes
        let sense = list.withUnsafeBytes { changed.select(select, delivered: $0, capacity: profile.capacity) }
        if let sense { return finish(command, .check(sense)) }
        // One at a time; the next one finds parameters that it can be judged by.
        guard modeChange == nil else { return finish(command, .status(.busy)) }
        guard changed.parameters != modes.parameters else { return endModeSelect(command) }
        modeChange = ModeChange(slot: command.slot, modes: changed)
        slots.park(command, as: .awaitingIdentity)
        report(.modeParametersChanged(changed.parameters))
    }

    /// The control plane has kept the parameters, or has failed to.
    mutating func modeParametersKept(_ succeeded: Bool, isShared: Bool) {
        guard let change = modeChange else { return }
        modeChange = nil
        let command = slots.resume(change.slot, from: .awaitingIdentity)
        // What the next daemon would not know of must not be promised.
        guard succeeded else { return finish(command, .check(.internalTargetFailure)) }
        if modes.writeCacheEnabled { owesFlush = true }
        modes = change.modes
        isWriteProtected = modes.isWriteProtected
        if isShared { condition.raise(.modeParametersChanged) }
        endModeSelect(command)
    }

    /// The parameters count. With WCE = 0 every write is durable before its answer, and so must be those that were answered
    /// before: GOOD is told behind a flush, be it that of the same MODE SELECT sent again.
    private mutating func endModeSelect(_ command: consuming PendingCommand) {
        let slot = command.slot
        guard writesThrough, owesFlush else { return sendNothing(command) }
        // None meanwhile: a flush that began before WCE came and went again does not say what the flag is cleared for.
        modeChange = ModeChange(slot: slot, modes: modes)
        zeroRest(slot, from: 0)
        slots[slot].pointee.stage = .modeFlush
        settle(command, backend.flush(ticket: slots.ticket(slot)))
    }

    /// The flush of a MODE SELECT has ended.
    mutating func modeFlushEnded(succeeded: Bool) {
        modeChange = nil
        if succeeded { owesFlush = false }
    }
}
