internal import BlockBackend
internal import Glibc
internal import SCSI

/// VERIFY and WRITE AND VERIFY: the medium read into memory of the unit's own, and compared if there is something to
/// compare with.
extension LogicalUnit where Backend: ~Copyable {
    /// VERIFY 10/12/16 (SBC-4 5.36 to 5.38).
    mutating func verify(_ command: consuming PendingCommand, _ verify: Verify) {
        let slot = command.slot
        if let outcome = refusal(of: verify.range, modifies: false) { return finish(command, outcome) }
        let extent = extent(of: verify.range)
        if extent.length == 0 { return sendNothing(command) }
        let data = verify.dataBlocks * UInt64(profile.capacity.blockSize)
        // With BYTCHK = 00b whatever came along is not looked at; initiators do send the blocks.
        if data > 0, let outcome = fitBuffer(slot, to: data) { return finish(command, outcome) }
        slots[slot].pointee.byteCheck = verify.byteCheck
        slots[slot].pointee.span = extent
        slots[slot].pointee.stage = .verifyRead
        slots[slot].pointee.progress = 0
        continueVerify(command)
    }

    /// WRITE AND VERIFY 10/12/16 (SBC-4 5.49 to 5.51): on the medium before it is read back, so always durable.
    /// Exclusive, or another command's write in between would be taken for a fault.
    mutating func writeAndVerify(_ command: consuming PendingCommand, _ verify: Verify) {
        let slot = command.slot
        if let outcome = refusal(of: verify.range, modifies: true) { return finish(command, outcome) }
        let extent = extent(of: verify.range)
        if extent.length == 0 { return sendNothing(command) }
        if let outcome = fitBuffer(slot, to: extent.length) { return finish(command, outcome) }
        slots[slot].pointee.byteCheck = verify.byteCheck
        slots[slot].pointee.span = extent
        slots[slot].pointee.extent = extent
        slots[slot].pointee.durable = true
        slots[slot].pointee.stage = .writeForVerify
        if mustWait(slot, exclusive: true) { return hold(command) }
        beginWriteAndVerify(command)
    }

    /// Writes first, once there is memory to read back into: TASK SET FULL says that nothing was done.
    mutating func beginWriteAndVerify(_ command: consuming PendingCommand) {
        let slot = command.slot
        guard verifyMemory(slot) != nil else { return finish(command, .status(.taskSetFull)) }
        slots[slot].pointee.progress = 0
        gate.start(slot)
        settle(command, submitWrite(slot, slots[slot].pointee.extent, stage: .writeForVerify))
    }

    /// Bytes that are read at a time.
    private func verifyPiece(_ slot: Int) -> UInt64 {
        let blockSize = Int(profile.capacity.blockSize)
        return min(slots[slot].pointee.span.length, UInt64(Limits.bounceBytes / blockSize * blockSize))
    }

    /// The memory for one piece, and for the one block that BYTCHK = 11b compares with; taken when first asked for. nil if
    /// there is none.
    private mutating func verifyMemory(_ slot: Int) -> UnsafeMutableRawBufferPointer? {
        if let bytes = slots[slot].pointee.bounce?.bytes { return bytes }
        let piece = Int(verifyPiece(slot))
        let pattern = slots[slot].pointee.byteCheck == .oneBlock ? Int(profile.capacity.blockSize) : 0
        guard let bytes = takeBounce(slot, byteCount: piece + pattern) else { return nil }
        if pattern > 0 { slots.segments(slot).read(into: UnsafeMutableRawBufferPointer(rebasing: bytes[piece...])) }
        return bytes
    }

    /// Reads the next piece, or answers when all is verified.
    ///
    /// - Parameter admitted: the command has waited for its next piece.
    mutating func continueVerify(_ command: consuming PendingCommand, admitted: Bool = false) {
        let slot = command.slot
        let record = slots[slot]
        for step in 0..<Self.stepsPerTurn {
            let left = record.pointee.span.length - record.pointee.progress
            if left == 0 { return sendNothing(command) }
            if record.pointee.isAborted { return finish(command, .status(.taskAborted)) }
            // The unit is being stopped: the initiator comes again.
            guard mode == .serving || record.pointee.progress == 0 else { return finish(command, .status(.busy)) }
            if let erasure = condition.erasure { return finish(command, .check(erasure.inProgress)) }
            let piece = min(left, verifyPiece(slot))
            record.pointee.stepLength = piece
            record.pointee.stage = .verifyRead
            let extent = ByteExtent(
                offset: record.pointee.span.offset + record.pointee.progress, length: piece)
            // Bound: a VERIFY of the whole unit holds up nobody but for the piece under way. WRITE AND VERIFY runs
            // exclusively and keeps all of its blocks.
            if !record.pointee.durable {
                guard beginPiece(slot, extent, admitted: admitted && step == 0) else { return hold(command) }
            }
            guard let bytes = verifyMemory(slot) else { return finish(command, .status(.taskSetFull)) }
            let target = UnsafeMutableRawBufferPointer(rebasing: bytes[..<Int(piece)])
            switch backend.read(extent, into: slots.spare(slot, target), ticket: slots.ticket(slot)) {
            case .pending: return park(command)
            case .done(let result) where result.isSuccess:
                if let difference = compareVerified(slot) {
                    return finish(command, .check(.miscompareDuringVerify(at: difference)))
                }
            case .done(let result): return advance(command, result)
            }
        }
        yield(command)
    }

    /// Compares the piece that was read with what it has to be.
    /// - Returns: the first differing byte, from the start of the command's blocks; nil if there is none.
    mutating func compareVerified(_ slot: Int) -> UInt64? {
        let record = slots[slot]
        guard let bytes = record.pointee.bounce?.bytes else { preconditionFailure("VERIFY without what it read") }
        let done = record.pointee.progress
        let length = Int(record.pointee.stepLength)
        record.pointee.progress = done + UInt64(length)
        let present = UnsafeRawBufferPointer(rebasing: bytes[..<length])
        switch record.pointee.byteCheck {
        case .none: return nil
        case .everyBlock:
            return slots.segments(slot).firstDifference(from: present, at: Int(done)).map { done + UInt64($0) }
        case .oneBlock:
            let blockSize = Int(profile.capacity.blockSize)
            let block = UnsafeRawBufferPointer(rebasing: bytes[(bytes.count - blockSize)...])
            return present.firstDifference(fromCopiesOf: block).map { done + UInt64($0) }
        }
    }
}

extension UnsafeRawBufferPointer {
    /// The first byte that differs from copies of `block` one behind the other.
    func firstDifference(fromCopiesOf block: UnsafeRawBufferPointer) -> Int? {
        guard let start = baseAddress, let pattern = block.baseAddress else { return nil }
        var offset = 0
        while offset < count {
            let length = Swift.min(block.count, count - offset)
            if memcmp(start + offset, pattern, length) != 0 {
                for index in 0..<length where self[offset + index] != block[index] { return offset + index }
            }
            offset += length
        }
        return nil
    }
}
