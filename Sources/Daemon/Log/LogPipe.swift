internal import Glibc
internal import Reactor
internal import Synchronization
internal import SystemPackage

/// The log's way out: lines go into a bounded store, and a thread of its own writes them. Whoever logs never waits: not for a
/// reader that has stopped, nor for a full disk, nor for a terminal, nor for a journal whose disk this daemon serves.
///
/// What does not fit is dropped and counted, and the count stands in the log where the lines are missing.
public final class LogPipe: TextOutputStream, Sendable {
    /// Bound: bytes that wait to be written. Some thousand lines: more than a restart of the journal takes.
    private let capacity: Int
    private let descriptor: CInt
    private let wake: WakeDescriptor?
    private let store = Mutex(Store())

    private struct Store {
        var waiting: [UInt8] = []
        /// Lines that did not fit behind those that wait, or could not be written.
        var lost = 0
        /// The thread has taken bytes and not written them all.
        var isWriting = false
        /// The FIFO has no reader at the moment: what comes is counted, and nothing waits for it to be written.
        var isUnread = false
        /// Nothing is written any more, and nothing kept.
        var isDead = false
        var hasThread = false
        /// Texts that have come since a thread was tried for.
        var textsSinceAttempt = 0
    }

    /// Makes the thread; nil where none can be had.
    typealias ThreadMaker = @Sendable (@escaping @Sendable () -> Void) -> OwnedThread?
    private let makeThread: ThreadMaker

    /// A pipe to a descriptor, which is written by this alone and never closed. Without a thread the lines that fit are kept, and
    /// it is tried again with later ones; without a descriptor to wake it by no other is ever written.
    public convenience init(to descriptor: CInt, capacity: Int = 1 << 20) {
        self.init(to: descriptor, capacity: capacity) { OwnedThread(name: "tcmud-log", body: $0) }
    }

    init(to descriptor: CInt, capacity: Int, makeThread: @escaping ThreadMaker) {
        (self.descriptor, self.capacity, self.makeThread) = (descriptor, capacity, makeThread)
        wake = WakeDescriptor.make()
        store.withLock { ensureThread(&$0) }
    }

    /// Bound: texts for each attempt to get a thread, of which the system has none left.
    private static let textsPerAttempt = 16

    private func ensureThread(_ store: inout Store) {
        guard wake != nil, !store.hasThread else { return }
        store.textsSinceAttempt = 0
        guard let thread = makeThread({ self.drain() }) else { return }
        thread.detach()
        store.hasThread = true
    }

    /// Takes whole lines. Never waits, and takes none of a text that does not fit.
    public func write(_ text: String) {
        let mustWake = store.withLock { store -> Bool in
            if store.isDead { return false }
            if !store.hasThread {
                store.textsSinceAttempt += 1
                if store.textsSinceAttempt >= Self.textsPerAttempt { ensureThread(&store) }
            }
            // Behind lost lines nothing is taken before they have been told of: their place would not be found again.
            guard store.lost == 0, store.waiting.count + text.utf8.count <= capacity else {
                store.lost += 1
                return false
            }
            store.waiting += text.utf8
            return !store.isWriting
        }
        if mustWake { wake?.raise() }
    }

    /// Waits until all is written, but no longer than `limit`, and not for a reader that has gone.
    ///
    /// - Returns: false if it took too long.
    @discardableResult
    public func flush(within limit: Duration) -> Bool {
        let end = ContinuousClock.now + limit
        while true {
            let isDone = store.withLock { store in
                !store.isWriting && store.waiting.isEmpty && (store.lost == 0 || store.isUnread)
            }
            if isDone || ContinuousClock.now >= end { return isDone }
            usleep(2000)
        }
    }

    // MARK: - The thread

    private func drain() {
        var pause = Int32(200)
        while true {
            let (bytes, lost) = store.withLock { store -> ([UInt8], Int) in
                defer {
                    store.waiting = []
                    store.lost = 0
                }
                store.isWriting = !store.waiting.isEmpty || store.lost > 0
                return (store.waiting, store.lost)
            }
            if bytes.isEmpty && lost == 0 {
                wake?.wait(-1)
                continue
            }
            var (missing, failure) = put(bytes[...])
            if missing + lost > 0, failure == nil || lost > 0 {
                // Order: they came after those that were taken with them.
                missing += lost
                (_, failure) = put(Self.word(of: missing)[...])
                if failure == nil { missing = 0 }
            }
            let isUnread = failure == .brokenPipe
            guard missing > 0 else {
                store.withLock { $0.isUnread = false }
                pause = 200
                continue
            }
            if failure == .badFileDescriptor || isUnread && !mayBeReadAgain { return end() }
            store.withLock { store in
                store.lost += missing
                store.isWriting = false
                store.isUnread = isUnread
            }
            // A full disk, a FIFO without a reader: looked at again when there has been time for a change, and less often when there was
            // none.
            wake?.wait(pause)
            pause = min(pause * 2, 30_000)
        }
    }

    /// Whether a reader that has gone may have a successor: a FIFO is opened again by its name (an unnamed pipe looks the same), a
    /// socket is not.
    private var mayBeReadAgain: Bool {
        var facts = stat()
        return fstat(descriptor, &facts) == 0 && facts.st_mode & S_IFMT == S_IFIFO
    }

    /// What is written will never be read: the descriptor is closed, or the other end of the socket is.
    private func end() {
        store.withLock { store in
            store = Store()
            store.isDead = true
        }
    }

    private static func word(of lost: Int) -> [UInt8] {
        Array("\(lost) lines of the log are lost: they could not be written, or came faster than they were\n".utf8)
    }

    /// Writes all of `bytes`. Returns how many lines, whole or in part, could not be, and why.
    private func put(_ bytes: ArraySlice<UInt8>) -> (missing: Int, failure: Errno?) {
        var rest = bytes
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if count < 0 && errno == EAGAIN {
                // Somebody who shares the descriptor has made it non-blocking.
                var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = poll(&entry, 1, -1)
            } else if count == 0 || errno != EINTR {
                return (rest.count { $0 == UInt8(ascii: "\n") }, count == 0 ? .ioError : Errno(rawValue: errno))
            }
        }
        return (0, nil)
    }
}

/// An eventfd in a place that may be shared.
private final class WakeDescriptor: @unchecked Sendable {
    // SAFETY: an immutable descriptor; reads and writes of an eventfd are atomic.
    private let signal: WakeSignal

    private init(_ signal: consuming WakeSignal) {
        self.signal = signal
    }

    static func make() -> WakeDescriptor? {
        do throws(Errno) { return WakeDescriptor(try WakeSignal()) } catch { return nil }
    }

    func raise() { signal.raise() }

    /// Waits until it is raised, at most so many milliseconds; -1 is without end.
    func wait(_ milliseconds: Int32) {
        var entry = pollfd(fd: signal.descriptor, events: Int16(POLLIN), revents: 0)
        if poll(&entry, 1, milliseconds) > 0 { signal.clear() }
    }
}
