internal import BlockBackend
internal import Glibc
internal import Reactor
internal import SCSI

extension LogicalUnit where Backend: ~Copyable {
    /// The same for a command that waited, and is looked at anew.
    @inline(never)
    mutating func dispatchAnew(_ command: consuming PendingCommand) { dispatch(command) }

    /// Decodes a command and starts it: answered here, or with the backend, or parked. Part of the loop that takes commands, and of
    /// nothing else: a second caller would have the compiler make it a call, 20 instructions per command.
    @inline(__always)
    mutating func dispatch(_ command: consuming PendingCommand) {
        let record = slots[command.slot]
        switch decode(command.slot) {
        case .command(let decoded):
            if !condition.isClear, let outcome = refusal(of: decoded) { return finish(command, outcome) }
            // The one way to a command's beginning. LIO has judged READ and WRITE by the direction of their data; they do not go
            // through `start`, which would look once more what they are.
            if case .read(let access) = decoded { return read(command, access) }
            if case .write(let access) = decoded { return write(command, access) }
            if needsExclusion(decoded) { return awaitFacts(command, .exclusion) }
            start(command, decoded)
        case .refused(let sense):
            // What the medium is going through comes before what is wrong with a command for it.
            if !condition.isClear, let state = condition.refusal(ofMalformed: record.pointee.cdb, sense) {
                return finish(command, .check(state))
            }
            if sense == .invalidCommandOperationCode { tellUnsupported(record.pointee.cdb) }
            finish(command, .check(sense))
        }
    }

    /// What the CDB in a slot says, for a unit that serves what its backend can do.
    func decode(_ slot: Int) -> Decoded {
        CommandDecoder.decode(slots[slot].pointee.cdb, serving: advertisement.commands)
    }

    /// Starts a decoded command.
    ///
    /// - Parameter known: what configfs says, for a command that has waited for it.
    mutating func start(_ command: consuming PendingCommand, _ decoded: Command, _ known: KnownFacts? = nil) {
        switch decoded {
        case .read(let access): read(command, access)
        case .write(let access): write(command, access)
        case .synchronizeCache(let synchronize): synchronizeCache(command, synchronize)
        case .unmap(let unmap): self.unmap(command, unmap)
        case .writeSame(let same): writeSame(command, same)
        case .compareAndWrite(let compare): compareAndWrite(command, compare)
        case .verify(let verify): self.verify(command, verify)
        case .writeAndVerify(let verify): writeAndVerify(command, verify)
        case .orWrite(let access): orWrite(command, access)
        case .writeAtomic(let access): writeAtomic(command, access)
        case .prefetch(let prefetch): self.prefetch(command, prefetch)
        case .getLBAStatus(let status): getLBAStatus(command, status)
        case .logSense(let log): logSense(command, log)
        case .formatUnit(let format): formatUnit(command, format)
        case .sanitize(let sanitize): self.sanitize(command, sanitize)
        case .testUnitReady, .startStopUnit, .sendDiagnostic, .preventAllowMediumRemoval: sendNothing(command)
        case .requestSense(let request): requestSense(command, request)
        case .readCapacity10: send(command, profile.capacity.readCapacity10, allocationLength: 8)
        case .readCapacity16(let allocationLength): readCapacity16(command, allocationLength)
        case .modeSense(let sense): modeSense(command, sense)
        case .modeSelect(let select): modeSelect(command, select)
        case .readDefectData(let defects):
            send(command, defects.response, allocationLength: defects.allocationLength)
        case .reportSupportedTaskManagementFunctions(let report):
            send(command, report.response, allocationLength: report.allocationLength)
        case .inquiry(let inquiry):
            guard let known else { return awaitFacts(command, .paths) }
            self.inquiry(command, inquiry, known)
        case .reportTargetPortGroups(let report):
            guard let known else { return awaitFacts(command, .paths) }
            reportTargetPortGroups(command, report, known)
        case .setTargetPortGroups(let set):
            guard let known else { return awaitFacts(command, .paths) }
            setTargetPortGroups(command, set, known)
        case .extendedCopy(let copy):
            guard let known else { return awaitFacts(command, .paths) }
            extendedCopy(command, copy, known.facts)
        case .receiveCopyResults(let receive):
            guard let known else { return awaitFacts(command, .paths) }
            receiveCopyResults(command, receive, known.facts)
        case .reportSupportedOperationCodes(let report):
            guard let known else { return awaitFacts(command, .paths) }
            reportOperationCodes(command, report, known.facts)
        }
    }

    // MARK: - Checks that need the unit

    /// What a command is answered because of the state the unit is in; nil where nothing is in the way.
    mutating func refusal(of command: Command) -> CommandOutcome? {
        condition.refusal(
            of: command, now: now, hasOtherPaths: (facts?.targetPortGroups.count ?? 0) > 1)
    }

    /// What a command for these blocks is answered without being carried out: they do not exist, may not be written,
    /// or a command before is stuck. nil where nothing is in the way.
    ///
    /// - Parameter modifies: the command alters the medium.
    func refusal(of range: BlockRange, modifies: Bool) -> CommandOutcome? {
        if modifies && isWriteProtected { return .check(.writeProtected) }
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
    @inline(__always)
    mutating func fitBuffer(_ slot: Int, to bytes: UInt64) -> CommandOutcome? {
        slots[slot].pointee.segmentBytes == bytes ? nil : cutBuffer(slot, to: bytes)
    }

    private mutating func cutBuffer(_ slot: Int, to bytes: UInt64) -> CommandOutcome? {
        let delivered = slots[slot].pointee.segmentBytes
        if delivered < bytes {
            tellShortBuffer(slots[slot].pointee.cdb, expected: bytes, delivered: delivered)
            return .check(.internalTargetFailure)
        }
        // The rest is out of sight from here on, but not out of the kernel's.
        zeroRest(slot, from: bytes)
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
        // A survey says nothing about reads and writes: monitors may be slow while the OSDs are well.
        let limited = slots[command.slot].pointee.stage != .survey
        slots[command.slot].pointee.deadline = limited ? deadline.map { now &+ $0 } ?? .max : .max
        slots.park(command, as: .inFlight)
    }

    /// Takes the answers at the head of a chain that are for this unit. Returns the rest of the chain.
    mutating func takeCompletions(
        _ chain: UnsafeMutablePointer<CompletionNode>, now: Int64
    ) -> UnsafeMutablePointer<CompletionNode>? {
        self.now = now
        var next: UnsafeMutablePointer<CompletionNode>? = chain
        var taken = 0
        while let node = next, node.pointee.unit == index {
            if taken == Limits.batch {
                taken = 0
                publishEarly()
            }
            taken += 1
            // Read before the command goes on: its next operation uses the node again.
            next = node.pointee.following
            let result = IOResult(code: node.pointee.result, detail: node.pointee.detail)
            forgive(Int(node.pointee.slot))
            advance(slots.resume(Int(node.pointee.slot), from: .inFlight), result)
        }
        return next
    }

    /// The operation that was late has come back: the command's next step starts in time.
    private mutating func forgive(_ slot: Int) {
        guard slots[slot].pointee.isLate else { return }
        slots[slot].pointee.isLate = false
        lateCommands -= 1
        if lateCommands == 0 { report(.lateCommandsAnswered) }
    }

    /// An operation of the command has ended: the next one, or the answer.
    mutating func advance(_ command: consuming PendingCommand, _ result: IOResult) {
        let slot = command.slot
        let record = slots[slot]
        let stage = record.pointee.stage
        if stage == .step { return stepEnded(command, result) }
        guard result.isSuccess else {
            if stage == .modeFlush { modeFlushEnded(succeeded: false) }
            if stage == .nativeCompareAndWrite && result.isMiscompare {
                return finish(command, .check(.miscompareDuringVerify(at: result.detail)))
            }
            if stage == .survey && record.pointee.isDetached { return spaceUnknown(command, errno: -result.code) }
            if result.isRightAwaited && mayBeginAnew(slot) { return awaitRight(command, result) }
            noteFailure(slot, result)
            return finish(
                command, SenseTable.outcome(of: result.code, at: stage, afterFlush: record.pointee.afterFlush))
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
            record.pointee.stage = record.pointee.afterFlush
            settle(command, backend.flush(ticket: slots.ticket(slot)))
        case .readFlush:
            record.pointee.stage = .read
            settle(
                command,
                backend.readMedium(record.pointee.extent, into: slots.segments(slot), ticket: slots.ticket(slot)))
        case .flush, .prefetch: finish(command, .good)
        case .modeFlush:
            modeFlushEnded(succeeded: true)
            finish(command, .good)
        case .compareRead: compareAndWriteSecondHalf(command)
        case .compareWrite, .compareFlush, .nativeCompareAndWrite:
            noteSpaceUsed(record.pointee.extent.length)
            finish(command, .good)
        case .orRead: orWriteSecondHalf(command)
        case .survey: answerSurvey(command)
        case .step, .stepAlone, .erase: preconditionFailure("a command at \(stage) has no single operation")
        }
    }

    /// Passes a failure on to the backend and to people.
    mutating func noteFailure(_ slot: Int, _ result: IOResult) {
        // EAGAIN is no failure: the right to write has been asked for, and the command comes again.
        guard result.code != -EAGAIN && !result.isRightAwaited else { return }
        backend.operationFailed(result.code)
        tellBackendError(slots[slot].pointee.cdb, errno: -result.code)
    }

    private mutating func countWrite(_ bytes: UInt64) {
        counters.writes &+= 1
        counters.writeBytes &+= bytes
        noteSpaceUsed(bytes)
    }
}
