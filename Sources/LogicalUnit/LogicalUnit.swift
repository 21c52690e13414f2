internal import BlockBackend
internal import Reactor
internal import SCSI
internal import TCMURing

/// One logical unit at work: ring -> command -> backend -> ring.
///
/// Owned by one loop thread. Nothing here allocates (but for a look at the space left, one in 256 MiB written), locks,
/// reads a clock or makes a system call per READ or WRITE; the loop gives the time, the ring is rung once for up to sixteen answers.
struct LogicalUnit<Backend: BlockBackend & ~Copyable>: ~Copyable {
    /// What the unit does with its ring.
    enum Mode {
        /// Takes and answers commands.
        case serving
        /// Takes no more; what is in flight is answered.
        case draining
        /// Has no ring; what comes back from the backend is dropped.
        case ringless
    }

    var backend: Backend
    var ring: CommandRing?
    /// The initiator can be told how much of its buffer is valid. Kept beside the ring, which is not looked into for it
    /// per command.
    var saysLength: Bool
    var slots: SlotTable
    let index: UInt32
    /// Changed by a resize alone.
    var profile: UnitProfile
    var advertisement: Advertisement
    let report: UnitReporter
    let deadline: Int64?

    var mode = Mode.serving
    var gate = ExclusionGate()
    /// Something ended that waiting commands may have waited for.
    var gateMoved = false
    /// The ring may hold entries that were left there for want of a slot, or of room among the open ones.
    private var starved = false
    var counters = UnitCounters()
    /// Coarse milliseconds of this turn.
    var now: Int64 = 0

    /// What configfs said last.
    var facts: BackstoreFacts?
    /// Whom LIO excluded then, and when that was told, in coarse milliseconds.
    var lastExclusion = Exclusion.nobody
    var exclusionAge = Int64.min / 2
    /// Commands parked until configfs has been read for them.
    var awaitingFacts: FactsQueue

    /// Commands parked until the backend has the right to write, oldest first, and when they have waited long enough.
    var awaitingRight: [Int] = []
    var rightDeadline = Int64.max

    /// A change of access states under way.
    var accessStateChange: AccessStateChange?
    /// `BlockBackend.takeovers` under which the local group is active/optimized, where initiators set states; nil
    /// while it is not.
    var optimizedAt: UInt64?

    /// Commands in flight that have been reported as late.
    var lateCommands = 0
    /// Milliseconds after which the kernel gives up a command that has been taken; nil is never. The kernel's own default
    /// until configfs has been read.
    var kernelPatience: Int64?
    /// When it gives up a command that is taken in this turn: coarse milliseconds, or never.
    private var expiry = Int64.max
    /// Multi-step commands that hold memory.
    var bouncesInUse = 0
    private var eventsSinceClear = 0
    private var told = Told()

    /// Coarse milliseconds at which configfs was last asked for that.
    var factsWanted = Int64.min / 2
    /// Long commands, see ``LongCommand``.
    var longCommands = 0
    /// Those between two steps, oldest first.
    var yielded: [Int] = []
    /// Those whose next step waits for the steps of others, oldest first.
    var awaitingRoom: [Int] = []
    /// A step has ended for which they wait.
    var roomMoved = false
    /// What the steps under way weigh together; see ``StepLimits/weight(of:)``.
    var weightInFlight: UInt64 = 0
    /// The mode parameters, as MODE SELECT has left them.
    var modes: ModePages
    /// A MODE SELECT under way.
    var modeChange: ModeChange?
    /// A word on erasures under way to the control plane.
    var erasureChange: ErasureChange?
    /// A cache may hold writes answered while WCE was 1, or by an earlier daemon: the next MODE SELECT that leaves WCE at 0
    /// flushes, until a flush succeeds.
    var owesFlush = true
    /// Writes are refused, by the backend or by SWP.
    var isWriteProtected: Bool
    /// What stands between initiators and the medium; ``UnitCondition/isClear`` nearly always.
    var condition = UnitCondition()
    /// Bytes that may be written before the space left is looked at; see ``LogicalUnit/checkSpace()``.
    var bytesUntilSpaceCheck = Int64.max
    /// The last look found less space than the soft threshold.
    var isShortOfSpace = false
    /// Coarse milliseconds before which no further look is taken.
    var nextSpaceLook = Int64.min
    /// The last look failed.
    var isSpaceUnknown = false
    /// A look is under way.
    var isCheckingSpace = false
    /// Copies whose status initiators may ask for.
    var copies = CopyHistory()

    /// Room for one sense, written here and copied into the ring.
    let senseBuffer = SenseBuffer()

    /// What has been told already, so that a busy initiator cannot flood the log.
    private struct Told {
        var operations: Set<UInt8> = []
        var shortBuffer = false
        var segments = false
        var backendError: Int64 = .min
    }

    /// - Parameter slots: of unit number `index`.
    init(
        profile: UnitProfile, backend: consuming Backend, ring: consuming CommandRing, slots: consuming SlotTable,
        index: UInt32, report: @escaping UnitReporter
    ) {
        let advertisement = Advertisement(profile: profile, capabilities: backend.capabilities)
        self.advertisement = advertisement
        var modes = advertisement.modePages
        if let kept = profile.keptModes { modes.parameters = kept }
        self.modes = modes
        isWriteProtected = modes.isWriteProtected
        condition.failure = profile.keptErasure.map { ErasureFailure($0) }
        self.backend = backend
        saysLength = ring.features.contains(.readLength)
        self.ring = consume ring
        self.slots = slots
        self.index = index
        self.profile = profile
        self.report = report
        deadline = profile.commandTimeout
        kernelPatience = profile.isGivenUpByKernel ? Limits.patience(kernelTimeout: Limits.kernelTimeout) : nil
        awaitingFacts = FactsQueue(patience: profile.factsPatience)
        if advertisement.softThresholdBytes != nil { bytesUntilSpaceCheck = profile.bytesBeforeSpaceLook }
        // First insertions allocate; they belong to open, not to a command.
        awaitingRight.reserveCapacity(16)
    }

    // MARK: - A turn

    mutating func service(now: Int64) -> ServiceResult {
        self.now = now
        expiry = kernelPatience.map { now &+ $0 } ?? .max
        var hasMore = false
        // Before what came later.
        if !awaitingRight.isEmpty { resumeAwaitingRight() }
        do throws(RingError) {
            if mode == .serving { hasMore = try takeCommands() }
        } catch {
            loseRing(.ringFailed(error))
        }
        while gateMoved { admitWaiting() }
        if roomMoved { admitToRoom() }
        if !yielded.isEmpty { resumeYielded() }
        var mustSubmitAgain = false
        if slots.inUse > 0 {
            backend.submitBatch()
            backend.reap()
            // Unfinished operations may have queued their next step.
            mustSubmitAgain = !backend.submitBatch()
        }
        if !publish() { loseRing(.ringGone) }
        if mode == .ringless {
            if !awaitingRight.isEmpty { refuseAwaitingRight(.busy) }
            // What no answer from the backend will come for is ended first: the unit is closed when nothing is left.
            return gateMoved || mustSubmitAgain || !yielded.isEmpty ? .again : .ringLost
        }
        // Starved, and room came within this turn: no event will tell of what is still in the ring.
        let canTakeMore = hasMore || (starved && slots.inUse < slots.capacity && !(ring?.isFull ?? true))
        starved = false
        return canTakeMore || gateMoved || mustSubmitAgain || !yielded.isEmpty ? .again : .idle
    }

    /// Whether a turn would find something, by a look at memory: a command in the ring, or an answer of the backend.
    mutating func hasWork() -> Bool {
        // Commands for which there is no slot wait for an answer, which will be seen.
        if mode == .serving, slots.inUse < slots.capacity, let isNews = ring?.hasNews(), isNews { return true }
        return slots.inUse > 0 && backend.hasAnswers
    }

    /// Takes up to a batch of commands. Returns whether the ring holds more that could be taken at once.
    private mutating func takeCommands() throws(RingError) -> Bool {
        try ring?.checkTail()
        for _ in 0..<Limits.batch {
            // No slot: completions will bring the next turn.
            guard let command = slots.acquire() else {
                starved = true
                return false
            }
            let item: RingItem?
            do throws(RingError) {
                item = try ring?.next()
            } catch {
                slots.release(command)
                throw error
            }
            switch item {
            case .command(let entry): try begin(command, entry)
            case .taskManagement(let notice):
                slots.release(command)
                report(.taskManagement(notice.name, commands: notice.commandCount))
                letGo(of: notice)
            case .unknown(let commandID, _):
                slots.release(command)
                ring?.complete(.unknownOperation(commandID))
            case nil:
                slots.release(command)
                if ring?.isFull ?? false { starved = true }
                return false
            }
        }
        return true
    }

    /// Copies everything out of the entry, before any completion can overwrite it, and dispatches.
    @inline(__always)
    private mutating func begin(_ command: consuming PendingCommand, _ entry: RingEntry) throws(RingError) {
        let slot = command.slot
        let record = slots[slot]
        record.pointee.commandID = entry.commandID
        record.pointee.begin(expiry: expiry)
        guard entry.segmentCount <= Limits.segments else {
            record.pointee.segmentCount = 0
            record.pointee.bufferBytes = 0
            tellSegments(entry.segmentCount)
            return finish(command, .check(.invalidFieldInCDB))
        }
        do throws(RingError) {
            let (count, bytes) = try ring?.copySegments(entry, into: slots.iovecs(slot)) ?? (0, 0)
            record.pointee.segmentCount = count
            record.pointee.segmentBytes = bytes
            record.pointee.bufferBytes = bytes
        } catch {
            slots.release(command)
            throw error
        }
        copyCommandBlock(entry, into: record)
        // No command here has data both ways, and what the kernel would hand out of the second buffer is stale.
        if entry.isBidirectional { return finish(command, .check(.invalidCommandOperationCode)) }
        dispatch(command)
    }

    private mutating func copyCommandBlock(_ entry: RingEntry, into record: UnsafeMutablePointer<CommandSlot>) {
        // SAFETY: the temporary is only used inside; 32 bytes are CDB's capacity.
        withUnsafeTemporaryAllocation(byteCount: CDB.capacity, alignment: 8) { buffer in
            let count = ring?.copyCommandBlock(entry, into: buffer) ?? 0
            record.pointee.cdb = CDB(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }

    /// Shows the kernel what was answered so far, in the middle of a long chain of answers.
    mutating func publishEarly() {
        if !publish() { loseRing(.ringGone) }
    }

    /// Shows the kernel what was answered in this turn. Returns false if its side is gone.
    private mutating func publish() -> Bool {
        switch ring?.publish() ?? .unchanged {
        case .unchanged: return true
        case .told:
            counters.doorbells &+= 1
            return true
        case .gone: return false
        }
    }

    /// Gives up a ring that is impossible or gone: nothing is read from it again, and after this turn nothing written.
    private mutating func loseRing(_ event: UnitEvent) {
        guard mode != .ringless else { return }
        mode = .ringless
        report(event)
    }

    mutating func ringSignalled(failed: Bool) {
        if failed { return loseRing(.ringGone) }
        eventsSinceClear += 1
        if eventsSinceClear >= Limits.eventsPerClear {
            eventsSinceClear = 0
            ring?.clearNotification()
        }
    }

    // MARK: - Answers

    /// Answers a command and frees its slot.
    mutating func finish(_ command: consuming PendingCommand, _ outcome: CommandOutcome) {
        let slot = command.slot
        let record = slots[slot]
        counters.commands &+= 1
        if let reply = record.pointee.reply {
            record.pointee.reply = nil
            reply.post(outcome.asResult)
        } else if mode != .ringless && !record.pointee.isDetached {
            // The kernel hands the buffer out with any status but CHECK CONDITION, as with GOOD.
            if case .status = outcome { zeroRest(slot, from: 0) }
            respond(record, outcome)
        }
        if record.pointee.isLate {
            lateCommands -= 1
            if lateCommands == 0 { report(.lateCommandsAnswered) }
        }
        if record.pointee.bounce != nil {
            record.pointee.bounce = nil
            bouncesInUse -= 1
        }
        if let extras = record.pointee.extras {
            if extras.run != nil { longCommands -= 1 }
            if extras.needsRight { backend.endNeedingRight() }
            if record.pointee.stage == .survey && record.pointee.isDetached { isCheckingSpace = false }
            record.pointee.extras = nil
        }
        if !gate.isIdle && gate.ended(slot, slots: slots) { gateMoved = true }
        slots.release(command)
    }

    /// Answers a command, and only that: its slot stays in use.
    @inline(__always)
    mutating func respond(_ record: UnsafeMutablePointer<CommandSlot>, _ outcome: CommandOutcome) {
        let commandID = record.pointee.commandID
        switch outcome {
        case .good:
            ring?.complete(RingResponse(commandID: commandID, status: Status.good.rawValue))
        case .data(let count):
            let partial = UInt64(count) < record.pointee.bufferBytes
            ring?.complete(
                RingResponse(
                    commandID: commandID, status: Status.good.rawValue, readLength: partial ? count : nil))
        case .status(let status):
            counters.busy &+= 1
            ring?.complete(RingResponse(commandID: commandID, status: status.rawValue))
        case .check(let sense): respond(commandID, sense)
        }
    }

    /// CHECK CONDITION. Apart and not inlined, so that the usual answers do not carry its weight.
    @inline(never)
    private mutating func respond(_ commandID: UInt16, _ sense: Sense) {
        counters.checkConditions &+= 1
        let count =
            modes.descriptorSense
            ? sense.descriptor(into: senseBuffer.bytes) : sense.fixed(into: senseBuffer.bytes)
        ring?.complete(
            RingResponse(commandID: commandID, status: Status.checkCondition.rawValue),
            sense: UnsafeRawBufferPointer(rebasing: senseBuffer.bytes[..<count]))
    }

    // MARK: - Things told once

    mutating func tellUnsupported(_ cdb: CDB) {
        if told.operations.insert(cdb.operationCode).inserted { report(.unsupportedOperation(cdb)) }
    }

    mutating func tellShortBuffer(_ cdb: CDB, expected: UInt64, delivered: UInt64) {
        if told.shortBuffer { return }
        told.shortBuffer = true
        report(.shortBuffer(cdb, expected: expected, delivered: delivered))
    }

    mutating func tellBackendError(_ cdb: CDB, errno: Int32) {
        guard now &- 1000 >= told.backendError else { return }
        told.backendError = now
        report(.backendError(cdb, errno: errno))
    }

    private mutating func tellSegments(_ count: Int) {
        if told.segments { return }
        told.segments = true
        report(.tooManySegments(count))
    }
}

/// Memory for one sense. An owner of its own, since optimised builds leave out the deinit of a generic unit.
struct SenseBuffer: ~Copyable {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 32, alignment: 8)

    deinit {
        bytes.deallocate()
    }
}
