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

    /// Does `action`. - Returns: its answer, if it has one.
    func perform(_ action: OwnershipAction) -> OwnershipEvent? {
        switch action {
        case .lookUpOwner: return lookUpOwner()
        case .askOwner: return askOwner()
        case .breakLock: return .broke(breakLock())
        // An image without the feature is anybody's to write.
        case .acquire: return .acquired(session.hasLock ? code(session.lock.acquire()) : 0)
        case .drain: return .drained(clean: drain())
        case .release: return .released(code(session.lock.release()))
        case .check: return .checked(check())
        case .reopen: return .reopened(reopen())
        case .openGate:
            onLoop { side in
                side.pointee.access = .writing
                side.pointee.hasClaimed = false
            }
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
        case .rearm: onLoop { $0.pointee.hasClaimed = false }
        case .reply(let reply): answer(reply)
        case .tell(let availability):
            // The unit answers for the backend from here on, or does so no longer.
            if availability == .ready { onLoop { $0.pointee.isStalled = false } }
            tell(.availability(availability.forUnit))
        case .count(let counter): count(counter)
        case .note(let note): remark(note)
        }
        return nil
    }

    /// Counts a failed write and lets the machine know. On librbd's thread.
    func writeFailed(_ code: Int32, session: Int) {
        post(.event(.writeFailed(code), session: session))
    }

    /// Passes a question on. On librados' thread.
    func asked(_ question: HandOverMailbox.Question, session: Int) {
        post(.asked(question, session: session))
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
            if found.client == session.client || found.address.map(session.addresses.contains) == true {
                return .foundOwner(.me)
            }
            return .foundOwner(.other(name: found.name, isDead: isDead(found)))
        }
    }

    /// Whether nobody is there to be asked: the owner's watch is over, or the owner was a process of this machine that has
    /// ended, whose watch goes on for 30 s.
    private func isDead(_ owner: LockOwner) -> Bool {
        guard let client = owner.client else { return true }
        guard let address = owner.address, session.addresses.contains(where: { $0.hasSameHost(as: address) }) else {
            return false
        }
        return !LiveClients.shared.contains(client)
    }

    private func askOwner() -> OwnershipEvent {
        ownerHost = nil
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
        return code(session.lock.break(owner))
    }

    /// With the gate closed: waits for what was let through. - Returns: false if some of it is still under way, or
    /// ended in a way that leaves open whether it will be carried out.
    private func drain() -> Bool {
        let started = KeeperQueue<UInt64>()
        onLoop { side in
            let count = side.pointee.gauge.pointee.started
            started.change { $0.append(count) }
        }
        guard let count = started.change({ $0.first }),
            session.waitForWrites(started: count, milliseconds: ImageKeeper.drainMilliseconds)
        else { return false }
        // Ordering: a write that failed says so before it is counted as ended.
        return !session.gauge.pointee.isUncertain
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
        let renewed = session.renewMailbox()
        if renewed != 0 { return .failed(renewed) }
        lookAtSize()
        return .fine
    }

    private func lookAtSize() {
        guard let bytes = try? RBDImage.size(session.handle) else { return }
        noteSize(bytes)
    }

    func noteSize(_ bytes: UInt64) {
        guard bytes != lastToldSize else { return }
        lastToldSize = bytes
        tell(.sizeDiffers(bytes: bytes))
    }

    /// Opens the image on a new connection, and puts it in the place of the old one.
    private func reopen() -> ImageState {
        if isStopping { return .failed(ECANCELED) }
        do throws(BackendError) {
            let mustFence = machine.isTainted || session.hasUncertainWrites
            // A group's connection is shared, and what is opened next would be barred with it: first, so that the group
            // connects anew.
            if mustFence, options.connectionGroup != nil, let own = session.cluster { try session.fence(by: own) }
            var notes: [String] = []
            let image = try RBDBackend.connectAndOpen(options, &notes)
            let cluster = image.context.cluster
            guard session.isSameImage(as: image) else {
                throw BackendError(
                    .noSuchFileOrDirectory,
                    """
                    \(options.spec) is another image than the one that was opened; expected that one to come back. Remove the \
                    LUN and add it again to serve the new image
                    """)
            }
            // What this client reads and writes must come after what barred its predecessor: OSDs get to know of the
            // blocklist with the first operation that carries the map's epoch.
            rados_wait_for_latest_osdmap(cluster.handle)
            if mustFence, cluster.instanceID != session.client { try session.fence(by: cluster) }
            let bytes = try image.size()
            guard bytes >= exportedSize else {
                throw BackendError(
                    .invalidArgument,
                    """
                    image \(options.spec) has \(bytes) bytes, fewer than the \(exportedSize) that initiators know; expected it \
                    to be resized to at least that
                    """)
            }
            let isReadOnly = options.readOnly || options.snapshot != nil
            let role = isReadOnly ? MirrorRole.none : try image.mirrorRole()
            let isStandby = !role.allowsWriting
            number += 1
            let fresh = try ImageSession(image, options, relay.handlers(session: number))
            replace(by: fresh, isStandby: isStandby)
            for note in fresh.notes { tell(.remark(.warning, note)) }
            noteSize(bytes)
            return isStandby ? .standby : .fine
        } catch {
            remarkFailure(error)
            return .failed(error.errno.rawValue)
        }
    }

    private func replace(by fresh: ImageSession, isStandby: Bool) {
        let old = session
        session = fresh
        owner = nil
        question = nil
        onLoop { side in
            side.pointee.handle = fresh.handle
            side.pointee.gauge = fresh.gauge
            side.pointee.surveys = fresh.surveys
            side.pointee.access = fresh.hasLock || isStandby ? .reading : .writing
            side.pointee.readsNeedLock = fresh.readsNeedLock
            side.pointee.generation &+= 1
        }
        publish()
        // The loop has switched over. What is under way on the old image ends with it; that may take its time.
        let relay = relay
        let closer = OwnedThread(name: "tcmud-rbd-close") {
            old.close()
            relay.closed(old)
        }
        guard let closer else { return old.close() }
        // Bound: images that close while newer ones are lost already.
        if closers.count >= 8 { closers.removeFirst().join() }
        closers.append(closer)
    }

    /// Bytes that initiators know.
    var exportedSize: UInt64 {
        let size = KeeperQueue<UInt64>()
        onLoop { side in
            let bytes = side.pointee.size
            size.change { $0.append(bytes) }
        }
        return size.change { $0.first } ?? 0
    }

    /// A former session's client is gone: its blocklist entry has done its duty some time from now (``PendingRemovals``).
    func noteClosed(_ old: ImageSession) {
        // Of a group's client other images may be open still.
        guard !LiveClients.shared.contains(old.client) else { return }
        pendingRemovals.withLock {
            $0.add(
                old.addresses, of: old.fsid, closedAt: .milliseconds(KeeperClock.now),
                detectionSeconds: old.osdDetectionSeconds)
        }
    }

    /// Removes the blocklist entries of former clients that are needed no longer.
    func removeDueEntries() {
        guard let cluster = session.cluster else { return }
        switch cluster.removeDueBlocklistEntries(.milliseconds(KeeperClock.now)) {
        case .success(let removed):
            if !removed.isEmpty {
                tell(.remark(.info, "removed \(removed.count) blocklist entries of former clients of this gateway"))
            }
        case .failure(let errno):
            tell(
                .remark(
                    .info,
                    "blocklist entries of former clients stay for now, \(reason(errno)); expected leave to use osd blocklist"
                ))
        }
    }

    /// When there is something to remove; nil if not.
    var nextRemoval: Int64? {
        let due = pendingRemovals.withLock { $0.nextDue(of: session.fsid) }
        return due.map { $0.components.seconds * 1000 + $0.components.attoseconds / 1_000_000_000_000_000 + 1 }
    }

    /// At the end: an image with writes whose end is unknown must not give its lock back as if all was well. Its client
    /// bars itself from the cluster, which needs no OSD, and whoever wants the lock breaks it.
    ///
    /// - Returns: false where that cannot be had either: then the image must stay open, and the lock with it.
    func mayClose() -> Bool {
        guard session.hasLock, machine.isTainted || session.hasUncertainWrites else { return true }
        guard let cluster = session.cluster else { return true }
        do throws(BackendError) {
            try session.fence(by: cluster)
            return true
        } catch {
            tell(.remark(.error, "left open with its lock, since writes of it may be on their way: \(error)"))
            return false
        }
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
            let there = try RBDImage.size(session.handle)
            guard bytes <= there else {
                throw BackendError(
                    .invalidArgument,
                    "image \(options.spec) has \(there) bytes, \(bytes) were asked for; expected the image to be resized first"
                )
            }
            onLoop { $0.pointee.size = bytes }
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
