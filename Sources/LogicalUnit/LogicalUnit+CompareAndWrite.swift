internal import BlockBackend
internal import Glibc
internal import SCSI

/// COMPARE AND WRITE: by the backend in one step where it can, else read, compared and written under exclusion.
extension LogicalUnit where Backend: ~Copyable {
    /// Commands that may hold memory at once. Bound: 16 MiB per unit, 64 MiB if all are ORWRITEs of the largest transfer.
    static var bounceLimit: Int { 16 }

    /// COMPARE AND WRITE (SBC-3 5.2).
    mutating func compareAndWrite(_ command: consuming PendingCommand, _ compare: CompareAndWrite) {
        let slot = command.slot
        if let sense = compare.refusal(limits: advertisement.limits) { return finish(command, .check(sense)) }
        if let outcome = refusal(of: compare.range, modifies: true) { return finish(command, outcome) }
        let extent = extent(of: compare.range)
        // Too much is no less wrong than too little here: which half would the rest belong to? And a count of 256
        // blocks arrives as 0, because the field has one byte.
        guard slots[slot].pointee.segmentBytes == 2 * extent.length else {
            return finish(command, .check(.invalidFieldInCDB(byte: 13)))
        }
        if extent.length == 0 { return sendNothing(command) }
        let capabilities = backend.capabilities
        let needsFlush = compare.fua && capabilities.volatileCache || writesThrough
        slots[slot].pointee.extent = extent
        slots[slot].pointee.durable = compare.fua
        if extent.length <= capabilities.nativeCompareAndWriteBytes && !needsFlush {
            slots[slot].pointee.stage = .nativeCompareAndWrite
            // The backend's step is atomic against everything but one that the unit is in the middle of.
            guard gate.isIdle || !mustWait(slot, exclusive: false) else { return hold(command) }
            return beginNativeCompareAndWrite(command)
        }
        slots[slot].pointee.stage = .compareRead
        if mustWait(slot, exclusive: true) { return hold(command) }
        beginCombining(command)
    }

    /// Hands the whole command to the backend.
    mutating func beginNativeCompareAndWrite(_ command: consuming PendingCommand) {
        let slot = command.slot
        settle(
            command,
            backend.compareAndWrite(
                slots[slot].pointee.extent, data: slots.segments(slot), ticket: slots.ticket(slot)))
    }

    /// Reads what is there, for the stage that the command is at; from here to the answer nothing that overlaps is
    /// started.
    mutating func beginCombining(_ command: consuming PendingCommand) {
        let slot = command.slot
        let extent = slots[slot].pointee.extent
        // What is read must still be there when the write follows: nobody else may write between the two.
        let claim = backend.claimWriting()
        guard claim.isSuccess else { return awaitRight(command, claim) }
        slots[slot].pointee.writeGeneration = backend.writeGeneration
        guard let present = takeBounce(slot, byteCount: Int(extent.length)) else {
            return finish(command, .status(.taskSetFull))
        }
        gate.start(slot)
        settle(
            command,
            backend.read(extent, into: slots.spare(slot, present), ticket: slots.ticket(slot)))
    }

    /// Compares with what was read; writes if it is the same.
    mutating func compareAndWriteSecondHalf(_ command: consuming PendingCommand) {
        let slot = command.slot
        let extent = slots[slot].pointee.extent
        guard let present = slots[slot].pointee.bounce?.bytes else {
            preconditionFailure("COMPARE AND WRITE without what it read")
        }
        let data = slots.segments(slot)
        if let difference = data.firstDifference(from: UnsafeRawBufferPointer(present)) {
            return finish(command, .check(.miscompareDuringVerify(at: UInt64(difference))))
        }
        // The compared bytes are not needed any longer: the new ones take their place in one piece.
        data.read(into: present, from: Int(extent.length))
        writeBounce(command, present, stage: .compareWrite)
    }

    // MARK: - ORWRITE

    /// ORWRITE(16) (SBC-3 5.5): reads, combines and writes; like COMPARE AND WRITE atomic against everything else.
    mutating func orWrite(_ command: consuming PendingCommand, _ access: MediumAccess) {
        let slot = command.slot
        if let outcome = refusal(of: access.range, modifies: true) { return finish(command, outcome) }
        let extent = extent(of: access.range)
        if extent.length == 0 { return sendNothing(command) }
        // Bound: the whole of it is held in memory, and is no more than one transfer can bring.
        guard extent.length <= UInt64(Limits.segments * 4096) else {
            return finish(command, .check(.invalidFieldInCDB(byte: 10)))
        }
        if let outcome = fitBuffer(slot, to: extent.length) { return finish(command, outcome) }
        slots[slot].pointee.extent = extent
        slots[slot].pointee.durable = access.fua
        slots[slot].pointee.stage = .orRead
        if mustWait(slot, exclusive: true) { return hold(command) }
        beginCombining(command)
    }

    /// Combines what was read with what was sent, and writes it.
    mutating func orWriteSecondHalf(_ command: consuming PendingCommand) {
        let slot = command.slot
        guard let present = slots[slot].pointee.bounce?.bytes else {
            preconditionFailure("ORWRITE without what it read")
        }
        slots.segments(slot).forEachPiece(from: 0, length: present.count) { piece, done in
            for index in 0..<piece.count { present[done + index] |= piece[index] }
            return true
        }
        // Done twice it leaves the same: an ordinary write.
        writeBounce(command, present, stage: .write)
    }

    // MARK: - Memory of the unit's own

    /// Gives a command memory of its own; nil where it has to come again later.
    mutating func takeBounce(_ slot: Int, byteCount: Int) -> UnsafeMutableRawBufferPointer? {
        guard bouncesInUse < Self.bounceLimit, let bounce = BounceBuffer(byteCount: byteCount) else { return nil }
        bouncesInUse += 1
        let bytes = bounce.bytes
        slots[slot].pointee.bounce = consume bounce
        return bytes
    }

    /// Writes the command's own memory to its extent, and answers then.
    private mutating func writeBounce(
        _ command: consuming PendingCommand, _ bytes: UnsafeMutableRawBufferPointer, stage: Stage
    ) {
        let slot = command.slot
        // Nothing has been written, and nothing is when its initiator was told, or will be, that the command is over: with
        // its ring lost it is BUSY, comes again, and would find its own data.
        if slots[slot].pointee.isAborted { return finish(command, .status(.taskAborted)) }
        if mode == .ringless || slots[slot].pointee.expiry <= now { return finish(command, .status(.busy)) }
        // The right to write was lost meanwhile, and is perhaps back: another gateway may have written in between.
        guard slots[slot].pointee.writeGeneration == backend.writeGeneration else {
            return finish(command, .status(.busy))
        }
        slots.iovecs(slot)[0] = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
        slots[slot].pointee.segmentCount = 1
        settle(command, submitWrite(slot, slots[slot].pointee.extent, stage: stage))
    }
}
