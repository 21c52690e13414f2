internal import BlockBackend
internal import Glibc
internal import SCSI

/// COMPARE AND WRITE: by the backend in one step where it can, else read, compared and written under exclusion.
extension LogicalUnit where Backend: ~Copyable {
    /// COMPARE AND WRITE (SBC-4 5.3).
    mutating func compareAndWrite(_ command: consuming PendingCommand, _ compare: CompareAndWrite) {
        let slot = command.slot
        if let sense = compare.refusal(limits: advertisement.limits) { return finish(command, .check(sense)) }
        if let outcome = refusal(of: compare.range, modifies: true) { return finish(command, outcome) }
        let extent = extent(of: compare.range)
        if extent.length == 0 { return sendNothing(command) }
        if let outcome = fitBuffer(slot, to: 2 * extent.length) { return finish(command, outcome) }
        let capabilities = backend.capabilities
        let needsFlush = compare.fua && capabilities.volatileCache
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
        beginCompareAndWrite(command)
    }

    /// Hands the whole command to the backend.
    mutating func beginNativeCompareAndWrite(_ command: consuming PendingCommand) {
        let slot = command.slot
        settle(
            command,
            backend.compareAndWrite(
                slots[slot].pointee.extent, data: slots.segments(slot), ticket: slots.ticket(slot)))
    }

    /// Reads what is there; from here to the answer nothing that overlaps is started.
    mutating func beginCompareAndWrite(_ command: consuming PendingCommand) {
        let slot = command.slot
        let extent = slots[slot].pointee.extent
        // The data buffer keeps its pieces; the read goes through one more behind them.
        let spare = slots[slot].pointee.segmentCount
        guard spare < Limits.segments, bouncesInUse < Self.bounceLimit,
            let bounce = BounceBuffer(byteCount: Int(extent.length))
        else { return finish(command, .status(.taskSetFull)) }
        bouncesInUse += 1
        gate.start(slot)
        let target = slots.iovecs(slot) + spare
        target.pointee = iovec(iov_base: bounce.bytes.baseAddress, iov_len: bounce.bytes.count)
        slots[slot].pointee.bounce = consume bounce
        slots[slot].pointee.stage = .compareRead
        settle(
            command,
            backend.read(extent, into: SegmentList(base: target, count: 1), ticket: slots.ticket(slot)))
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
        slots.iovecs(slot)[0] = iovec(iov_base: present.baseAddress, iov_len: present.count)
        slots[slot].pointee.segmentCount = 1
        settle(command, submitWrite(slot, extent, stage: .compareWrite))
    }
}
