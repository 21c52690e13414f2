internal import Glibc
internal import Reactor
internal import Synchronization

// Ways to answer what is held that take more than one line.
extension BackendScript {
    /// Answers the first, third, fifth … held operation, on the calling thread.
    public func releaseEverySecond() {
        let all = takeHeld()
        for (index, one) in all.enumerated() {
            if index % 2 == 0 { answer(one) } else { hold(one) }
        }
    }

    /// Answers the operation that was submitted last, on the calling thread.
    public func releaseNewest() {
        var all = takeHeld()
        let newest = all.popLast()
        for one in all { hold(one) }
        if let newest { answer(newest) }
    }
}

/// Threads that answer a script's held operations in random order, as librbd's threads do.
public final class ReleasingThreads: Sendable {
    private let threads: [OwnedThread]
    private let flag: StopFlag

    private final class StopFlag: Sendable {
        let isSet = Atomic<Bool>(false)
    }

    /// Starts `count` threads, each with its own randomness from `seed`.
    public init(_ script: BackendScript, count: Int, seed: UInt64) {
        let flag = StopFlag()
        self.flag = flag
        threads = (0..<count).compactMap { number in
            OwnedThread(name: "release-\(number)") {
                var random = SeededRandom(seed: seed &+ UInt64(number))
                while !flag.isSet.load(ordering: .relaxed) {
                    if !script.releaseOne(using: &random) { usleep(50) }
                }
            }
        }
    }

    /// Ends the threads; operations still held stay so.
    public func stop() {
        flag.isSet.store(true, ordering: .relaxed)
        for thread in threads { thread.join() }
    }
}
