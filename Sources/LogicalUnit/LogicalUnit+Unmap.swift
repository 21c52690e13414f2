internal import BlockBackend
internal import SCSI

/// UNMAP: the parameter list checked whole, then one discard after another.
extension LogicalUnit where Backend: ~Copyable {
    /// UNMAP (SBC-3 5.28).
    mutating func unmap(_ command: consuming PendingCommand, _ unmap: UnmapCommand) {
        let slot = command.slot
        guard let limits = advertisement.limits.unmap else {
            return finish(command, .check(.invalidCommandOperationCode))
        }
        if let outcome = refusal(of: BlockRange(lba: 0, blocks: 0), modifies: true) {
            return finish(command, outcome)
        }
        let ranges: [ByteExtent]
        do throws(Sense) {
            ranges = try self.ranges(slot, unmap, limits)
        } catch {
            return finish(command, .check(error))
        }
        beginLong(command, .unmap(LongRun.Discards(ranges)))
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
}
