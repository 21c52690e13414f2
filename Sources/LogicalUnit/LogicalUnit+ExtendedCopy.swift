internal import BlockBackend
internal import Glibc
internal import SCSI

/// EXTENDED COPY: blocks moved by the target, within the unit or between units of one copy group.
extension LogicalUnit where Backend: ~Copyable {
    /// EXTENDED COPY, LID1 and LID4 (SPC-4 6.4, 6.5).
    ///
    /// - Parameter facts: its serial number is the unit's own designator.
    mutating func extendedCopy(
        _ command: consuming PendingCommand, _ copy: ExtendedCopy, _ facts: BackstoreFacts
    ) {
        // A unit without a name cannot be told from others in a copy's parameter list; INQUIRY says so, too (3PC).
        guard facts.isNamed else { return finish(command, .check(.invalidCommandOperationCode)) }
        let slot = command.slot
        if copy.parameterListLength == 0 { return sendNothing(command) }
        if lateCommands > 0 { return finish(command, .status(.busy)) }
        let run: CopyRun
        let list: CopyList
        do throws(Sense) {
            let wanted = min(Int(clamping: copy.parameterListLength), copyLimits.maximumParameterListLength)
            list = try withParameterList(slot, length: wanted) { bytes throws(Sense) -> CopyList in
                try CopyList(bytes, for: copy, limits: copyLimits)
            }
            run = try plan(list, copy.form, own: UnitIdentity.nameDesignator(serial: facts.serial))
        } catch {
            return finish(command, .check(error))
        }
        if run.writesOwn {
            let claim = backend.claimWriting()
            guard claim.isSuccess else { return awaitRight(command, claim) }
        }
        if list.immediate { detach(slot) }
        noteStatus(run, list.immediate ? .inBackground : .inForeground)
        beginLong(command, .extendedCopy(run))
    }

    private var copyLimits: CopyLimits { .served(blockSize: profile.capacity.blockSize) }

    /// Finds the units of every segment, and checks their blocks, before anything is moved.
    private func plan(
        _ list: CopyList, _ form: ExtendedCopy.ListIdentifierLength, own designator: [UInt8]?
    ) throws(Sense) -> CopyRun {
        if list.keepsStatus, copies[list.listIdentifier]?.isInProgress == true {
            throw .invalidFieldInParameterList(byte: 0)
        }
        var segments: [CopyRun.Segment] = []
        var read: [(unit: [UInt8], bytes: ByteExtent)] = []
        var written: [(unit: [UInt8], bytes: ByteExtent)] = []
        for segment in list.segments {
            let (source, from) = try endpoint(list, segment.source, own: designator)
            let (destination, to) = try endpoint(list, segment.destination, own: designator)
            if case .own = destination, isWriteProtected { throw .writeProtected }
            let unit = segment.isCountInDestinationBlocks ? to.blockSize : from.blockSize
            let bytes = UInt64(segment.blocks) * UInt64(unit)
            let planned = CopyRun.Segment(
                source: source, destination: destination,
                sourceBytes: try Self.extent(segment.sourceLBA, bytes, in: from),
                destinationBytes: try Self.extent(segment.destinationLBA, bytes, in: to))
            segments.append(planned)
            read.append((list.units[segment.source].designator, planned.sourceBytes))
            written.append((list.units[segment.destination].designator, planned.destinationBytes))
        }
        let readsWhatItWrites = written.contains { written in
            read.contains { $0.unit == written.unit && $0.bytes.overlaps(written.bytes) }
        }
        return CopyRun(
            segments: segments, isRepeatable: !readsWhatItWrites,
            listIdentifier: list.keepsStatus ? list.listIdentifier : nil,
            isHeld: list.usage == .hold, form: form)
    }

    private func endpoint(
        _ list: CopyList, _ index: Int, own: [UInt8]?
    ) throws(Sense) -> (CopyRun.Endpoint, Capacity) {
        guard list.units.indices.contains(index) else { throw .copyTargetDeviceNotReachable }
        let unit = list.units[index]
        let found: (CopyRun.Endpoint, Capacity)
        if unit.designator == own {
            found = (.own, profile.capacity)
        } else if let peer = profile.copyGroup?.peer(unit.designator) {
            found = (.peer(peer), peer.capacity)
        } else {
            throw .copyTargetDeviceNotReachable
        }
        // DISK BLOCK LENGTH says which blocks the initiator means; others than ours would move the wrong bytes.
        guard unit.blockSize == 0 || unit.blockSize == found.1.blockSize else {
            throw .incorrectCopyTargetDeviceType
        }
        return found
    }

    /// The bytes of a segment on one unit. Where they are not whole blocks there, or beyond its end, the copy is
    /// refused before it begins.
    private static func extent(_ lba: UInt64, _ bytes: UInt64, in capacity: Capacity) throws(Sense) -> ByteExtent {
        let blockSize = UInt64(capacity.blockSize)
        guard bytes % blockSize == 0 else { throw .invalidFieldInParameterList }
        let range = BlockRange(lba: lba, blocks: bytes / blockSize)
        guard let found = range.byteRange(in: capacity) else { throw .copyTargetDeviceNotReachable }
        return ByteExtent(offset: found.offset, length: found.length)
    }

    // MARK: - Its end

    /// All is copied, and durable where it has to be. Other units have made theirs durable as they do it.
    mutating func endCopy(_ run: LongRun) {
        noteSpaceUsed(run.ownBytes)
        if case .extendedCopy(let copy) = run.procedure { noteStatus(copy, .done) }
    }

    /// A piece could not be moved: COPY ABORTED with the code of the cause, or BUSY where trying again helps.
    mutating func failCopy(_ command: consuming PendingCommand, _ run: LongRun, _ result: IOResult) {
        var outcome = SenseTable.outcome(of: result.code, isRead: run.step?.isRead ?? true)
        var state = CopyStatus.State.terminated
        if case .status = outcome, !run.isRepeatable { outcome = .check(.copyInterrupted) }
        if case .check(let cause) = outcome {
            let sense = Sense(.copyAborted, cause.asc, cause.ascq)
            outcome = .check(sense)
            state = .failed(sense)
        }
        if case .extendedCopy(let copy) = run.procedure { noteStatus(copy, state) }
        finish(command, outcome)
    }

    /// Keeps where the copy stands for RECEIVE COPY RESULTS, if its initiator may ask.
    mutating func noteStatus(_ run: CopyRun, _ state: CopyStatus.State) {
        guard let identifier = run.listIdentifier else { return }
        copies.record(
            CopyStatus(
                listIdentifier: identifier, form: run.form, state: state,
                segments: UInt16(clamping: run.index), bytes: run.total))
        // LIST ID USAGE = 10b: nobody will ask once it is over and well.
        if !run.isHeld && state == .done { copies.forget(identifier) }
    }

    // MARK: - RECEIVE COPY RESULTS

    /// RECEIVE COPY RESULTS (SPC-4).
    mutating func receiveCopyResults(
        _ command: consuming PendingCommand, _ receive: ReceiveCopyResults, _ facts: BackstoreFacts
    ) {
        guard facts.isNamed else { return finish(command, .check(.invalidCommandOperationCode)) }
        let data: [UInt8]
        do throws(Sense) {
            data = try receive.response(copies[receive.listIdentifier], limits: copyLimits)
        } catch {
            return finish(command, .check(error))
        }
        copies.told(receive.listIdentifier, by: receive.action)
        send(command, data, allocationLength: receive.allocationLength)
    }
}
