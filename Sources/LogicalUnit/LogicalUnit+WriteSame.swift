internal import BlockBackend
internal import SCSI

/// WRITE SAME: deallocated, zeroed or written by the backend where it can, else written in copies.
extension LogicalUnit where Backend: ~Copyable {
    /// WRITE SAME 10/16 (SBC-3 5.44 and 5.45).
    mutating func writeSame(_ command: consuming PendingCommand, _ same: WriteSame) {
        let slot = command.slot
        if let sense = same.refusal(limits: advertisement.limits, provisioning: advertisement.provisioning) {
            return finish(command, .check(sense))
        }
        if let outcome = refusal(of: same.range, modifies: true) { return finish(command, outcome) }
        if same.noDataOut {
            zeroRest(slot, from: 0)
            slots.trim(slot, to: 0)
        } else if slots[slot].pointee.segmentBytes != UInt64(profile.capacity.blockSize) {
            // As the original: the data must be exactly one block.
            return finish(command, .check(.invalidFieldInCDB))
        }
        beginLong(command, .writeSame(LongRun.Pass(cheapest(slot), extent(of: same.range))))
    }

    /// The cheapest way that leaves exactly the pattern on the medium.
    ///
    /// Zeros on a thin unit are deallocated, with the UNMAP bit and without: the blocks then read as the pattern, bit for
    /// bit (SBC-3), and what a thin unit holds of zeros is space for nothing.
    private func cheapest(_ slot: Int) -> Step.Action {
        let capabilities = backend.capabilities
        let segments = slots.segments(slot)
        if segments.count == 0 || segments.isZero(length: Int(profile.capacity.blockSize)) {
            if let discard = capabilities.discard, discard.readsZeros { return .discard }
            if capabilities.nativeWriteZeroes { return .zeroes }
        }
        return capabilities.nativeWriteSame && segments.count > 0 ? .pattern : .write
    }
}
