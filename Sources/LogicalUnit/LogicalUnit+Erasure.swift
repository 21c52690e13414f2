internal import BlockBackend
internal import Glibc
internal import SCSI

/// FORMAT UNIT and SANITIZE: the whole medium, piece by piece, with everything else refused meanwhile.
extension LogicalUnit where Backend: ~Copyable {
    /// Bytes of one piece. Bound: progress moves, other units have their turn, and a stop need not wait for more.
    private static var erasurePiece: UInt64 { 64 << 20 }

    /// FORMAT UNIT (SBC-4 5.4). Block size and capacity stay; the blocks are filled with zeros or the pattern given.
    mutating func formatUnit(_ command: consuming PendingCommand, _ format: FormatUnit) {
        let slot = command.slot
        if isWriteProtected { return finish(command, .check(.writeProtected)) }
        var parameters = FormatParameters.default
        if format.hasParameterList {
            // Long header, descriptor and a pattern as long as a block.
            let longest = 12 + Int(profile.capacity.blockSize)
            do throws(Sense) {
                parameters = try withParameterList(slot, length: longest) {
                    bytes throws(Sense) -> FormatParameters in
                    try FormatParameters(bytes, for: format, blockSize: profile.capacity.blockSize)
                }
            } catch {
                return finish(command, .check(error))
            }
        }
        let fill: MediumErasure.Fill =
            if parameters.pattern != nil { .pattern(parameters) } else if format.fast { .nothing } else {
                .zeroes
            }
        erase(command, MediumErasure(.format, fill, size: mediumBytes), immediate: parameters.immediate)
    }

    /// SANITIZE (SBC-4 5.30).
    mutating func sanitize(_ command: consuming PendingCommand, _ sanitize: Sanitize) {
        let slot = command.slot
        if sanitize.action == .exitFailureMode { return exitFailureMode(command) }
        if isWriteProtected { return finish(command, .check(.writeProtected)) }
        let fill: MediumErasure.Fill
        switch sanitize.action {
        case .overwrite:
            let length = Int(sanitize.parameterListLength)
            do throws(Sense) {
                let parameters = try withParameterList(slot, length: length) {
                    bytes throws(Sense) -> OverwriteParameters in
                    try OverwriteParameters(bytes, for: sanitize, blockSize: profile.capacity.blockSize)
                }
                fill = .overwrite(parameters)
            } catch {
                return finish(command, .check(error))
            }
        case .blockErase: fill = .deallocation
        // The command set has refused it: no backend holds a key yet.
        case .cryptographicErase, .exitFailureMode:
            return finish(command, .check(.invalidFieldInCDB(byte: 1, bit: 4)))
        }
        let erasure = MediumErasure(
            .sanitize, fill, size: mediumBytes, mayExit: sanitize.allowUnrestrictedExit)
        erase(command, erasure, immediate: sanitize.immediate)
    }

    /// EXIT FAILURE MODE: ends a failed sanitize that was started with AUSE, and is GOOD where none has failed.
    private mutating func exitFailureMode(_ command: consuming PendingCommand) {
        if let failure = condition.failure, failure.purpose == .sanitize {
            guard failure.mayExit else {
                return finish(command, .check(.invalidFieldInCDB(byte: 1, bit: 4)))
            }
            condition.failure = nil
        }
        sendNothing(command)
    }

    /// Bytes of the whole medium.
    var mediumBytes: UInt64 {
        BlockRange(lba: 0, blocks: profile.capacity.blocks).byteRange(in: profile.capacity)?.length ?? 0
    }

    /// A task management function has hit the command `identifier`, and the kernel waits for its answer. An erasure
    /// goes on without it (SBC-3 4.11.2); one of several steps, which may be about the whole medium, ends after the step
    /// under way; any other command ends by itself soon.
    mutating func letGo(of identifier: UInt16) {
        if !awaitingRight.isEmpty { abortAwaitingRight(identifier) }
        // Bound: only what has memory may take long, so that a reset of a busy unit need not look at every slot.
        guard condition.erasure != nil || bouncesInUse > 0 else { return }
        for slot in 0..<slots.initialised {
            let record = slots[slot]
            guard record.pointee.state != .free, record.pointee.commandID == identifier,
                !record.pointee.isDetached
            else { continue }
            switch record.pointee.stage {
            case .erase, .eraseFlush: detach(slot, .status(.taskAborted))
            default: record.pointee.isAborted = record.pointee.bounce != nil
            }
        }
    }

    // MARK: - Piece by piece

    private mutating func erase(
        _ command: consuming PendingCommand, _ erasure: MediumErasure, immediate: Bool
    ) {
        let slot = command.slot
        // Before anybody is told GOOD: what is begun without the right to write ends with its first piece.
        let claim = backend.claimWriting()
        guard claim.isSuccess else { return awaitRight(command, claim) }
        slots[slot].pointee.writeGeneration = backend.writeGeneration
        condition.erasure = erasure
        if immediate { detach(slot) }
        slots[slot].pointee.extent = ByteExtent(offset: 0, length: erasure.size)
        slots[slot].pointee.durable = false
        slots[slot].pointee.stage = .erase
        // What was taken before is answered first; what comes after meets the condition.
        if mustWait(slot, exclusive: true) { return hold(command) }
        beginErasure(command)
    }

    /// Answers now; the command goes on without its ring entry and without its data buffer, which is zeroed as
    /// ``sendNothing(_:)`` does it.
    mutating func detach(_ slot: Int, _ outcome: CommandOutcome = .good) {
        if mode != .ringless {
            zeroRest(slot, from: 0)
            respond(slots[slot], outcome)
        }
        slots[slot].pointee.isDetached = true
        slots[slot].pointee.segmentCount = 0
        slots[slot].pointee.segmentBytes = 0
    }

    /// Nothing else is in flight: starts with the first piece.
    mutating func beginErasure(_ command: consuming PendingCommand) {
        let slot = command.slot
        gate.start(slot)
        if let erasure = condition.erasure, erasure.needsMemory(backend.capabilities) {
            let blockSize = Int(profile.capacity.blockSize)
            let size = min(UInt64(Limits.bounceBytes / blockSize * blockSize), erasure.size)
            guard takeBounce(slot, byteCount: Int(size)) != nil else {
                // Nothing has been touched yet. But who was told GOOD already must learn that nothing will be.
                if slots[slot].pointee.isDetached { return failErasure(command, ENOMEM) }
                condition.erasure = nil
                return finish(command, .status(.taskSetFull))
            }
        }
        continueErasure(command)
    }

    /// Goes on with the next pieces, and flushes after the last one.
    mutating func continueErasure(_ command: consuming PendingCommand) {
        let slot = command.slot
        for _ in 0..<Self.stepsPerTurn {
            // The unit is being stopped or has lost its ring: an erasure is not worth waiting for.
            guard mode == .serving, var erasure = condition.erasure else { return failErasure(command, ECANCELED) }
            // Lost, and perhaps back: what another gateway has written since must not be erased.
            guard slots[slot].pointee.writeGeneration == backend.writeGeneration else {
                return failErasure(command, EBUSY)
            }
            let memory = slots[slot].pointee.bounce?.bytes
            if erasure.startsPass, let memory {
                erasure.prepare(memory, blockSize: Int(profile.capacity.blockSize))
            }
            let limit = memory.map { UInt64($0.count) } ?? erasurePiece
            let piece = erasure.next(upTo: limit)
            condition.erasure = erasure
            guard let piece else {
                slots[slot].pointee.stage = .eraseFlush
                return settle(command, backend.flush(ticket: slots.ticket(slot)))
            }
            slots[slot].pointee.stage = .erase
            switch submit(piece, of: erasure, memory, slot) {
            case .pending: return park(command)
            case .done(let result) where result.isSuccess: continue
            case .done(let result): return advance(command, result)
            }
        }
        yield(command)
    }

    private mutating func submit(
        _ piece: ByteExtent, of erasure: MediumErasure, _ memory: UnsafeMutableRawBufferPointer?, _ slot: Int
    ) -> Submission {
        if let memory {
            let data = UnsafeMutableRawBufferPointer(rebasing: memory[..<Int(piece.length)])
            return backend.write(
                piece, from: slots.spare(slot, data), durable: false, ticket: slots.ticket(slot))
        }
        if case .deallocation = erasure.fill { return backend.discard(piece, ticket: slots.ticket(slot)) }
        return backend.writeZeroes(piece, ticket: slots.ticket(slot))
    }

    /// Bytes of one piece that is not written from memory.
    private var erasurePiece: UInt64 {
        let blockSize = UInt64(profile.capacity.blockSize)
        let longest = backend.capabilities.discard?.maximumBytes ?? Self.erasurePiece
        return max(min(longest, Self.erasurePiece) / blockSize, 1) * blockSize
    }

    /// The last piece is on the medium.
    mutating func endErasure(_ command: consuming PendingCommand) {
        condition.erasure = nil
        condition.failure = nil
        sendNothing(command)
    }

    /// The medium is neither what it was nor what it was to be.
    mutating func failErasure(_ command: consuming PendingCommand, _ errno: Int32) {
        guard let erasure = condition.erasure else { preconditionFailure("no erasure to fail") }
        let failure = ErasureFailure(purpose: erasure.purpose, mayExit: erasure.mayExit)
        condition.erasure = nil
        condition.failure = failure
        report(.erasureFailed(slots[command.slot].pointee.cdb, errno: errno))
        finish(command, .check(failure.sense))
    }
}

extension MediumErasure {
    /// The pieces are written from memory, because nothing else gets there.
    func needsMemory(_ capabilities: BackendCapabilities) -> Bool {
        switch fill {
        case .nothing, .deallocation: false
        case .zeroes: !capabilities.nativeWriteZeroes
        case .pattern, .overwrite: true
        }
    }

    /// Fills `memory` with what the blocks of this pass hold.
    func prepare(_ memory: UnsafeMutableRawBufferPointer, blockSize: Int) {
        guard blockSize > 0, memory.count >= blockSize else { return }
        let block = UnsafeMutableRawBufferPointer(rebasing: memory[..<blockSize])
        switch fill {
        case .nothing, .deallocation, .zeroes: block.initializeMemory(as: UInt8.self, repeating: 0)
        case .pattern(let parameters): parameters.fill(block)
        case .overwrite(let parameters):
            parameters.fill(block, inverted: parameters.isInverted(pass: pass))
        }
        BounceBuffer.replicate(memory, patternLength: blockSize)
    }
}
