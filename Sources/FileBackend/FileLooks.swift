internal import CLinux
internal import Glibc
internal import Reactor
internal import Synchronization

/// Has the sizes of images looked at: when somebody else has had one open for writing, has renamed or removed it, and, as truncate(2)
/// tells nobody, ten times a second while an image is written. One thread for all, which waits for no file system: those that may not
/// answer have a ``LookLane`` each. Idle images never wake it.
final class FileLooks: @unchecked Sendable {
    // SAFETY: everything is constant or locked.
    static let shared = FileLooks()

    /// Bound: what truncate(2) cut off a moment ago can still be written for so long.
    private static let pause: CInt = 100
    /// Milliseconds between two attempts to get a thread.
    private static let attemptPause: Int64 = 500
    /// Not IN_MODIFY: that would tell of each of the unit's own writes.
    private static let events = UInt32(IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)

    private struct Place {
        weak var keeper: FileKeeper?
        let watch: CInt
        let lane: LookLane
    }

    private struct State {
        var places: [Place] = []
        var isRunning = false
        /// When a thread was tried for last, in coarse milliseconds.
        var triedAt = Int64.min
    }

    /// Makes the thread; nil where none can be had.
    typealias ThreadMaker = @Sendable (@escaping @Sendable () -> Void) -> OwnedThread?

    private let notifications: CInt
    private let bell: CInt
    private let state = Mutex(State())
    private let makeThread: ThreadMaker
    /// As in the state, for who writes.
    private let isRunning = Atomic<Bool>(false)

    init(makeThread: @escaping ThreadMaker = { OwnedThread(name: "tcmud-file-look", body: $0) }) {
        self.makeThread = makeThread
        notifications = inotify_init1(CInt(IN_CLOEXEC) | CInt(IN_NONBLOCK))
        bell = eventfd(0, CInt(EFD_CLOEXEC) | CInt(EFD_NONBLOCK))
    }

    /// Looks after `keeper` from here on. Where a thread cannot be had it is tried again when an image is written; where inotify
    /// cannot, writes and reads that come to an end still tell.
    func add(_ keeper: FileKeeper, descriptor: CInt) {
        // By its descriptor, so that it is the open file whatever its name stands for by now.
        let watch = inotify_add_watch(notifications, "/proc/self/fd/\(descriptor)", FileLooks.events)
        let device = keeper.facts.device
        state.withLock { state in
            let lane = state.places.first { $0.lane.device == device }?.lane ?? LookLane(device: device)
            state.places.append(Place(keeper: keeper, watch: watch, lane: lane))
            _ = ensureThread(&state)
        }
    }

    func remove(_ keeper: FileKeeper) {
        state.withLock { state in
            let leaving = state.places.filter { $0.keeper === keeper || $0.keeper == nil }
            state.places.removeAll { $0.keeper === keeper || $0.keeper == nil }
            for place in leaving {
                place.lane.remove(keeper)
                // Readers of one file share a watch.
                if place.watch >= 0 && !state.places.contains(where: { $0.watch == place.watch }) {
                    inotify_rm_watch(notifications, place.watch)
                }
            }
        }
    }

    /// An image is written after a rest. Returns false if nobody will look: to be called again.
    func ring() -> Bool {
        if !isRunning.load(ordering: .acquiring) {
            guard state.withLock({ state in ensureThread(&state) }) else { return false }
        }
        var one: UInt64 = 1
        _ = write(bell, &one, 8)
        return true
    }

    private func ensureThread(_ state: inout State) -> Bool {
        if state.isRunning { return true }
        // Bound: a writer may ask with each of its writes.
        let now = clinux_coarse_milliseconds()
        guard bell >= 0, state.triedAt == Int64.min || now - state.triedAt >= FileLooks.attemptPause else {
            return false
        }
        state.triedAt = now
        guard let thread = makeThread({ [self] in run() }) else { return false }
        // It serves until the process ends; parked, it costs nothing.
        thread.detach()
        state.isRunning = true
        isRunning.store(true, ordering: .releasing)
        return true
    }

    private func run() {
        var goesOn = false
        // Those that no thread could be had for.
        var owed: [FileKeeper] = []
        while true {
            var polled = [
                pollfd(fd: notifications, events: Int16(POLLIN), revents: 0),
                pollfd(fd: bell, events: Int16(POLLIN), revents: 0),
            ]
            let count = poll(&polled, nfds_t(polled.count), goesOn ? FileLooks.pause : -1)
            if count < 0 && errno != EINTR { usleep(UInt32(FileLooks.pause) * 1000) }
            var rings: UInt64 = 0
            _ = read(bell, &rings, 8)
            let told = toldWatches()
            let before = owed
            owed = []
            goesOn = false
            for place in state.withLock({ $0.places }) {
                guard let keeper = place.keeper else { continue }
                let activity = keeper.end.takeActivity()
                if activity.goesOn { goesOn = true }
                // A name is lost or comes back with a word of inotify's, where that hears everything.
                let wantsName = keeper.takeNameWish()
                let isOwed = before.contains { $0 === keeper }
                let isTold = told.contains(place.watch)
                guard activity.wasWritten || isTold || isOwed || wantsName else { continue }
                let isLocal = keeper.facts.isLocal
                var isDone = !isLocal || keeper.look(.size)
                if !isLocal || isTold || isOwed || wantsName { isDone = place.lane.submit(keeper) && isDone }
                if !isDone { owed.append(keeper) }
            }
            if !owed.isEmpty { goesOn = true }
        }
    }

    /// Watches that inotify has told of.
    private func toldWatches() -> Set<CInt> {
        var told: Set<CInt> = []
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: MemoryLayout<inotify_event>.alignment) { room in
            while true {
                let count = read(notifications, room.baseAddress, room.count)
                guard count > 0 else { return }
                var offset = 0
                while offset + MemoryLayout<inotify_event>.size <= count {
                    let event = room.loadUnaligned(fromByteOffset: offset, as: inotify_event.self)
                    told.insert(event.wd)
                    offset += MemoryLayout<inotify_event>.size + Int(event.len)
                }
            }
        }
        return told
    }
}
