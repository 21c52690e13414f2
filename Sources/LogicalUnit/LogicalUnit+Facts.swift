internal import BlockBackend
internal import Glibc
internal import Reactor
internal import SCSI

/// What a command has to know of configfs before it is begun.
enum FactsNeed {
    /// Identity, ports and their groups.
    case paths
    /// Whom LIO excludes.
    case exclusion
}

/// What configfs says, as it was read for a command.
struct KnownFacts {
    let facts: BackstoreFacts
    /// Read since the command arrived. Identity does not change, but access states do: better none than old ones.
    let areFresh: Bool
}

/// Commands whose answer, or whose right to be carried out, lives in configfs.
///
/// configfs is never read on the loop, and no answer is older than the command: it waits until a reading that began
/// after it arrived has ended (docs/adr/0019).
extension LogicalUnit where Backend: ~Copyable {
    /// Whether the unit has to know whom LIO excludes before it begins the command. READ and WRITE are not asked about.
    func needsExclusion(_ command: Command) -> Bool {
        profile.isHeldToExclusion && command.changesMediumUnseen
    }

    /// Lets a command wait for a reading that begins from now on.
    mutating func awaitFacts(_ command: consuming PendingCommand, _ need: FactsNeed) {
        let slot = command.slot
        slots[slot].pointee.deadline = now &+ profile.factsPatience
        slots.park(command, as: .awaitingIdentity)
        if let request = awaitingFacts.add(slot, wantsExclusion: need == .exclusion, now: now) {
            report(.factsNeeded(request))
        }
    }

    /// Takes what a reading for the question `number` found, or nil if configfs could not be read, and goes on with
    /// those who waited for it.
    mutating func deliver(_ fresh: BackstoreFacts?, for number: UInt64, now: Int64) {
        self.now = now
        take(fresh)
        // Ordering: what waits for the right to write came before, and is begun before.
        if !awaitingRight.isEmpty { resumeAwaitingRight() }
        let (ready, next) = awaitingFacts.take(number, now: now)
        if let next { report(.factsNeeded(next)) }
        for slot in ready {
            // Unreadable: as the original with an unreadable serial, where nothing was ever read.
            carryOn(slots.resume(slot, from: .awaitingIdentity), fresh, otherwise: .check(.internalTargetFailure))
        }
    }

    /// Keeps what configfs says.
    mutating func take(_ fresh: BackstoreFacts?) {
        guard let fresh else { return }
        facts = fresh
        if profile.isGivenUpByKernel {
            kernelPatience = Limits.patience(kernelTimeout: Int64(fresh.commandTimeoutSeconds) * 1000)
        }
        if let exclusion = fresh.exclusion { (lastExclusion, exclusionAge) = (exclusion, now) }
        noteOptimized(fresh)
        profile.copyGroup?.announce(
            profile.copyIdentity, designator: UnitIdentity.nameDesignator(serial: fresh.serial))
    }

    /// configfs does not answer: who has waited long enough takes what there is, if that will do.
    mutating func stopAwaitingFacts() {
        for slot in awaitingFacts.expire({ slots[$0].pointee.deadline <= now }) {
            // Not read yet is not unreadable: the initiator comes again.
            carryOn(slots.resume(slot, from: .awaitingIdentity), nil, otherwise: .status(.busy))
        }
    }

    /// Goes on with a command that has waited.
    ///
    /// - Parameters:
    ///   - fresh: from a reading that began after the command arrived; nil where there is none.
    ///   - otherwise: the answer where nothing was ever read.
    private mutating func carryOn(
        _ command: consuming PendingCommand, _ fresh: BackstoreFacts?, otherwise: CommandOutcome
    ) {
        let slot = command.slot
        if let request = slots[slot].pointee.extras?.peer { return carryOn(command, request, fresh?.exclusion) }
        if let over = overOutcome(slot) { return finish(command, over) }
        guard case .command(let decoded) = decode(slot) else { return finish(command, otherwise) }
        // An erasure may have begun meanwhile, and an EXTENDED COPY must not follow it.
        if !condition.isClear, let outcome = refusal(of: decoded) { return finish(command, outcome) }
        if needsExclusion(decoded) {
            // Better none than one that is not allowed: unknown is BUSY.
            guard let exclusion = fresh?.exclusion else { return finish(command, .status(.busy)) }
            if let outcome = exclusion.refusalOfUnseenChange { return finish(command, outcome) }
            return start(command, decoded)
        }
        guard let known = fresh ?? facts else { return finish(command, otherwise) }
        start(command, decoded, KnownFacts(facts: known, areFresh: fresh != nil))
    }

    // MARK: - For another unit

    /// Milliseconds for which a long copy goes on without asking again whom its other unit excludes.
    private static var exclusionLifetime: Int64 { 1000 }

    /// Reads or writes for a unit of the copy group. On the loop of this unit.
    mutating func serve(_ request: PeerRequest) {
        guard mayServePeers, let command = slots.acquire() else {
            return request.ticket.post(mode == .serving ? IOResult(code: -EBUSY) : .goneAway)
        }
        let slot = command.slot
        let record = slots[slot]
        record.pointee.begin(expiry: .max)
        record.pointee.cdb = CDB(UnsafeRawBufferPointer(start: nil, count: 0))
        record.pointee.isDetached = true
        record.pointee.reply = request.ticket
        slots.iovecs(slot)[0] = iovec(iov_base: request.memory.baseAddress, iov_len: request.memory.count)
        record.pointee.segmentCount = 1
        record.pointee.segmentBytes = UInt64(request.memory.count)
        record.pointee.bufferBytes = UInt64(request.memory.count)
        now = CoarseClock.milliseconds
        guard profile.isHeldToExclusion else { return begin(command, request) }
        if !request.isFirst, now &- exclusionAge <= Self.exclusionLifetime {
            return begin(command, request, unless: lastExclusion)
        }
        let extras = CommandExtras()
        extras.peer = request
        record.pointee.extras = extras
        awaitFacts(command, .exclusion)
    }

    /// Reads and writes for other units are carried out.
    var mayServePeers: Bool { mode == .serving && condition.erasure == nil && condition.failure == nil }

    private mutating func carryOn(
        _ command: consuming PendingCommand, _ request: PeerRequest, _ exclusion: Exclusion?
    ) {
        slots[command.slot].pointee.extras = nil
        guard let exclusion, mayServePeers else { return finish(command, .status(.busy)) }
        begin(command, request, unless: exclusion)
    }

    private mutating func begin(
        _ command: consuming PendingCommand, _ request: PeerRequest, unless exclusion: Exclusion = .nobody
    ) {
        if let outcome = exclusion.refusalOfPeer(isWrite: request.isWrite) { return finish(command, outcome) }
        let access = MediumAccess(lba: request.range.lba, blocks: UInt32(clamping: request.range.blocks))
        if request.isWrite { write(command, access) } else { read(command, access) }
    }
}
