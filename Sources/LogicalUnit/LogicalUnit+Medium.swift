internal import BlockBackend
internal import SCSI

/// READ, WRITE and SYNCHRONIZE CACHE: one backend operation each.
extension LogicalUnit where Backend: ~Copyable {
    /// READ 6/10/12/16 (SBC-3 5.10 to 5.13).
    mutating func read(_ command: consuming PendingCommand, _ access: MediumAccess) {
        let slot = command.slot
        if let outcome = refusal(of: access.range, modifies: false) { return finish(command, outcome) }
        let extent = extent(of: access.range)
        if extent.length == 0 { return sendNothing(command) }
        if !saysLength { zeroRest(slot, from: extent.length) }
        if let outcome = fitBuffer(slot, to: extent.length) { return finish(command, outcome) }
        slots[slot].pointee.extent = extent
        slots[slot].pointee.stage = .read
        if access.fua && backend.capabilities.volatileCache { slots[slot].pointee.stage = .readFlush }
        guard gate.isIdle || !mustWait(slot, exclusive: false) else { return hold(command) }
        settle(command, submitRead(slot, extent))
    }

    /// Reads into the slot's data buffer; with FUA the medium: what a cache holds newer is written back first (SBC-3 5.10).
    @inline(__always)
    private mutating func submitRead(_ slot: Int, _ extent: ByteExtent) -> Submission {
        if slots[slot].pointee.stage == .readFlush { return backend.flush(ticket: slots.ticket(slot)) }
        return backend.read(extent, into: slots.segments(slot), ticket: slots.ticket(slot))
    }

    /// WRITE 6/10/12/16 (SBC-3 5.33 to 5.36).
    ///
    /// FUA is honoured by the backend, or by a flush after the write; without a volatile cache every answered
    /// write is durable anyway.
    mutating func write(_ command: consuming PendingCommand, _ access: MediumAccess) {
        let slot = command.slot
        if let outcome = refusal(of: access.range, modifies: true) { return finish(command, outcome) }
        let extent = extent(of: access.range)
        if extent.length == 0 { return sendNothing(command) }
        // Bytes beyond the blocks are not written, and not handed back either.
        zeroRest(slot, from: extent.length)
        if let outcome = fitBuffer(slot, to: extent.length) { return finish(command, outcome) }
        slots[slot].pointee.extent = extent
        slots[slot].pointee.durable = access.fua
        slots[slot].pointee.stage = .write
        guard gate.isIdle || !mustWait(slot, exclusive: false) else { return hold(command) }
        settle(command, submitWrite(slot, extent, stage: .write))
    }

    /// Writes the slot's data buffer to `extent`, durably if the command asked for it.
    mutating func submitWrite(_ slot: Int, _ extent: ByteExtent, stage: Stage) -> Submission {
        let capabilities = backend.capabilities
        // WCE = 0: the initiator wants every write as if with FUA.
        let durable = slots[slot].pointee.durable && capabilities.volatileCache || writesThrough
        let flushes = durable && !capabilities.forceUnitAccess
        slots[slot].pointee.stage = flushes ? .writeThenFlush : stage
        slots[slot].pointee.afterFlush = stage == .compareWrite ? .compareFlush : stage
        return backend.write(
            extent, from: slots.segments(slot), durable: durable && !flushes, ticket: slots.ticket(slot))
    }

    /// WCE = 0 and the backend has a cache: what was written has to be flushed before it is answered.
    var writesThrough: Bool { !modes.writeCacheEnabled && backend.capabilities.volatileCache }

    /// SYNCHRONIZE CACHE 10/16 (SBC-3 5.26 and 5.27): the whole unit is made durable, before the answer even with IMMED.
    mutating func synchronizeCache(_ command: consuming PendingCommand, _ synchronize: SynchronizeCache) {
        let slot = command.slot
        if let outcome = refusal(of: synchronize.range(in: profile.capacity), modifies: false) {
            return finish(command, outcome)
        }
        zeroRest(slot, from: 0)
        slots[slot].pointee.stage = .flush
        settle(command, backend.flush(ticket: slots.ticket(slot)))
    }

    /// WRITE ATOMIC(16) (SBC-4): a write that the backend carries out whole or not at all, within the bounds of
    /// page B0h.
    mutating func writeAtomic(_ command: consuming PendingCommand, _ access: MediumAccess) {
        if let outcome = refusal(of: access.range, modifies: true) { return finish(command, outcome) }
        if let sense = access.atomicRefusal(limits: advertisement.limits) { return finish(command, .check(sense)) }
        write(command, access)
    }

    /// PRE-FETCH 10/16 (SBC-3 5.8 and 5.9). GOOD and never CONDITION MET: nobody knows what stays in a cache.
    mutating func prefetch(_ command: consuming PendingCommand, _ prefetch: Prefetch) {
        let slot = command.slot
        let range = prefetch.range(in: profile.capacity)
        if let outcome = refusal(of: range, modifies: false) { return finish(command, outcome) }
        zeroRest(slot, from: 0)
        slots[slot].pointee.stage = .prefetch
        settle(command, backend.prefetch(extent(of: range), ticket: slots.ticket(slot)))
    }

    // MARK: - Waiting for overlapping commands

    /// Whether the slot's extent is being worked on by a command that must not be disturbed, or, for an
    /// `exclusive` command, by anything.
    func mustWait(_ slot: Int, exclusive: Bool) -> Bool {
        gate.mustWait(
            slots[slot].pointee.extent, exclusive: exclusive, behind: queuePosition(slot, gate.waiting.count),
            slots: slots)
    }

    /// How many of the waiting commands at the head of the queue the slot's command lets pass. None if another unit
    /// waits for it: two units that copy to each other would wait for ever, each for a command that waits for the copy
    /// of the other.
    private func queuePosition(_ slot: Int, _ position: Int) -> Int {
        slots[slot].pointee.reply == nil ? position : 0
    }

    /// A long command goes on with another piece of the medium; who waited for the one before may have his turn.
    ///
    /// - Parameter admitted: it has just waited for this piece, and those who wait still came after it.
    /// - Returns: false if it has to wait itself.
    mutating func beginPiece(_ slot: Int, _ piece: ByteExtent, admitted: Bool) -> Bool {
        slots[slot].pointee.extent = piece
        if gate.isIdle || admitted { return true }
        gateMoved = true
        return !mustWait(slot, exclusive: false)
    }

    /// Parks a command until what it overlaps has ended; it is then dispatched anew.
    ///
    /// Bound: with more exclusive ones waiting than the gate takes, initiators are told to send fewer at a time.
    mutating func hold(_ command: consuming PendingCommand) {
        guard gate.wait(command.slot, exclusive: slots[command.slot].pointee.stage.isLimited) else {
            return finish(command, .status(.taskSetFull))
        }
        slots.park(command, as: .excluded)
    }

    /// Starts the waiting commands that no longer overlap anything, oldest first.
    mutating func admitWaiting() {
        gateMoved = false
        var position = 0
        while position < gate.waiting.count {
            let slot = gate.waiting[position]
            let stage = slots[slot].pointee.stage
            if gate.mustWait(
                slots[slot].pointee.extent, exclusive: stage.isExclusive, behind: queuePosition(slot, position),
                slots: slots)
            {
                position += 1
                continue
            }
            gate.leaveQueue(at: position, exclusive: stage.isLimited)
            restart(slots.resume(slot, from: .excluded))
        }
    }

    /// Goes on with a command whose checks were done before it waited.
    mutating func restart(_ command: consuming PendingCommand) {
        let slot = command.slot
        let extent = slots[slot].pointee.extent
        switch slots[slot].pointee.stage {
        case .read, .readFlush: settle(command, submitRead(slot, extent))
        case .compareRead, .orRead: beginCombining(command)
        case .stepAlone, .erase: beginAlone(command)
        case .step: continueLong(command, admitted: true)
        case .nativeCompareAndWrite: beginNativeCompareAndWrite(command)
        case .write, .writeThenFlush: settle(command, submitWrite(slot, extent, stage: .write))
        case .flush, .modeFlush, .compareWrite, .compareFlush, .prefetch, .survey:
            preconditionFailure("a command at \(slots[slot].pointee.stage) waits for no blocks")
        }
    }
}
