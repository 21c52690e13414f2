internal import BlockBackend
internal import Glibc
internal import SCSI

/// VERIFY and WRITE AND VERIFY: the medium read into memory of the unit's own, and compared if there is something to
/// compare with.
extension LogicalUnit where Backend: ~Copyable {
    /// VERIFY 10/12/16 (SBC-3 5.29 to 5.31).
    mutating func verify(_ command: consuming PendingCommand, _ verify: Verify) {
        let slot = command.slot
        if let outcome = refusal(of: verify.range, modifies: false) { return finish(command, outcome) }
        let extent = extent(of: verify.range)
        if extent.length == 0 { return sendNothing(command) }
        let data = verify.dataBlocks * UInt64(profile.capacity.blockSize)
        // With BYTCHK = 00b whatever came along is not looked at; initiators do send the blocks.
        if data > 0, let outcome = fitBuffer(slot, to: data) { return finish(command, outcome) }
        var pass = mediumPass(extent, verify)
        // What a cache holds newer than the medium is written first, and the medium is read then (SBC-3 5.29).
        pass.flushesFirst = backend.capabilities.volatileCache
        beginLong(command, .verify(pass))
    }

    private func mediumPass(_ extent: ByteExtent, _ verify: Verify) -> LongRun.Pass {
        var pass = LongRun.Pass(backend.capabilities.volatileCache ? .readMedium : .read, extent)
        pass.byteCheck = verify.byteCheck
        return pass
    }

    /// WRITE AND VERIFY 10/12/16 (SBC-3 5.38 to 5.40): on the medium before it is read back, so always durable.
    /// Exclusive, or another command's write in between would be taken for a fault.
    mutating func writeAndVerify(_ command: consuming PendingCommand, _ verify: Verify) {
        let slot = command.slot
        if let outcome = refusal(of: verify.range, modifies: true) { return finish(command, outcome) }
        let extent = extent(of: verify.range)
        if extent.length == 0 { return sendNothing(command) }
        if let outcome = fitBuffer(slot, to: extent.length) { return finish(command, outcome) }
        var pass = mediumPass(extent, verify)
        pass.storesFirst = true
        pass.flushesFirst = backend.capabilities.volatileCache && !backend.capabilities.forceUnitAccess
        beginLong(command, .writeAndVerify(pass), as: .stepAlone, whole: extent)
    }

    /// Compares the piece that was read with what it has to be.
    /// - Returns: the first differing byte, from the start of the command's blocks; nil if there is none.
    func difference(_ slot: Int, _ pass: LongRun.Pass, _ step: Step) -> UInt64? {
        guard let bytes = slots[slot].pointee.bounce?.bytes else {
            preconditionFailure("VERIFY without what it read")
        }
        let done = pass.done
        let present = UnsafeRawBufferPointer(rebasing: bytes[..<Int(step.extent.length)])
        switch pass.byteCheck {
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
