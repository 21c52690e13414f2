internal import BlockBackend
internal import Reactor
internal import SCSI

extension LogicalUnit where Backend: ~Copyable {
    /// Decodes a command and starts it: answered here, or with the backend, or parked.
    mutating func dispatch(_ command: consuming PendingCommand) {
        let record = slots[command.slot]
        switch CommandDecoder.decode(record.pointee.cdb) {
        case .command(let decoded): start(command, decoded)
        case .refused(let sense):
            if sense == .invalidCommandOperationCode { tellUnsupported(record.pointee.cdb) }
            finish(command, .check(sense))
        }
    }

    /// Starts a decoded command.
    mutating func start(_ command: consuming PendingCommand, _ decoded: Command) {
        switch decoded {
        case .read(let access): read(command, access)
        case .write(let access): write(command, access)
        case .synchronizeCache(let synchronize): synchronizeCache(command, synchronize)
        case .unmap(let unmap): self.unmap(command, unmap)
        case .writeSame(let same): writeSame(command, same)
        case .compareAndWrite(let compare): compareAndWrite(command, compare)
        case .testUnitReady, .startStopUnit: sendNothing(command)
        case .requestSense, .readCapacity10, .readCapacity16, .modeSense:
            answerFromProfile(command, decoded)
        case .modeSelect(let select): modeSelect(command, select)
        case .inquiry, .reportTargetPortGroups: answerFromFacts(command, decoded)
        case .verify, .writeAndVerify, .orWrite, .writeAtomic, .prefetch, .readDefectData, .getLBAStatus, .sanitize,
            .formatUnit, .logSense, .preventAllowMediumRemoval, .extendedCopy, .receiveCopyResults,
            .reportSupportedOperationCodes, .reportSupportedTaskManagementFunctions:
            finish(command, .check(.invalidCommandOperationCode))
        }
    }

    // MARK: - Checks that need the unit

    /// The bytes that a command's blocks are, or nil after the command was answered: the blocks do not exist, may
    /// not be written, or a command before is stuck.
    ///
    /// - Parameters:
    ///   - bufferBlocks: how many blocks the data buffer must hold; 0 for commands without data.
    ///   - modifies: the command alters the medium.
    func refusal(of range: BlockRange, modifies: Bool) -> CommandOutcome? {
        if modifies && backend.capabilities.readOnly { return .check(.writeProtected) }
        if lateCommands > 0 { return .status(.busy) }
        if range.byteRange(in: profile.capacity) == nil { return .check(.logicalBlockAddressOutOfRange) }
        return nil
    }

    /// Where existing blocks lie. Call after ``refusal(of:modifies:)`` said nothing.
    func extent(of range: BlockRange) -> ByteExtent {
        let bytes = range.byteRange(in: profile.capacity) ?? (0, 0)
        return ByteExtent(offset: bytes.offset, length: bytes.length)
    }

    /// Makes the data buffer exactly `bytes` long.
    ///
    /// - Returns: what to answer when it is shorter: the original's INTERNAL TARGET FAILURE, and nothing is read
    ///   beyond what came.
    mutating func fitBuffer(_ slot: Int, to bytes: UInt64) -> CommandOutcome? {
        let delivered = slots[slot].pointee.segmentBytes
        if delivered == bytes { return nil }
        if delivered < bytes {
            tellShortBuffer(slots[slot].pointee.cdb, expected: bytes, delivered: delivered)
            return .check(.internalTargetFailure)
        }
        slots.trim(slot, to: bytes)
        return nil
    }

    // MARK: - To the backend and back

    /// Takes a backend's first word on an operation.
    mutating func settle(_ command: consuming PendingCommand, _ submission: Submission) {
        switch submission {
        case .pending: park(command)
        case .done(let result):
            advance(command, result)
        }
    }

    /// Leaves the command to the backend. Its time limit begins here: waiting for other commands, and the steps that a
    /// long command has taken so far, are not the backend's.
    mutating func park(_ command: consuming PendingCommand) {
        slots[command.slot].pointee.deadline = deadline.map { now &+ $0 } ?? .max
        slots.park(command, as: .inFlight)
    }

    /// Takes the answers at the head of a chain that are for this unit. - Returns: the rest of the chain.
    mutating func takeCompletions(
        _ chain: UnsafeMutablePointer<CompletionNode>
    ) -> UnsafeMutablePointer<CompletionNode>? {
        var next: UnsafeMutablePointer<CompletionNode>? = chain
        while let node = next, node.pointee.unit == index {
            // Read before the command goes on: its next operation uses the node again.
            next = node.pointee.following
            let result = IOResult(code: node.pointee.result, detail: node.pointee.detail)
            advance(slots.resume(Int(node.pointee.slot), from: .inFlight), result)
        }
        return next
    }

    /// An operation of the command has ended: the next one, or the answer.
    mutating func advance(_ command: consuming PendingCommand, _ result: IOResult) {
        let slot = command.slot
        let record = slots[slot]
        let stage = record.pointee.stage
        guard result.isSuccess else {
            let isRead = stage == .read || stage == .compareRead
            if stage == .nativeCompareAndWrite && result.isMiscompare {
                return finish(command, .check(.miscompareDuringVerify(at: result.detail)))
            }
            tellBackendError(record.pointee.cdb, errno: -result.code)
            return finish(command, SenseTable.outcome(of: result.code, isRead: isRead))
        }
        switch stage {
        case .read:
            counters.reads &+= 1
            counters.readBytes &+= record.pointee.extent.length
            finish(command, .data(UInt32(truncatingIfNeeded: record.pointee.extent.length)))
        case .write:
            countWrite(record.pointee.extent.length)
            finish(command, .good)
        case .writeThenFlush:
            record.pointee.stage = .write
            settle(command, backend.flush(ticket: slots.ticket(slot)))
        case .flush, .writeZeroes, .nativeCompareAndWrite: finish(command, .good)
        case .discard: discardNext(command)
        case .writeSame: continueWriteSame(command)
        case .compareRead: compareAndWriteSecondHalf(command)
        case .compareWrite: finish(command, .good)
        }
    }

    private mutating func countWrite(_ bytes: UInt64) {
        counters.writes &+= 1
        counters.writeBytes &+= bytes
    }
}
