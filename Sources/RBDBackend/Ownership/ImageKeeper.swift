internal import BlockBackend
internal import CRBD
internal import Glibc
internal import Reactor
internal import Synchronization
internal import SystemPackage

/// Looks after an open image: takes the exclusive lock for writes and gives it to gateways that ask for it, notices when the
/// client was fenced or the image changed, and opens it again.
///
/// What it decides is ``OwnershipMachine``'s; here it is done, on a thread that lives while there is something to do or to
/// wait for. An image without the lock has no thread.
///
/// Until ``start(_:)`` the keeper has no thread and no loop to run work on. A write then takes the lock where it stands and
/// blocks for it, unless ``RBDOptions/locksInBackground`` says that there will be a start; and whoever asks for the lock is told
/// to break it.
final class ImageKeeper: BackendKeeper, @unchecked Sendable {
    // SAFETY: `mail` and `published` have locks. All else is touched by one thread at a time: the opener's, then the keeper's
    // (each of which joins the one before it), then the closer's.

    /// What the keeper is told.
    enum Mail: Sendable {
        case claim
        case doubt
        case event(OwnershipEvent, session: Int)
        case asked(HandOverMailbox.Question, session: Int)
        case resize(ResizeRequest)
        /// It is time to look at the image.
        case look
        /// The header has changed; the argument is called when that was looked at.
        case changed(@Sendable () -> Void)
    }

    /// Life of the thread, guarded by the queue's lock.
    struct Life {
        var surroundings: KeeperSurroundings?
        /// Who hears what closing has to say, after that.
        var tellLast: (@Sendable (BackendNotice) -> Void)?
        var thread: OwnedThread?
        var isRunning = false
        var isStopping = false
        /// Whom the lock is taken for, if initiators say where it is to be.
        var portGroup: UInt16?
        /// While the thread is at something: until when questions are answered for it. Nil while it waits.
        var busyUntil: Int64?
    }

    let options: RBDOptions
    /// What whoever comes later has to keep.
    let told: ToldFacts
    let side: UnsafeMutablePointer<LoopSide>
    let queue = KeeperQueue<Mail>()
    /// Guarded by `queue`.
    var life = Life()

    var machine: OwnershipMachine
    var session: ImageSession
    /// Number of the session; mail of earlier ones is dropped.
    var number = 0
    var question: HandOverMailbox.Question?
    /// Name of the host that asked last.
    var asker: String?
    /// The owner that was looked up last, and the name that it gave.
    var owner: LockOwner?
    var ownerHost: String?
    /// This gateway's client that was lost as owner, while it is not known who has the lock after it.
    var formerOwner: FormerOwner?
    /// Longest wait for a sign of life from a process of this machine. For one that was killed, the daemon's own predecessor
    /// as a rule, initiators wait all of it.
    var callMilliseconds = 300
    /// The monitors refused to blocklist the owner that was to be fenced last.
    var mayNotFence = false
    var status = ServiceStatus()
    var closers: [OwnedThread] = []
    var lastToldSize: UInt64 = 0
    var remarks = RemarkLimit()

    /// Takes over an image that was just opened, `bytes` of which are exported.
    init(
        _ image: consuming RBDImage, _ options: RBDOptions, _ told: ToldFacts, exporting bytes: UInt64,
        isStandby: Bool
    ) throws(BackendError) {
        self.options = options
        self.told = told
        let relay = SessionRelay()
        let session = try ImageSession(image, options, relay.handlers(session: 0))
        self.session = session
        var timing = OwnershipTiming()
        if let hold = options.lockHoldMilliseconds {
            timing.shortestHold = Int64(hold)
            timing.longestHold = max(timing.longestHold, Int64(hold))
        }
        if let idle = options.lockIdleReleaseMilliseconds { timing.idleRelease = Int64(idle) }
        machine = OwnershipMachine(timing: timing, isStandby: isStandby, now: KeeperClock.now)
        side = .allocate(capacity: 1)
        side.initialize(
            to: LoopSide(
                handle: session.handle, writes: session.writes, surveys: session.surveys,
                access: session.hasLock || isStandby ? .reading : .writing,
                readsNeedLock: session.readsNeedLock,
                hasVolatileCache: told.capabilities.volatileCache, exporting: bytes, of: session.size))
        lastToldSize = session.size
        self.relay = relay
        relay.connect(self)
        session.publish(status)
    }

    let relay: SessionRelay

    deinit {
        side.deinitialize(count: 1)
        side.deallocate()
    }

    // MARK: - Life

    func start(_ surroundings: KeeperSurroundings) {
        queue.change { _ in
            precondition(life.surroundings == nil, "a keeper is started twice")
            life.surroundings = surroundings
        }
        // Bound: without the lock the look is all that tells old writes from new ones (``WriteGauges``), and a refusal must not grow
        // as old as the cluster's time-outs, 26 s at least.
        let longest = session.hasLock ? options.lookMilliseconds : 10_000
        LookTimer.shared.add(self, milliseconds: min(options.lookMilliseconds, longest))
        // What was claimed before, and what a standby image waits for.
        wake()
    }

    func serves(portGroup: UInt16?) {
        queue.change { _ in life.portGroup = portGroup }
    }

    func stop() {
        LookTimer.shared.remove(self)
        let thread = queue.change { _ -> OwnedThread? in
            life.isStopping = true
            defer { life.thread = nil }
            return life.thread
        }
        thread?.join()
        let left = queue.change { mail in
            life.tellLast = life.surroundings?.tell ?? life.tellLast
            life.surroundings = nil
            defer { mail.removeAll() }
            return mail
        }
        for case .resize(let request) in left {
            request.answer(.failure(BackendError(.canceled, "the unit is being removed")))
        }
        for case .changed(let acknowledge) in left { acknowledge() }
        for case .asked(let question, number) in left {
            // The lock is given back with the image, soon.
            session.mailbox?.answer(question, .hold(milliseconds: 300))
        }
    }

    /// Ends everything. Every ticket is back, and the loop does not use the image any longer.
    func close() {
        stop()
        relay.disconnect()
        if mayClose() { session.close() } else { session.abandon() }
        for closer in closers { closer.join() }
        closers = []
        queue.change { _ in life.tellLast = nil }
    }

    /// The loop has a write and no lock for it. Returns what that write is answered.
    func claim() -> IOResult {
        if options.locksInBackground || isStarted {
            // Only if somebody will read it: otherwise the next write claims again.
            guard post(.claim) else { return IOResult(code: -EAGAIN) }
            side.pointee.claim = .awaited
            return .rightAwaited
        }
        return claimNow()
    }

    /// Something that the loop has seen gives reason to look at the image. Returns false if nobody will.
    func doubt() -> Bool {
        post(.doubt)
    }

    /// Puts `mail` into the queue, and sees to it that somebody reads it. From any thread.
    ///
    /// - Returns: false if nobody will, for want of a thread, before the next mail comes.
    @discardableResult
    func post(_ mail: Mail) -> Bool {
        queue.change { put(mail, into: &$0) }
    }

    @discardableResult
    func put(_ mail: Mail, into waiting: inout [Mail]) -> Bool {
        if life.isStopping, case .resize(let request) = mail {
            request.answer(.failure(BackendError(.canceled, "the unit is being removed")))
            return true
        }
        // Bound: one of each kind.
        let isThere = waiting.contains { other in
            switch (mail, other) {
            case (.claim, .claim), (.doubt, .doubt), (.look, .look): true
            case (.event(let one, let session), .event(let another, let its)): one == another && session == its
            default: false
            }
        }
        if isThere { return ensureThread() }
        // Bound: whoever may write to the pool may ask, as often as it likes. All other mail is one of each kind.
        if case .asked = mail, waiting.count >= 1000 { return true }
        waiting.append(mail)
        return ensureThread()
    }

    /// Longest time for which questions are answered for a thread that is at something. Bound: whoever hangs for longer is
    /// silent, and is fenced a second later.
    private static let busyMilliseconds: Int64 = 2_000
    /// What is answered for it: about the time of a look at a cluster that is well.
    private static let busyHold: UInt32 = 100

    /// Passes a question on, or answers it. On librados' thread.
    ///
    /// A look at the image, a claim or an answer of the monitors may take longer than the other gateway waits, and silence would
    /// have it fence one that is well. So a question waits for nothing but itself: where the thread is at something
    /// else, or has mail to read first, the answer is that the lock is kept for a moment. That is safe whatever the thread is at.
    ///
    /// - Returns: the answer; nil where the thread gives it.
    func asked(_ question: HandOverMailbox.Question, session: Int) -> HandOverReply.Verdict? {
        queue.change { waiting in
            let isBusy = life.busyUntil.map { KeeperClock.now < $0 } ?? !waiting.isEmpty
            if isBusy && life.isRunning && !life.isStopping { return .hold(milliseconds: ImageKeeper.busyHold) }
            _ = put(.asked(question, session: session), into: &waiting)
            return nil
        }
    }

    private func wake() {
        queue.change { _ in _ = ensureThread() }
    }

    /// With the queue's lock held. Returns false if there is no thread to be had.
    private func ensureThread() -> Bool {
        guard life.surroundings != nil, !life.isStopping, !life.isRunning else { return true }
        let before = life.thread
        let thread = OwnedThread(name: "tcmud-rbd-keep") { [self] in
            before?.join()
            LookTimer.shared.ensureThread()
            run()
        }
        // Without one the next mail tries again.
        guard let thread else { return false }
        life.thread = thread
        life.isRunning = true
        return true
    }

    private enum Turn {
        case mail(Mail)
        case timer
        case end
    }

    private func run() {
        while true {
            let deadline = machine.deadline
            let turn = queue.wait(until: deadline) { [self] waiting -> Turn? in
                life.busyUntil = nil
                if life.isStopping || (waiting.isEmpty && deadline == nil) {
                    life.isRunning = false
                    return .end
                }
                let now = KeeperClock.now
                let isDue = deadline.map { now >= $0 } ?? false
                guard isDue || !waiting.isEmpty else { return nil }
                // Whoever cannot use the image should be fenced soon.
                life.busyUntil = machine.isReady ? now + ImageKeeper.busyMilliseconds : now
                // One at a time: what has come meanwhile is to be seen, and what is left to be answered at a stop.
                return waiting.isEmpty ? .timer : .mail(waiting.removeFirst())
            }
            switch turn {
            case .end: return
            case .mail(let mail): read(mail)
            case .timer: break
            // Due since a moment ago.
            case nil: continue
            }
            tick()
        }
    }

    var isStopping: Bool { queue.change { _ in life.isStopping } }

    /// True once there is a loop to run work on.
    var isStarted: Bool { queue.change { _ in life.surroundings != nil } }

    func tick() {
        if let deadline = machine.deadline, KeeperClock.now >= deadline { drive(.timer) }
    }

    private func read(_ mail: Mail) {
        switch mail {
        case .claim: drive(.claim)
        case .doubt:
            drive(.doubt)
            // Every stall is followed by such a mail. Where all is not well its end is told with the rest.
            if machine.isReady { onLoop { $0.pointee.isStalled = false } }
        case .event(let event, let session):
            if session == number { drive(event) }
        case .asked(let question, let session):
            guard session == number else { return }
            self.question = question
            asker = question.request.host
            drive(.peerAsks)
        case .resize(let request): request.answer(grow(to: request.bytes))
        case .look: drive(.doubt)
        case .changed(let acknowledge): lookAtChange(acknowledge)
        }
    }

    /// Lets the machine take `event` in, and does what it says until it has nothing more to say.
    func drive(_ event: OwnershipEvent) {
        var next: OwnershipEvent? = event
        while let event = next {
            next = nil
            for action in machine.handle(event, now: KeeperClock.now) {
                if let answer = perform(action) { next = answer }
            }
        }
        if status.isLockOwner != machine.isOwner { publish() }
    }

    /// Takes the lock on the thread that wants to write, for a backend that nobody has started.
    ///
    /// - Returns: success, or EAGAIN where another gateway keeps it.
    func claimNow() -> IOResult {
        let deadline = KeeperClock.now + 10_000
        for each in queue.change({ mail in
            defer { mail.removeAll() }
            return mail
        }) { read(each) }
        while KeeperClock.now < deadline {
            drive(.claim)
            if side.pointee.access == .writing { return .success }
            guard let due = machine.deadline, due < deadline else { break }
            while KeeperClock.now < due { usleep(1000) }
            drive(.timer)
        }
        return IOResult(code: -EAGAIN)
    }

    // MARK: - On the loop

    /// Runs `body` where the loop side may be touched, and waits for it.
    func onLoop(_ body: @escaping @Sendable (UnsafeMutablePointer<LoopSide>) -> Void) {
        guard let surroundings = queue.change({ _ in life.surroundings }) else { return body(side) }
        let place = SidePointer(side: side)
        let done = KeeperQueue<Bool>()
        surroundings.onLoop {
            body(place.side)
            done.change { $0.append(true) }
        }
        _ = done.wait(until: nil) { $0.isEmpty ? nil : true }
    }

    func tell(_ notice: BackendNotice) {
        queue.change { _ in life.surroundings?.tell ?? life.tellLast }?(notice)
    }

    private struct SidePointer: @unchecked Sendable {
        // SAFETY: used on the loop's thread only.
        let side: UnsafeMutablePointer<LoopSide>
    }
}
