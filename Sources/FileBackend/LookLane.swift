internal import Reactor
internal import Synchronization

/// Looks at images of one file system, which may not answer, on a thread that lives while there are looks: a file server that hangs
/// holds up the looks at its own files and no other.
///
/// Bound: one thread for each file system, however many images it has.
final class LookLane: Sendable {
    /// Of the file system, as stat(2) numbers it.
    let device: UInt64

    private struct State {
        var waiting: [FileKeeper] = []
        var isRunning = false
    }

    private let state = Mutex(State())

    init(device: UInt64) {
        self.device = device
    }

    /// Has `keeper` look at its image some time soon. Returns false where no thread can be had: to be called again.
    func submit(_ keeper: FileKeeper) -> Bool {
        state.withLock { state in
            if !state.waiting.contains(where: { $0 === keeper }) { state.waiting.append(keeper) }
            if state.isRunning { return true }
            guard let thread = OwnedThread(name: "tcmud-file-lane", body: { [self] in run() }) else { return false }
            thread.detach()
            state.isRunning = true
            return true
        }
    }

    /// Forgets `keeper`; a look that is under way ends by itself.
    func remove(_ keeper: FileKeeper) {
        state.withLock { $0.waiting.removeAll { $0 === keeper } }
    }

    private func run() {
        while let keeper = next() { _ = keeper.look(.sizeAndName) }
    }

    private func next() -> FileKeeper? {
        state.withLock { state in
            state.isRunning = !state.waiting.isEmpty
            return state.waiting.isEmpty ? nil : state.waiting.removeFirst()
        }
    }
}
