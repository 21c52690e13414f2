internal import BlockBackend
internal import Glibc
internal import SCSI

/// The one loop that carries out long commands, step by step. Whatever may end one is looked at here, before each step,
/// and nowhere else (docs/adr/0017).
extension LogicalUnit where Backend: ~Copyable {
    /// Steps that a long command takes before others have their turn, where the backend answers at once.
    static var stepsPerTurn: Int { 8 }

    /// How much one step may cover.
    var stepLimits: StepLimits { StepLimits(backend.capabilities, blockSize: profile.capacity.blockSize) }

    /// Starts a long command of which everything is checked.
    ///
    /// - Parameter stage: `.step`; or, for a command whose blocks nothing else may touch, the stage in which it waits for
    ///   that, and then `whole` are its blocks.
    mutating func beginLong(
        _ command: consuming PendingCommand, _ procedure: LongRun.Procedure, as stage: Stage = .step,
        whole: ByteExtent = ByteExtent(offset: 0, length: 0)
    ) {
        let slot = command.slot
        slots[slot].pointee.stage = stage
        let run = LongRun(procedure)
        if run.claimsItself {
            let claim = backend.claimWriting()
            guard claim.isSuccess else { return awaitRight(command, claim) }
        }
        let extras = CommandExtras()
        extras.run = run
        if run.needsRight {
            extras.needsRight = true
            backend.beginNeedingRight()
        }
        slots[slot].pointee.extras = extras
        slots[slot].pointee.writeGeneration = backend.writeGeneration
        slots[slot].pointee.extent = whole
        longCommands += 1
        if stage.isExclusive {
            if mustWait(slot, exclusive: true) { return hold(command) }
            return beginAlone(command)
        }
        continueLong(command)
    }

    /// Nothing else touches the command's blocks: starts with its first step.
    mutating func beginAlone(_ command: consuming PendingCommand) {
        gate.start(command.slot)
        slots[command.slot].pointee.stage = .step
        continueLong(command)
    }

    /// Takes the next steps of a long command, or ends it.
    ///
    /// - Parameters:
    ///   - admitted: the command has waited for its next piece.
    ///   - hasRoom: it has waited for room, and there is some.
    mutating func continueLong(
        _ command: consuming PendingCommand, admitted: Bool = false, hasRoom: Bool = false
    ) {
        let slot = command.slot
        var hasRoom = hasRoom
        guard let extras = slots[slot].pointee.extras, var run = extras.run else {
            preconditionFailure("a command at its next step without a plan")
        }
        run.isAdmitted = run.isAdmitted || admitted
        let limits = stepLimits
        for _ in 0..<Self.stepsPerTurn {
            guard let step = run.next(limits, erasure: condition.erasure, flushes: writesThrough) else {
                extras.run = run
                return endLong(command, run)
            }
            if let interruption = interruption(of: run, slot) { return endEarly(command, run, interruption) }
            let weight = limits.weight(of: step)
            guard weight == 0 || hasRoom || isRoom(for: weight) else {
                extras.run = run
                return awaitRoom(command)
            }
            hasRoom = false
            // Bound: a long command holds up nobody but for the piece under way, unless all of its blocks are its own.
            if !run.keepsAll {
                var own = ByteExtent(offset: 0, length: 0)
                if case .own = step.endpoint { own = step.extent }
                guard beginPiece(slot, own, admitted: run.isAdmitted) else {
                    extras.run = run
                    return hold(command)
                }
            }
            guard prepareMemory(slot, run, limits) else {
                extras.run = run
                return endWithoutMemory(command, run)
            }
            run.isAdmitted = false
            let hadBegun = run.hasBegun
            run.hasBegun = hadBegun || step.changesMedium
            run.step = step
            run.weight = weight
            extras.run = run
            slots[slot].pointee.stage = .step
            switch perform(step, slot) {
            case .pending:
                weightInFlight += weight
                return park(command)
            case .done(let result) where result.isSuccess:
                if let outcome = check(slot, run, step) { return finish(command, outcome) }
                advanceRun(&run, step)
                extras.run = run
            case .done(let result) where result.isRightAwaited && mode == .serving:
                run.hasBegun = hadBegun
                extras.run = run
                return awaitRightForStep(command, run)
            case .done(let result): return failLong(command, run, result)
            }
        }
        extras.run = run
        yield(command)
    }

    /// The step under way has come back from the backend.
    mutating func stepEnded(_ command: consuming PendingCommand, _ result: IOResult) {
        let slot = command.slot
        guard let extras = slots[slot].pointee.extras, var run = extras.run, let step = run.step else {
            preconditionFailure("an answer to no step")
        }
        weightInFlight -= run.weight
        roomMoved = !awaitingRoom.isEmpty
        guard result.isSuccess else { return failLong(command, run, result) }
        if let outcome = check(slot, run, step) { return finish(command, outcome) }
        advanceRun(&run, step)
        extras.run = run
        continueLong(command)
    }

    private mutating func advanceRun(_ run: inout LongRun, _ step: Step) {
        if run.command == .erasure { condition.erasure?.end(step) }
        run.advance()
    }

    // MARK: - What may end it

    /// What keeps a long command from its next step; nil nearly always.
    private func interruption(of run: LongRun, _ slot: Int) -> Interruption? {
        Interruption.allCases.first { isMet($0, run, slot) }
    }

    private func isMet(_ interruption: Interruption, _ run: LongRun, _ slot: Int) -> Bool {
        switch interruption {
        case .aborted: slots[slot].pointee.isAborted
        // An erasure goes on without the kernel: half of it would be worse (SBC-3 4.11.2).
        case .expired: slots[slot].pointee.expiry <= now && run.command != .erasure
        case .stopping: mode == .draining
        case .ringLost: mode == .ringless
        case .rightLost: run.needsRight && slots[slot].pointee.writeGeneration != backend.writeGeneration
        case .erasing: condition.erasure != nil && run.command != .erasure
        }
    }

    /// Answers a command that is not carried out to its end.
    private mutating func endEarly(
        _ command: consuming PendingCommand, _ run: LongRun, _ interruption: Interruption
    ) {
        switch run.command {
        case .erasure:
            // Nothing has been touched. But who was told GOOD already must learn that nothing will be.
            if !run.hasBegun && !slots[command.slot].pointee.isDetached {
                forgetErasure()
                return finish(command, .status(.busy))
            }
            failErasure(command, interruption == .rightLost ? EBUSY : ECANCELED)
        case .extendedCopy:
            if case .extendedCopy(let copy) = run.procedure { noteStatus(copy, .terminated) }
            finish(command, run.outcome(of: interruption, erasing: condition.erasure?.inProgress))
        case .verify, .writeAndVerify, .writeSame, .unmap:
            finish(command, run.outcome(of: interruption, erasing: condition.erasure?.inProgress))
        }
    }

    /// There is no memory for the first step: nothing has been touched.
    private mutating func endWithoutMemory(_ command: consuming PendingCommand, _ run: LongRun) {
        switch run.command {
        case .erasure:
            // But who was told GOOD already must learn that nothing will be.
            if slots[command.slot].pointee.isDetached { return failErasure(command, ENOMEM) }
            forgetErasure()
            finish(command, .status(.taskSetFull))
        case .extendedCopy: failCopy(command, run, IOResult(code: -ENOMEM))
        case .verify, .writeAndVerify, .writeSame, .unmap: finish(command, .status(.taskSetFull))
        }
    }

    /// A step has failed, and the command with it.
    mutating func failLong(_ command: consuming PendingCommand, _ run: LongRun, _ result: IOResult) {
        // What another unit said is about its storage.
        if case .own = run.step?.endpoint { noteFailure(command.slot, result) }
        switch run.command {
        case .erasure: failErasure(command, -result.code)
        case .extendedCopy: failCopy(command, run, result)
        case .verify, .writeAndVerify, .writeSame, .unmap:
            finish(command, SenseTable.outcome(of: result.code, isRead: run.step?.isRead ?? false))
        }
    }

    /// All steps are done.
    private mutating func endLong(_ command: consuming PendingCommand, _ run: LongRun) {
        switch run.command {
        case .verify: break
        case .writeAndVerify, .writeSame, .unmap: noteSpaceUsed(run.ownBytes)
        case .extendedCopy: endCopy(run)
        case .erasure: return keepEnd(command)
        }
        sendNothing(command)
    }

    // MARK: - Steps

    private mutating func perform(_ step: Step, _ slot: Int) -> Submission {
        let ticket = slots.ticket(slot)
        let extent = step.extent
        if case .peer(let peer) = step.endpoint {
            let blockSize = UInt64(peer.capacity.blockSize)
            let range = BlockRange(lba: extent.offset / blockSize, blocks: extent.length / blockSize)
            peer.submit(
                PeerRequest(
                    isWrite: step.changesMedium, isFirst: step.isFirst, range: range, memory: memory(slot, step),
                    ticket: ticket))
            return .pending
        }
        switch step.action {
        case .read: return backend.read(extent, into: slots.spare(slot, memory(slot, step)), ticket: ticket)
        case .readMedium:
            return backend.readMedium(extent, into: slots.spare(slot, memory(slot, step)), ticket: ticket)
        case .write:
            return backend.write(
                extent, from: slots.spare(slot, memory(slot, step)), durable: false, ticket: ticket)
        case .store:
            let durable = backend.capabilities.volatileCache && backend.capabilities.forceUnitAccess
            return backend.write(extent, from: slots.segments(slot), durable: durable, ticket: ticket)
        case .pattern:
            return backend.writeSame(
                extent, pattern: slots.segments(slot), patternLength: Int(profile.capacity.blockSize),
                ticket: ticket)
        case .zeroes: return backend.writeZeroes(extent, ticket: ticket)
        case .discard: return backend.discard(extent, ticket: ticket)
        case .flush: return backend.flush(ticket: ticket)
        }
    }

    private func memory(_ slot: Int, _ step: Step) -> UnsafeMutableRawBufferPointer {
        guard let bytes = slots[slot].pointee.bounce?.bytes else {
            preconditionFailure("a step without the memory it needs")
        }
        return UnsafeMutableRawBufferPointer(rebasing: bytes[..<Int(step.extent.length)])
    }

    /// Sees to it that the command's memory is there and holds what the next step writes. Returns false if there is none; that
    /// is found out before the first step.
    private mutating func prepareMemory(_ slot: Int, _ run: LongRun, _ limits: StepLimits) -> Bool {
        let blockSize = Int(profile.capacity.blockSize)
        if slots[slot].pointee.bounce == nil {
            let wanted = run.memoryBytes(
                limits, blockSize: blockSize, erasure: condition.erasure, backend.capabilities)
            if wanted == 0 { return true }
            guard let bytes = takeBounce(slot, byteCount: wanted) else { return false }
            fill(bytes, slot, run)
        }
        if case .erasure = run.procedure, let erasure = condition.erasure, erasure.startsPass,
            let bytes = slots[slot].pointee.bounce?.bytes
        {
            erasure.prepare(bytes, blockSize: blockSize)
        }
        return true
    }

    private func fill(_ memory: UnsafeMutableRawBufferPointer, _ slot: Int, _ run: LongRun) {
        let blockSize = Int(profile.capacity.blockSize)
        switch run.procedure {
        case .writeSame:
            slots.segments(slot).read(into: UnsafeMutableRawBufferPointer(rebasing: memory[..<blockSize]))
            BounceBuffer.replicate(memory, patternLength: blockSize)
        // The one block that all are compared with lies behind what is read.
        case .verify(let pass) where pass.byteCheck == .oneBlock,
            .writeAndVerify(let pass) where pass.byteCheck == .oneBlock:
            slots.segments(slot).read(
                into: UnsafeMutableRawBufferPointer(rebasing: memory[(memory.count - blockSize)...]))
        case .verify, .writeAndVerify, .unmap, .erasure, .extendedCopy: break
        }
    }

    /// What a command is answered because of what a step has read; nil to go on.
    private func check(_ slot: Int, _ run: LongRun, _ step: Step) -> CommandOutcome? {
        switch run.procedure {
        case .verify(let pass), .writeAndVerify(let pass):
            guard step.isRead else { return nil }
            return difference(slot, pass, step).map { .check(.miscompareDuringVerify(at: $0)) }
        case .writeSame, .unmap, .erasure, .extendedCopy: return nil
        }
    }

    // MARK: - Room

    /// Bound: the steps under way of all long commands of the unit weigh no more than ``Limits/stepBudget`` together, one step
    /// excepted, so that however many an initiator sends, its neighbours on the same disks have their share.
    private func isRoom(for weight: UInt64) -> Bool { awaitingRoom.isEmpty && fits(weight) }

    private func fits(_ weight: UInt64) -> Bool {
        weightInFlight == 0 || weightInFlight + weight <= Limits.stepBudget
    }

    /// Lays a command aside until steps of others have ended: behind those who wait already, or a long step would wait for
    /// ever while short ones come.
    private mutating func awaitRoom(_ command: consuming PendingCommand) {
        awaitingRoom.append(command.slot)
        slots.park(command, as: .yielded)
    }

    /// Steps have ended: goes on with those who wait for room, oldest first, as far as there is some. What ends before its
    /// next step ends here, too.
    mutating func admitToRoom() {
        roomMoved = false
        while let slot = awaitingRoom.first {
            guard let run = slots[slot].pointee.extras?.run else {
                preconditionFailure("no long command waits for room")
            }
            let step = run.next(stepLimits, erasure: condition.erasure, flushes: writesThrough)
            let weight = step.map { stepLimits.weight(of: $0) } ?? 0
            guard fits(weight) || interruption(of: run, slot) != nil else { return }
            awaitingRoom.removeFirst()
            continueLong(slots.resume(slot, from: .yielded), hasRoom: true)
        }
    }

    /// Lays a long command aside until the unit's next turn.
    mutating func yield(_ command: consuming PendingCommand) {
        yielded.append(command.slot)
        slots.park(command, as: .yielded)
    }

    /// Goes on with the long commands that were laid aside.
    mutating func resumeYielded() {
        let slots = yielded
        yielded.removeAll(keepingCapacity: true)
        for slot in slots { continueLong(self.slots.resume(slot, from: .yielded)) }
    }
}

extension LongRun {
    /// What a command is answered that ends between two steps; an erasure has an end of its own.
    ///
    /// - Parameter erasing: what commands for a medium that is being erased are told.
    func outcome(of interruption: Interruption, erasing: Sense?) -> CommandOutcome {
        switch interruption {
        case .aborted: .status(.taskAborted)
        // Nobody hears it.
        case .expired: .status(.busy)
        case .stopping, .ringLost, .rightLost: isRepeatable ? .status(.busy) : .check(.copyInterrupted)
        case .erasing:
            if command != .extendedCopy, let erasing {
                .check(erasing)
            } else {
                isRepeatable ? .status(.busy) : .check(.copyInterrupted)
            }
        }
    }
}

extension Sense {
    /// A copy that has written over some of what it reads has ended half-way: done again it would not leave the same bytes.
    /// COPY ABORTED, THIRD PARTY DEVICE FAILURE.
    static var copyInterrupted: Sense { Sense(.copyAborted, 0x0D, 0x01) }
}
