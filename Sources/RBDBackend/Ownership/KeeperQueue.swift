internal import CRBD
internal import Glibc

/// A queue between threads with a bell: one thread takes, everybody else puts.
final class KeeperQueue<Item: Sendable>: @unchecked Sendable {
    // SAFETY: everything below is touched with the mutex held.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let bell = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var items: [Item] = []

    init() {
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        bell.initialize(to: pthread_cond_t())
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(bell, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(bell)
        pthread_mutex_destroy(mutex)
        bell.deallocate()
        mutex.deallocate()
    }

    /// Runs `body` on the items with the lock held, and wakes whoever waits.
    func change<Result>(_ body: (inout [Item]) -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        let result = body(&items)
        pthread_cond_broadcast(bell)
        return result
    }

    /// Runs `body` again and again until it has a result: at once, when something changed, and when `deadline` has come,
    /// in milliseconds of `KeeperClock`.
    func wait<Result>(until deadline: Int64?, _ body: (inout [Item]) -> Result?) -> Result? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while true {
            if let result = body(&items) { return result }
            guard let deadline else {
                pthread_cond_wait(bell, mutex)
                continue
            }
            if KeeperClock.now >= deadline { return nil }
            var time = timespec(tv_sec: Int(deadline / 1000), tv_nsec: Int(deadline % 1000) * 1_000_000)
            pthread_cond_timedwait(bell, mutex, &time)
        }
    }
}

/// Milliseconds that never go back.
enum KeeperClock {
    static var now: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }
}
