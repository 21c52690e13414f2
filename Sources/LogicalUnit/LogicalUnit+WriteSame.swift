internal import BlockBackend
internal import Glibc
internal import SCSI

/// WRITE SAME: unmapped, zeroed or written by the backend where it can, else written in copies.
extension LogicalUnit where Backend: ~Copyable {
    /// Multi-step commands that may hold memory at once. Bound: 16 MiB per unit, 64 MiB if
    /// all are ORWRITEs of the largest transfer.
    static var bounceLimit: Int { 16 }

    /// WRITE SAME 10/16 (SBC-4 5.53, 5.54).
    mutating func writeSame(_ command: consuming PendingCommand, _ same: WriteSame) {
        let slot = command.slot
        if let sense = same.refusal(limits: advertisement.limits, provisioning: advertisement.provisioning) {
            return finish(command, .check(sense))
        }
        if let outcome = refusal(of: same.range, modifies: true) { return finish(command, outcome) }
        let blockSize = UInt64(profile.capacity.blockSize)
        if same.noDataOut {
            zeroRest(slot, from: 0)
            slots.trim(slot, to: 0)
        } else if slots[slot].pointee.segmentBytes != blockSize {
            // As the original: the data must be exactly one block.
            return finish(command, .check(.invalidFieldInCDB))
        }
        slots[slot].pointee.extent = extent(of: same.range)
        slots[slot].pointee.progress = 0
        slots[slot].pointee.stage = .writeSame
        guard gate.isIdle || !mustWait(slot, exclusive: false) else { return hold(command) }
        beginWriteSame(command)
    }

    /// Picks the cheapest way that leaves exactly the pattern on the medium.
    mutating func beginWriteSame(_ command: consuming PendingCommand) {
        let slot = command.slot
        let extent = slots[slot].pointee.extent
        let segments = slots.segments(slot)
        let blockSize = Int(profile.capacity.blockSize)
        let isZero = segments.count == 0 || segments.isZero(length: blockSize)
        // Unmapping is allowed only where the blocks then read as the pattern, bit for bit (SBC-4 4.7.3.4.4).
        if isZero, case .command(.writeSame(let same)) = decode(slot), same.unmap,
            let discard = backend.capabilities.discard, discard.readsZeros, extent.length <= discard.maximumBytes
        {
            slots[slot].pointee.ranges = []
            slots[slot].pointee.stage = .discard
            return settle(command, backend.discard(extent, ticket: slots.ticket(slot)))
        }
        if isZero && backend.capabilities.nativeWriteZeroes {
            slots[slot].pointee.stage = .writeZeroes
            return settle(command, backend.writeZeroes(extent, ticket: slots.ticket(slot)))
        }
        if backend.capabilities.nativeWriteSame && segments.count > 0 {
            slots[slot].pointee.stage = .writeZeroes
            return settle(
                command,
                backend.writeSame(
                    extent, pattern: segments, patternLength: blockSize, ticket: slots.ticket(slot)))
        }
        replicate(command)
    }

    /// Fills a buffer with copies of the block and starts writing it again and again.
    private mutating func replicate(_ command: consuming PendingCommand) {
        let slot = command.slot
        let blockSize = Int(profile.capacity.blockSize)
        let whole = slots[slot].pointee.extent.length
        let size = Int(min(whole, UInt64(Limits.bounceBytes / blockSize * blockSize)))
        guard let bytes = takeBounce(slot, byteCount: size) else {
            return finish(command, .status(.taskSetFull))
        }
        slots.segments(slot).read(into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<blockSize]))
        BounceBuffer.replicate(bytes, patternLength: blockSize)
        continueWriteSame(command)
    }

    /// Writes the next piece, or answers when all is done. A loop, not a recursion, for backends that answer at
    /// once.
    mutating func continueWriteSame(_ command: consuming PendingCommand) {
        let slot = command.slot
        let record = slots[slot]
        while true {
            let left = record.pointee.extent.length - record.pointee.progress
            guard left > 0, let bytes = record.pointee.bounce?.bytes, let start = bytes.baseAddress else {
                return finishWritten(command)
            }
            if record.pointee.isAborted { return finish(command, .status(.taskAborted)) }
            let piece = min(left, UInt64(bytes.count))
            slots.iovecs(slot)[0] = iovec(iov_base: start, iov_len: Int(piece))
            record.pointee.segmentCount = 1
            let target = ByteExtent(
                offset: record.pointee.extent.offset + record.pointee.progress, length: piece)
            record.pointee.progress += piece
            // Made durable once, after the last piece.
            record.pointee.stage = .writeSame
            switch backend.write(
                target, from: slots.segments(slot), durable: false, ticket: slots.ticket(slot))
            {
            case .pending: return park(command)
            case .done(let result) where result.isSuccess: continue
            case .done(let result): return advance(command, result)
            }
        }
    }
}
