import BlockBackend
import Glibc
import RBDBackend
import Reactor
import Synchronization
import Testing

/// A thread that plays a unit's loop: runs what it is given, in order.
final class TestLoop: Sendable {
    private struct State {
        var work: [@Sendable () -> Void] = []
        var hasEnded = false
    }

    private let state = Mutex(State())
    private let thread = Mutex<OwnedThread?>(nil)

    init() {
        thread.withLock { $0 = OwnedThread(name: "test-loop") { [self] in run() } }
    }

    func post(_ work: @escaping @Sendable () -> Void) {
        state.withLock { $0.work.append(work) }
    }

    /// Runs `body` on the loop and waits for it.
    func run<Result: Sendable>(_ body: @escaping @Sendable () -> Result) -> Result {
        let box = Mutex<Result?>(nil)
        let place = Place(box)
        post { place.fill(body()) }
        while true {
            if let result = place.result { return result }
            usleep(200)
        }
    }

    /// Pieces of work that wait for those before them to end.
    var waiting: Int { state.withLock { $0.work.count } }

    func end() {
        state.withLock { $0.hasEnded = true }
        thread.withLock { thread in
            thread?.join()
            thread = nil
        }
    }

    private func run() {
        while true {
            let (work, hasEnded) = state.withLock { state in
                defer { state.work = [] }
                return (state.work, state.hasEnded)
            }
            for each in work { each() }
            if hasEnded && work.isEmpty { return }
            if work.isEmpty { usleep(200) }
        }
    }

    private final class Place<Result: Sendable>: Sendable {
        private let box: Mutex<Result?>

        init(_ box: consuming Mutex<Result?>) {
            self.box = box
        }

        func fill(_ result: Result) { box.withLock { $0 = result } }

        var result: Result? { box.withLock { $0 } }
    }
}

/// An open image with its keeper at work and a loop of its own, as the daemon has it.
final class Gateway: @unchecked Sendable {
    // SAFETY: the backend is touched on the loop, and by the one owner before and after.
    let backend: UnsafeMutablePointer<RBDBackend>
    let loop = TestLoop()
    let keeper: (any BackendKeeper)?
    private let heard = Mutex<[BackendNotice]>([])
    private var isOpen = true

    init(_ options: RBDOptions, bytes: UInt64, isStarted: Bool = true) throws {
        var options = options
        options.locksInBackground = isStarted
        backend = .allocate(capacity: 1)
        backend.initialize(to: try RBDBackend.open(options, expectedSize: bytes, blockSize: 512))
        keeper = backend.pointee.keeper
        if isStarted { start() }
    }

    private func start() {
        let loop = loop
        keeper?.start(
            KeeperSurroundings(
                onLoop: { loop.post($0) }, tell: { [self] notice in heard.withLock { $0.append(notice) } }))
    }

    deinit {
        close()
    }

    func stop() { keeper?.stop() }

    func close() {
        guard isOpen else { return }
        isOpen = false
        keeper?.stop()
        loop.end()
        backend.pointee.close()
        backend.deinitialize(count: 1)
        backend.deallocate()
    }

    var notices: [BackendNotice] { heard.withLock { $0 } }

    var remarks: [String] {
        notices.compactMap { if case .remark(_, let text) = $0 { text } else { nil } }
    }

    var client: UInt64 {
        loop.run { [self] in backend.pointee.clientInstance }
    }

    var capabilities: BackendCapabilities {
        loop.run { [self] in backend.pointee.capabilities }
    }

    var generation: UInt64 {
        loop.run { [self] in backend.pointee.writeGeneration }
    }

    var takeovers: UInt64 {
        loop.run { [self] in backend.pointee.takeovers }
    }

    var size: UInt64 {
        loop.run { [self] in backend.pointee.size }
    }

    func resize(to bytes: UInt64) throws(BackendError) { try keeper?.resize(to: bytes) }

    /// One write of a whole block, as a command would be tried once. Returns 0 or a negative errno.
    func write(_ bytes: [UInt8], block: Int) throws -> Int32 {
        let answers = try Answers()
        let segments = Segments(bytes)
        let (list, ticket) = (segments.list, answers.ticket())
        let extent = ByteExtent(offset: UInt64(block * bytes.count), length: UInt64(bytes.count))
        let submission = loop.run { [self] in
            backend.pointee.write(extent, from: list, durable: false, ticket: ticket)
        }
        return try finish(answers.result(submission))
    }

    /// Writes until it was carried out; EAGAIN and a lost lock are tried again, as initiators do after BUSY.
    func writeThrough(_ bytes: [UInt8], block: Int) throws {
        for _ in 0..<30_000 {
            let code = try write(bytes, block: block)
            if code == 0 { return }
            try #require([-EAGAIN, -ESHUTDOWN, -ETIMEDOUT].contains(code), "\(code)")
            usleep(2000)
        }
        Issue.record("a write never got through; \(notices)")
    }

    func read(block: Int, bytes: Int = 512) throws -> [UInt8]? {
        let answers = try Answers()
        let segments = Segments([bytes])
        let (list, ticket) = (segments.list, answers.ticket())
        let extent = ByteExtent(offset: UInt64(block * bytes), length: UInt64(bytes))
        let submission = loop.run { [self] in backend.pointee.read(extent, into: list, ticket: ticket) }
        return try finish(answers.result(submission)) == 0 ? segments.bytes : nil
    }

    private func finish(_ result: IOResult) -> Int32 {
        // A unit would wait for a moment; here it comes again, as an initiator does after BUSY.
        if result.isRightAwaited { return -EAGAIN }
        if result.isSuccess || result.code == -EAGAIN { return result.code }
        let code = result.code
        loop.post { [self] in backend.pointee.operationFailed(code) }
        return code
    }

    /// Waits until `condition` holds. Returns false if it never did, in a minute.
    func waits(_ condition: (Gateway) throws -> Bool) rethrows -> Bool {
        for _ in 0..<6000 {
            if try condition(self) { return true }
            usleep(10_000)
        }
        return false
    }
}
