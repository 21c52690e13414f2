internal import Glibc
internal import Reactor

/// Has every open image looked at now and then, whatever librbd or a watch has failed to tell. One thread for all of them,
/// which lives as long as there are any.
final class LookTimer: @unchecked Sendable {
    // SAFETY: `isRunning` is touched with the queue's lock held.
    static let shared = LookTimer()

    private struct Place: Sendable {
        weak var keeper: ImageKeeper?
        let identifier: ObjectIdentifier
        let interval: Int64
        var due: Int64
    }

    private let places = KeeperQueue<Place>()
    private var isRunning = false

    /// Has `keeper` look every `milliseconds`, until ``remove(_:)``. Without a thread to be had it is tried again by
    /// ``ensureThread()``.
    func add(_ keeper: ImageKeeper, milliseconds: Int) {
        let interval = Int64(max(milliseconds, 100))
        places.change { places in
            places.append(
                Place(
                    keeper: keeper, identifier: ObjectIdentifier(keeper), interval: interval,
                    due: KeeperClock.now + interval))
            startThread()
        }
    }

    /// Brings the thread if there are keepers and it could not be had before. By a keeper's own thread, each time it begins: the
    /// system has threads again then.
    func ensureThread() {
        places.change { places in if !places.isEmpty { startThread() } }
    }

    /// With the queue's lock held.
    private func startThread() {
        guard !isRunning, let thread = OwnedThread(name: "tcmud-rbd-look", body: { [self] in run() }) else {
            return
        }
        isRunning = true
        thread.detach()
    }

    func remove(_ keeper: ImageKeeper) {
        places.change { $0.removeAll { $0.identifier == ObjectIdentifier(keeper) } }
    }

    private func run() {
        while true {
            let turn = places.change { places -> (due: [ImageKeeper], next: Int64?, count: Int) in
                let now = KeeperClock.now
                places.removeAll { $0.keeper == nil }
                if places.isEmpty { isRunning = false }
                var due: [ImageKeeper] = []
                for index in places.indices where now >= places[index].due {
                    places[index].due = now + places[index].interval
                    if let keeper = places[index].keeper { due.append(keeper) }
                }
                return (due, places.lazy.map(\.due).min(), places.count)
            }
            for keeper in turn.due { keeper.post(.look) }
            guard let next = turn.next else { return }
            _ = places.wait(until: next) { $0.count != turn.count ? true : nil }
        }
    }
}
