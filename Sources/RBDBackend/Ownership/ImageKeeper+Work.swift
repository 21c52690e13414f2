internal import BlockBackend
internal import CRBD
internal import Glibc
internal import Reactor
internal import Synchronization
internal import SystemPackage

/// What the machine decides, done.
extension ImageKeeper {
    /// Longest wait for another gateway's answer, which OSDs count in whole seconds. Who is slow to answer is fenced; but
    /// for a gateway that has vanished initiators wait all of it.
    private static let askMilliseconds = 1_000
    /// Longest wait for writes under way when the lock is to be given back. Bound: less than the other side waits.
    private static let drainMilliseconds: Int64 = 500

    /// Does `action`. Returns its answer, if it has one.
    func perform(_ action: OwnershipAction) -> OwnershipEvent? {
        switch action {
        case .lookUpOwner: return lookUpOwner()
        case .askOwner: return askOwner()
        case .breakLock: return .broke(breakLock())
        case .acquire: return acquire()
        case .countWrites: return countUses()
        case .rest(let uses): return rest(after: uses)
        case .drain: return .drained(clean: drain())
        case .release:
            // Ordering: before others can write, so that nothing is written for what was read before they did.
            onLoop { $0.pointee.generation.release() }
            let released = session.lock.releaseIfHeld()
            onLoop { $0.pointee.gaveBack(isWell: released == .success(true)) }
            return .released(code(released.map { _ in }))
        case .check: return .checked(check())
        case .reopen: return .reopened(reopen())
        case .openGate:
            onLoop { $0.pointee.startWriting() }
            if let tag = queue.change({ _ in life.portGroup }) ?? options.lockTag,
                let name = session.addresses.first?.description
            {
                _ = session.lock.writeTag(tag, owner: name)
            }
            publish()
        case .closeGate:
            onLoop { $0.pointee.stopWriting(.reading) }
        case .shut:
            onLoop { $0.pointee.stopWriting(.nothing) }
            publish()
        case .rearm: onLoop { $0.pointee.claim = .none }
        case .refuse:
            onLoop { side in
                if side.pointee.claim == .awaited { side.pointee.claim = .refused }
            }
        case .reply(let reply): answer(reply)
        case .tell(let availability):
            // The unit answers for the backend from here on, or does so no longer.
            if availability == .ready { onLoop { $0.pointee.isStalled = false } }
            tell(.availability(availability.forUnit))
        case .count(let counter): count(counter)
        case .note(let note):
            follow(note)
            remark(note)
        }
        return nil
    }

    /// Counts a failed write and lets the machine know. On librbd's thread.
    func writeFailed(_ code: Int32, session: Int) {
        post(.event(.writeFailed(code), session: session))
    }

    private func code(_ result: Result<Void, Errno>) -> Int32 {
        switch result {
        case .success: 0
        case .failure(let errno): errno.rawValue
        }
    }

    // MARK: - The lock

    private func lookUpOwner() -> OwnershipEvent {
        guard session.hasLock else { return .foundOwner(.nobody) }
        switch session.lock.owner() {
        case .failure(let errno): return .lookUpFailed(errno.rawValue)
        case .success(nil):
            owner = nil
            return .foundOwner(.nobody)
        case .success(.some(let found)):
            owner = found
            noteFound(found)
            if session.lock.isOwn(found) { return .foundOwner(.me) }
            return .foundOwner(.other(name: found.name, isDead: isDead(found)))
        }
    }

    /// Whether nobody is there to be asked: the owner's watch is over, or the owner was a process of this machine that has
    /// ended, whose watch goes on for 30 s. The address alone does not tell: other clients may have the same one.
    private func isDead(_ owner: LockOwner) -> Bool {
        guard let client = owner.client else { return true }
        guard let address = owner.address, session.addresses.contains(where: { $0.hasSameHost(as: address) }),
            !LiveClients.shared.contains(client), let mailbox = session.mailbox
        else { return false }
        // Not the question itself: giving the lock back may take longer than this wait.
        return mailbox.hears(client, milliseconds: callMilliseconds) == .success(false)
    }

    private func askOwner() -> OwnershipEvent {
        ownerHost = nil
        // Without one nobody could be asked, and who is well would be fenced.
        let renewed = renewMailbox()
        if renewed != 0 { return .replied(.failed(renewed)) }
        guard let mailbox = session.mailbox, let client = owner?.client else { return .replied(.silence) }
        let request = HandOverRequest(host: nodeName(), client: session.client)
        switch mailbox.ask(request, milliseconds: ImageKeeper.askMilliseconds) {
        case .failure(.noSuchFileOrDirectory): return .replied(.silence)
        case .failure(let errno): return .replied(.failed(errno.rawValue))
        case .success(let answers):
            guard let reply = answers.answers.first(where: { $0.client == client && $0.reply != nil })?.reply else {
                return .replied(.silence)
            }
            ownerHost = reply.host
            switch reply.verdict {
            case .released: return .replied(.released)
            case .hold(let milliseconds): return .replied(.hold(Int64(milliseconds)))
            case .fenceMe: return .replied(.fenceMe)
            }
        }
    }

    private func breakLock() -> Int32 {
        guard let owner else { return ENOENT }
        // An owner that has given the lock back since it was looked up is not to be barred for nothing.
        switch session.lock.owner() {
        case .failure(let errno): return errno.rawValue
        case .success(let now) where now?.holdsSameLock(as: owner) != true: return ENOENT
        case .success: break
        }
        if mustPace(owner) { return EDQUOT }
        do throws(BackendError) {
            try session.bar(owner)
        } catch {
            mayNotFence = error.errno == .permissionDenied || error.errno == .notPermitted
            return error.errno.rawValue
        }
        // Said when it is done.
        remarkBarred()
        return code(session.lock.remove(owner))
    }

    /// Whether the owner, a dead client of this machine, has to wait, as there are too many like it in the blocklist.
    private func mustPace(_ owner: LockOwner) -> Bool {
        guard let cluster = session.cluster, let address = owner.address,
            session.addresses.contains(where: { $0.hasSameHost(as: address) })
        else { return false }
        return FencePace.shared.mustWait(
            entries: { Blocklist.entries(ofHost: address, cluster) }, images: LiveClients.shared.count,
            now: KeeperClock.now)
    }

    private func countUses() -> OwnershipEvent {
        fromLoop { side in
            side.pointee.turnGauge()
            return side.pointee.isInUse ? .writing : .wrote(side.pointee.uses)
        } ?? .writing
    }

    /// With nothing under way there is nothing to wait for.
    private func rest(after uses: UInt64) -> OwnershipEvent {
        guard fromLoop({ $0.pointee.rest(after: uses) }) ?? false else { return .writing }
        return .drained(clean: !session.writes.isUncertain)
    }

    private func writesStarted() -> UInt64 { fromLoop { $0.pointee.writes.started } ?? 0 }

    /// What `body` says where the loop side may be touched.
    private func fromLoop<Value: Sendable>(
        _ body: @escaping @Sendable (UnsafeMutablePointer<LoopSide>) -> Value
    ) -> Value? {
        let place = KeeperQueue<Value>()
        onLoop { side in
            let value = body(side)
            place.change { $0.append(value) }
        }
        return place.change { $0.first }
    }

    /// As ``ImageSession/renewMailbox()``, and tells what there is to tell.
    private func renewMailbox() -> Int32 {
        let code = session.renewMailbox()
        remarkNotes(session.takeNotes())
        return code
    }

    private func acquire() -> OwnershipEvent {
        mayNotFence = false
        // An image without the feature is anybody's to write.
        let outcome = session.hasLock ? code(session.lock.acquire()) : 0
        // A journaled image that was demoted says so here and nowhere else: no update watch is called.
        if outcome == EPERM || outcome == EINVAL, session.isStandby() { return .checked(.standby) }
        return .acquired(outcome)
    }

    /// With the gate closed: waits for what was let through. Returns false if some of it is still under way, or ended in a way
    /// that leaves open whether it will be carried out.
    private func drain() -> Bool {
        guard session.waitForWrites(started: writesStarted(), milliseconds: ImageKeeper.drainMilliseconds) else {
            return false
        }
        // Ordering: a write that failed says so before it is counted as ended.
        return !session.writes.isUncertain
    }

    private func answer(_ reply: OwnerReply) {
        guard let question else { return }
        self.question = nil
        let verdict: HandOverReply.Verdict
        switch reply {
        case .released: verdict = .released
        case .hold(let milliseconds): verdict = .hold(milliseconds: UInt32(clamping: milliseconds))
        case .fenceMe, .silence, .failed: verdict = .fenceMe
        }
        session.mailbox?.answer(question, verdict)
    }

    // MARK: - The image

    private func check() -> ImageState {
        let probed = session.probe()
        if probed != 0 { return .failed(probed) }
        if !session.hasItsFeatures { return .failed(ESTALE) }
        if machine.isOwner && session.hasLock {
            switch session.lock.isOwner() {
            case .failure(let errno):
                return .failed(errno.rawValue)
            case .success(false): return .lockGone
            case .success(true): break
            }
        } else if session.isStandby() {
            return .standby
        }
        // An image without the lock has no other occasion.
        onLoop { $0.pointee.turnGauge() }
        session.renewHeaderWatch()
        let renewed = renewMailbox()
        if renewed != 0 { return .failed(renewed) }
        lookAtSize()
        return .fine
    }

    private func lookAtSize() {
        guard let bytes = session.bytesNow else { return }
        noteSize(bytes)
    }

    func noteSize(_ bytes: UInt64) {
        guard bytes != lastToldSize else { return }
        lastToldSize = bytes
        // Initiators go on with the size they know; beyond the image's end they get errors.
        onLoop { $0.pointee.imageHas(bytes) }
        tell(.sizeDiffers(bytes: bytes))
    }

    /// Bytes that initiators know.
    var exportedSize: UInt64 {
        fromLoop { $0.pointee.size } ?? 0
    }

    func publish() {
        status.isLockOwner = machine.isOwner
        session.publish(status)
    }

    private func count(_ counter: OwnershipCounter) {
        switch counter {
        case .lockLost: status.locksLost &+= 1
        case .connectionLost: status.connectionsLost &+= 1
        case .commandTimedOut: status.commandsTimedOut &+= 1
        }
        publish()
    }

    // MARK: - Size

    func resize(to bytes: UInt64) throws(BackendError) {
        guard isStarted else { return try grow(to: bytes).get() }
        let request = ResizeRequest(bytes: bytes)
        post(.resize(request))
        try request.wait().get()
    }

    func grow(to bytes: UInt64) -> Result<Void, BackendError> {
        let exported = exportedSize
        do throws(BackendError) {
            guard bytes >= exported else {
                throw BackendError(
                    .invalidArgument,
                    "cannot shrink \(options.spec) from \(exported) to \(bytes) bytes; expected at least what initiators know"
                )
            }
            // librbd never learns the new size of an image that was opened read-only: it is opened again.
            if session.isReadOnly, session.size < bytes { _ = reopen() }
            let there = try RBDImage.size(session.handle)
            guard bytes <= there else {
                throw BackendError(
                    .invalidArgument,
                    "image \(options.spec) has \(there) bytes, \(bytes) were asked for; expected the image to be resized first"
                )
            }
            onLoop { $0.pointee.export(bytes, of: there) }
            lastToldSize = there
            return .success(())
        } catch {
            return .failure(error)
        }
    }
}

extension OwnershipAvailability {
    /// In the words of the unit.
    fileprivate var forUnit: BackendAvailability {
        switch self {
        case .ready: .ready
        case .recovering(let code): .recovering(errno: code)
        case .standby: .standby
        case .gone(let code): .gone(errno: code)
        }
    }
}
