internal import BlockBackend
internal import Glibc
internal import SCSI

/// Commands that wait for the right to write, such as an image's exclusive lock, which takes some milliseconds when nobody
/// has it.
///
/// BUSY would make an initiator come again, and some send fewer commands from then on (docs/adr/0020). So a command whose
/// backend says that the right is on its way is laid aside, unbegun, and begun anew when there is an answer; it gets BUSY when none
/// has come after ``Limits/rightPatience``, when the unit stops taking commands, and when the backend says that there will be none.
/// Nothing of a command that waits has been done, and none that came after it is begun before it.
extension LogicalUnit where Backend: ~Copyable {
    /// A claim, or a command's operation, was answered with `claim`, not a success: lays the command aside, or answers it.
    ///
    /// Call while the command has nothing that a new beginning would not find: no memory, no erasure, no copy.
    mutating func awaitRight(_ command: consuming PendingCommand, _ claim: IOResult) {
        let slot = command.slot
        if let over = overOutcome(slot) { return finish(command, over) }
        guard claim.isRightAwaited, mode == .serving else {
            return finish(command, SenseTable.outcome(of: claim.code, isRead: slots[slot].pointee.stage.isRead))
        }
        layAside(command, leavesGate: true)
    }

    /// The next step of a long command was answered that the right is on its way, and nothing of it done: the step is tried again when
    /// there is an answer. That loses nothing: a right that was merely held back is the same afterwards, and one that was lost
    /// ends those that must not go on under another (``Interruption/rightLost``).
    mutating func awaitRightForStep(_ command: consuming PendingCommand, _ run: LongRun) {
        // Whose blocks are all its own keeps them.
        layAside(command, leavesGate: !run.keepsAll)
    }

    private mutating func layAside(_ command: consuming PendingCommand, leavesGate: Bool) {
        let slot = command.slot
        // One deadline for all: it is one claim.
        if awaitingRight.isEmpty { rightDeadline = now &+ profile.rightPatience }
        awaitingRight.append(slot)
        if leavesGate, gate.ended(slot, slots: slots) { gateMoved = true }
        slots.park(command, as: .awaitingRight)
    }

    /// Whether an operation's command may wait for the right to write and be begun anew: it is one that still has its data as the
    /// initiator sent it. Others, which the right was taken from between two of their steps, end as with EAGAIN.
    func mayBeginAnew(_ slot: Int) -> Bool {
        let record = slots[slot]
        return record.pointee.bounce == nil && record.pointee.extras == nil && record.pointee.stage != .erase
            && (record.pointee.reply != nil || !record.pointee.isDetached)
    }

    /// Begins the waiting commands, oldest first, if there is an answer.
    mutating func resumeAwaitingRight() {
        if mode != .serving { return refuseAwaitingRight(.busy) }
        let claim = backend.claimWriting()
        if claim.isRightAwaited { return }
        let waiting = awaitingRight
        awaitingRight.removeAll(keepingCapacity: true)
        for slot in waiting {
            let command = slots.resume(slot, from: .awaitingRight)
            if let run = slots[slot].pointee.extras?.run {
                if claim.isSuccess { continueLong(command) } else { failLong(command, run, claim) }
            } else if claim.isSuccess {
                beginAnew(command)
            } else {
                awaitRight(command, claim)
            }
        }
    }

    /// What a command is answered whose initiator has been told that it is over, or will be: it is not begun any more. nil
    /// for others.
    func overOutcome(_ slot: Int) -> CommandOutcome? {
        if slots[slot].pointee.isAborted { return .status(.taskAborted) }
        return slots[slot].pointee.expiry <= now ? .status(.busy) : nil
    }

    private mutating func beginAnew(_ command: consuming PendingCommand) {
        let slot = command.slot
        if let over = overOutcome(slot) { return finish(command, over) }
        // A command of an initiator says itself what it is; state of the unit and overlapping commands are looked at anew.
        guard slots[slot].pointee.reply != nil else { return dispatchAnew(command) }
        guard mayServePeers else { return finish(command, .status(.busy)) }
        guard gate.isIdle || !mustWait(slot, exclusive: false) else { return hold(command) }
        restart(command)
    }

    /// The wait has been too long.
    mutating func checkAwaitingRight() {
        guard !awaitingRight.isEmpty, rightDeadline <= now else { return }
        backend.stopAwaitingRight()
        refuseAwaitingRight(.busy)
    }

    /// Answers every waiting command. Nothing was done of any, but for steps of long ones, which end as they do.
    mutating func refuseAwaitingRight(_ status: Status) {
        let waiting = awaitingRight
        awaitingRight.removeAll(keepingCapacity: true)
        for slot in waiting {
            let command = slots.resume(slot, from: .awaitingRight)
            guard let run = slots[slot].pointee.extras?.run else {
                finish(command, .status(status))
                continue
            }
            // What ends it is looked at in one place, before its next step.
            if mode == .serving { failLong(command, run, IOResult(code: -EAGAIN)) } else { continueLong(command) }
        }
    }

    /// A task management function has hit the command in this slot, which waits: it ends unbegun.
    mutating func abortAwaitingRight(_ slot: Int) {
        guard slots[slot].pointee.reply == nil, let position = awaitingRight.firstIndex(of: slot) else { return }
        awaitingRight.remove(at: position)
        let command = slots.resume(slot, from: .awaitingRight)
        if slots[slot].pointee.extras?.run != nil { return continueLong(command) }
        finish(command, .status(.taskAborted))
    }
}
