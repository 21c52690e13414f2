internal import BlockBackend
internal import Glibc
internal import SCSI

/// FORMAT UNIT and SANITIZE: the whole medium, piece by piece, with everything else refused meanwhile.
extension LogicalUnit where Backend: ~Copyable {
    /// FORMAT UNIT (SBC-3 5.3). Block size and capacity stay; the blocks are filled with zeros or the pattern given.
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
                // Zeros that a thin unit need not keep.
                backend.capabilities.discard?.readsZeros == true ? .deallocation : .zeroes
            }
        erase(command, MediumErasure(.format, fill, size: mediumBytes), immediate: parameters.immediate)
    }

    /// SANITIZE (SBC-3 5.24).
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
            guard erasureChange == nil else { return finish(command, .status(.busy)) }
            return keepExit(command)
        }
        sendNothing(command)
    }

    /// Bytes of the whole medium.
    var mediumBytes: UInt64 {
        BlockRange(lba: 0, blocks: profile.capacity.blocks).byteRange(in: profile.capacity)?.length ?? 0
    }

    // MARK: - From beginning to end

    private mutating func erase(
        _ command: consuming PendingCommand, _ erasure: MediumErasure, immediate: Bool
    ) {
        let slot = command.slot
        // It may have waited for configfs meanwhile: nothing is begun that the next look would end.
        guard mode == .serving else { return finish(command, .status(.busy)) }
        // Before anybody is told GOOD: what is begun without the right to write ends with its first piece.
        let claim = backend.claimWriting()
        guard claim.isSuccess else { return awaitRight(command, claim) }
        // One at a time.
        guard erasureChange == nil else { return finish(command, .status(.busy)) }
        // It goes on, whatever the kernel has told the initiator, and the medium is refused by the erasure itself meanwhile.
        slots[slot].pointee.expiry = .max
        keepBeginning(command, erasure, immediate: immediate)
    }

    /// Answers now; the command goes on without its ring entry and without its data buffer, which is zeroed as
    /// ``sendNothing(_:)`` does it.
    mutating func detach(_ slot: Int, _ outcome: CommandOutcome = .good) {
        if mode != .ringless {
            zeroRest(slot, from: 0)
            respond(slots[slot], outcome)
        }
        slots[slot].pointee.isDetached = true
        slots[slot].pointee.expiry = .max
        slots[slot].pointee.segmentCount = 0
        slots[slot].pointee.segmentBytes = 0
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
