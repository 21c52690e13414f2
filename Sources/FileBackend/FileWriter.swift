internal import CLinux
internal import Glibc
internal import Reactor
internal import Synchronization

/// A thread that carries out buffered writes for a number of images, batch by batch.
///
/// Writers are few and shared, as the loops are; each image stays with one. A file system that hangs holds up the
/// writes of the images on its writer.
final class FileWriter: @unchecked Sendable {
    // SAFETY: `known` belongs to the writer's thread; everything else is atomic, locked or constant.
    /// Bound: one writer keeps up with a loop at full speed.
    static let limit = 2

    private let wake: CInt
    private let parked = Atomic<Bool>(false)
    private let queues = Mutex<[WriteQueue]>([])
    /// Counts changes of `queues`.
    private let generation = Atomic<Int>(0)
    private var known: [WriteQueue] = []
    private var knownGeneration = -1

    /// Writers so far, one after the other as images need them.
    private static let writers = Mutex<[FileWriter]>([])

    /// Gives a queue to the writer with the fewest, or to a new one. Returns nil where no thread or descriptor can be had; then
    /// io_uring has to do.
    static func adopt(_ queue: WriteQueue) -> FileWriter? {
        writers.withLock { writers in
            let least = writers.min { $0.count < $1.count }
            let cpus = max(Int(clinux_usable_cpus()), 1)
            if let least, least.count == 0 || writers.count >= min(limit, cpus) {
                least.add(queue)
                return least
            }
            guard let writer = FileWriter(number: writers.count) else {
                least?.add(queue)
                return least
            }
            writers.append(writer)
            writer.add(queue)
            return writer
        }
    }

    private init?(number: Int) {
        wake = eventfd(0, CInt(EFD_CLOEXEC))
        guard wake >= 0 else { return nil }
        let start = Unmanaged.passRetained(self)
        guard let thread = OwnedThread(name: "tcmud-write\(number)", body: { start.takeUnretainedValue().run() })
        else {
            close(wake)
            start.release()
            return nil
        }
        // It serves until the process ends; parked, it costs nothing.
        thread.detach()
    }

    private var count: Int { queues.withLock { $0.count } }

    private func add(_ queue: WriteQueue) {
        queues.withLock { $0.append(queue) }
        changed()
    }

    /// Takes a queue back. It is empty, and nothing more is queued.
    func remove(_ queue: WriteQueue) {
        queues.withLock { $0.removeAll { $0 === queue } }
        changed()
    }

    private func changed() {
        generation.add(1, ordering: .sequentiallyConsistent)
        ring()
    }

    /// Wakes the writer if it is parked: something was published.
    func ring() {
        guard parked.load(ordering: .sequentiallyConsistent),
            parked.exchange(false, ordering: .sequentiallyConsistent)
        else { return }
        var one: UInt64 = 1
        while write(wake, &one, 8) < 0 && errno == EINTR {}
    }

    private func run() {
        while true {
            learn()
            var worked = false
            for position in 0..<known.count where known[position].carryOut() { worked = true }
            if !worked { park() }
        }
    }

    private func learn() {
        let now = generation.load(ordering: .sequentiallyConsistent)
        if now == knownGeneration { return }
        knownGeneration = now
        known = queues.withLock { $0 }
    }

    private func park() {
        // Ordering: announced before the last look, as producers publish before they look at `parked`.
        parked.store(true, ordering: .sequentiallyConsistent)
        let isIdle =
            generation.load(ordering: .sequentiallyConsistent) == knownGeneration && known.allSatisfy { $0.isEmpty }
        if isIdle {
            var count: UInt64 = 0
            while read(wake, &count, 8) < 0 && errno == EINTR {}
        }
        parked.store(false, ordering: .relaxed)
    }
}
