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
        slots[slot].pointee.writeGeneration = backend.writeGeneration
        let extras = CommandExtras()
        extras.copy = run
        slots[slot].pointee.extras = extras
        slots[slot].pointee.durable = false
        slots[slot].pointee.stage = .copyRead
        if list.immediate { detach(slot) }
        noteStatus(slot, list.immediate ? .inBackground : .inForeground)
        continueCopy(command)
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
        for segment in list.segments {
            let (source, from) = try endpoint(list, segment.source, own: designator)
            let (destination, to) = try endpoint(list, segment.destination, own: designator)
            if case .own = destination, isWriteProtected { throw .writeProtected }
            let unit = segment.isCountInDestinationBlocks ? to.blockSize : from.blockSize
            let bytes = UInt64(segment.blocks) * UInt64(unit)
            segments.append(
                CopyRun.Segment(
                    source: source, destination: destination,
                    sourceBytes: try Self.extent(segment.sourceLBA, bytes, in: from),
                    destinationBytes: try Self.extent(segment.destinationLBA, bytes, in: to)))
        }
        return CopyRun(
            segments: segments, listIdentifier: list.keepsStatus ? list.listIdentifier : nil,
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

    // MARK: - Piece by piece

    /// Reads or writes the next piece, or answers when all segments are done.
    ///
    /// - Parameter admitted: the command has waited for its next piece.
    mutating func continueCopy(_ command: consuming PendingCommand, admitted: Bool = false) {
        let slot = command.slot
        for step in 0..<Self.stepsPerTurn {
            guard let extras = slots[slot].pointee.extras, let run = extras.copy else {
                preconditionFailure("a copy without its plan")
            }
            guard let segment = run.current else { return endCopy(command) }
            if slots[slot].pointee.isAborted {
                noteStatus(slot, .terminated)
                return finish(command, .status(.taskAborted))
            }
            guard mode == .serving else { return failCopy(command, .goneAway) }
            // Neither end of the copy may be a medium that is being erased.
            guard condition.erasure == nil else { return failCopy(command, IOResult(code: -EBUSY)) }
            let length = run.pieceLength(upTo: UInt64(Limits.bounceBytes))
            let whole = run.isWriting ? segment.destinationBytes : segment.sourceBytes
            let extent = ByteExtent(offset: whole.offset + run.done, length: length)
            slots[slot].pointee.stepLength = length
            slots[slot].pointee.stage = run.isWriting ? .copyWrite : .copyRead
            let endpoint = run.isWriting ? segment.destination : segment.source
            // Bound: a copy holds up nobody but for the piece under way.
            var own = ByteExtent(offset: 0, length: 0)
            if case .own = endpoint {
                own = extent
                // The right to write was lost since the copy began, and is perhaps back: what was read may be old.
                if run.isWriting && slots[slot].pointee.writeGeneration != backend.writeGeneration {
                    return failCopy(command, IOResult(code: -EBUSY))
                }
            }
            guard beginPiece(slot, own, admitted: admitted && step == 0) else { return hold(command) }
            guard let memory = slots[slot].pointee.bounce?.bytes ?? takeBounce(slot, byteCount: Limits.bounceBytes)
            else { return failCopy(command, IOResult(code: -ENOMEM)) }
            let piece = UnsafeMutableRawBufferPointer(rebasing: memory[..<Int(length)])
            switch move(piece, extent, at: endpoint, isWrite: run.isWriting, isFirst: run.done == 0, slot) {
            case .pending: return park(command)
            case .done(let result) where result.isSuccess: noteStep(slot)
            case .done(let result): return advance(command, result)
            }
        }
        yield(command)
    }

    private mutating func move(
        _ memory: UnsafeMutableRawBufferPointer, _ extent: ByteExtent, at endpoint: CopyRun.Endpoint,
        isWrite: Bool, isFirst: Bool, _ slot: Int
    ) -> Submission {
        let ticket = slots.ticket(slot)
        switch endpoint {
        case .own where isWrite:
            return backend.write(extent, from: slots.spare(slot, memory), durable: false, ticket: ticket)
        case .own:
            return backend.read(extent, into: slots.spare(slot, memory), ticket: ticket)
        case .peer(let peer):
            let blockSize = UInt64(peer.capacity.blockSize)
            let range = BlockRange(lba: extent.offset / blockSize, blocks: extent.length / blockSize)
            peer.submit(
                PeerRequest(isWrite: isWrite, isFirst: isFirst, range: range, memory: memory, ticket: ticket))
            return .pending
        }
    }

    /// A piece has been read, and is written next; or it has been written, and the next one is read.
    private func noteStep(_ slot: Int) {
        guard let extras = slots[slot].pointee.extras, var run = extras.copy else { return }
        if run.isWriting { run.advance(by: slots[slot].pointee.stepLength) }
        run.isWriting.toggle()
        extras.copy = run
    }

    /// What was under way has come back.
    mutating func copyStepDone(_ command: consuming PendingCommand) {
        noteStep(command.slot)
        continueCopy(command)
    }

    private mutating func endCopy(_ command: consuming PendingCommand) {
        let slot = command.slot
        // Other units have made theirs durable as they do it.
        guard writesThrough, bytesCopiedHere(slot) > 0 else { return copyFlushed(command) }
        slots[slot].pointee.stage = .copyFlush
        settle(command, backend.flush(ticket: slots.ticket(slot)))
    }

    /// All is copied, and durable where it has to be.
    mutating func copyFlushed(_ command: consuming PendingCommand) {
        noteSpaceUsed(bytesCopiedHere(command.slot))
        noteStatus(command.slot, .done)
        sendNothing(command)
    }

    private func bytesCopiedHere(_ slot: Int) -> UInt64 { slots[slot].pointee.extras?.copy?.ownBytes ?? 0 }

    /// A piece could not be moved: COPY ABORTED with the code of the cause, or BUSY where trying again helps.
    mutating func failCopy(_ command: consuming PendingCommand, _ result: IOResult) {
        let slot = command.slot
        var outcome = SenseTable.outcome(of: result.code, isRead: slots[slot].pointee.stage.isRead)
        var state = CopyStatus.State.terminated
        if case .check(let cause) = outcome {
            let sense = Sense(.copyAborted, cause.asc, cause.ascq)
            outcome = .check(sense)
            state = .failed(sense)
        }
        noteStatus(slot, state)
        finish(command, outcome)
    }

    /// Keeps where the copy stands for RECEIVE COPY RESULTS, if its initiator may ask.
    private mutating func noteStatus(_ slot: Int, _ state: CopyStatus.State) {
        guard let run = slots[slot].pointee.extras?.copy, let identifier = run.listIdentifier else { return }
        copies.record(
            CopyStatus(
                listIdentifier: identifier, form: run.form, state: state,
                segments: UInt16(clamping: run.index), bytes: run.total))
        // LIST ID USAGE = 10b: nobody will ask once it is over and well.
        if !run.isHeld && state == .done { copies.forget(identifier) }
    }

    // MARK: - RECEIVE COPY RESULTS

    /// RECEIVE COPY RESULTS (SPC-4 6.26 to 6.30).
    mutating func receiveCopyResults(_ command: consuming PendingCommand, _ receive: ReceiveCopyResults) {
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
