internal import CLinux
internal import Glibc
internal import Reactor
internal import Synchronization

/// Has the sizes of images looked at: when somebody else has had one open for writing, has renamed or removed it, and, as truncate(2)
/// tells nobody, ten times a second while an image is written. One thread for all; idle images never wake it.
final class FileLooks: @unchecked Sendable {
    // SAFETY: everything is constant or locked.
    static let shared = FileLooks()

    /// Bound: what truncate(2) cut off a moment ago can still be written for so long.
    private static let pause: CInt = 100
    /// Not IN_MODIFY: that would tell of each of the unit's own writes.
    private static let events = UInt32(IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)

    private struct Place {
        weak var keeper: FileKeeper?
        let watch: CInt
    }

    private struct State {
        var places: [Place] = []
        var isRunning = false
    }

    private let notifications: CInt
    private let bell: CInt
    private let state = Mutex(State())

    private init() {
        notifications = inotify_init1(CInt(IN_CLOEXEC) | CInt(IN_NONBLOCK))
        bell = eventfd(0, CInt(EFD_CLOEXEC) | CInt(EFD_NONBLOCK))
    }

    /// Looks after `keeper` from here on. Where inotify or a thread cannot be had, reads that come to an end still tell.
    func add(_ keeper: FileKeeper, descriptor: CInt) {
        // By its descriptor, so that it is the open file whatever its name stands for by now.
        let watch = inotify_add_watch(notifications, "/proc/self/fd/\(descriptor)", FileLooks.events)
        state.withLock { state in
            state.places.append(Place(keeper: keeper, watch: watch))
            guard !state.isRunning, bell >= 0 else { return }
            guard let thread = OwnedThread(name: "tcmud-file-look", body: { [self] in run() }) else { return }
            // It serves until the process ends; parked, it costs nothing.
            thread.detach()
            state.isRunning = true
        }
    }

    func remove(_ keeper: FileKeeper) {
        state.withLock { state in
            let watches = state.places.filter { $0.keeper === keeper || $0.keeper == nil }.map(\.watch)
            state.places.removeAll { $0.keeper === keeper || $0.keeper == nil }
            // Readers of one file share a watch.
            for watch in watches where watch >= 0 && !state.places.contains(where: { $0.watch == watch }) {
                inotify_rm_watch(notifications, watch)
            }
        }
    }

    /// An image is written after a rest.
    func ring() {
        var one: UInt64 = 1
        _ = write(bell, &one, 8)
    }

    private func run() {
        var goesOn = false
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
            goesOn = false
            for place in state.withLock({ $0.places }) {
                guard let keeper = place.keeper else { continue }
                let activity = keeper.end.takeActivity()
                if activity.goesOn { goesOn = true }
                if activity.wasWritten || told.contains(place.watch) { keeper.look() }
            }
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
