internal import BlockBackend
internal import SCSI

/// UNMAP: the parameter list checked whole, then one discard after another.
extension LogicalUnit where Backend: ~Copyable {
    /// UNMAP (SBC-4 5.35).
    mutating func unmap(_ command: consuming PendingCommand, _ unmap: UnmapCommand) {
        let slot = command.slot
        guard let limits = advertisement.limits.unmap else {
            return finish(command, .check(.invalidCommandOperationCode))
        }
        if let outcome = refusal(of: BlockRange(lba: 0, blocks: 0), modifies: true) {
            return finish(command, outcome)
        }
        do throws(Sense) {
            slots[slot].pointee.ranges = try ranges(slot, unmap, limits)
        } catch {
            return finish(command, .check(error))
        }
        // One extent that covers them all, for those who must wait.
        let ranges = slots[slot].pointee.ranges
        let first = ranges.map(\.offset).min() ?? 0
        let end = ranges.map { $0.offset + $0.length }.max() ?? 0
        slots[slot].pointee.extent = ByteExtent(offset: first, length: end - first)
        slots[slot].pointee.stage = .discard
        guard gate.isIdle || !mustWait(slot, exclusive: false) else { return hold(command) }
        discardNext(command)
    }

    /// The ranges to discard, last first, from a copy of the parameter list: what is checked is what is done.
    private func ranges(
        _ slot: Int, _ unmap: UnmapCommand, _ limits: BlockLimits.Unmap
    ) throws(Sense) -> [ByteExtent] {
        try withParameterList(slot, length: Int(unmap.parameterListLength)) { bytes throws(Sense) -> [ByteExtent] in
            let descriptors = try UnmapParameterList(bytes, for: unmap, limits: limits)
            if let sense = descriptors.refusal(limits: limits, capacity: profile.capacity) { throw sense }
            var ranges: [ByteExtent] = []
            for index in (0..<descriptors.count).reversed() where descriptors[index].blocks > 0 {
                ranges.append(extent(of: descriptors[index]))
            }
            return ranges
        }
    }

    /// Discards the next range, or answers.
    mutating func discardNext(_ command: consuming PendingCommand) {
        let slot = command.slot
        guard let range = slots[slot].pointee.ranges.popLast() else { return finishWritten(command) }
        settle(command, backend.discard(range, ticket: slots.ticket(slot)))
    }
}
