public import BlockBackend
internal import Glibc
internal import Reactor
internal import Synchronization

/// What a ``ScriptedBackend`` does, told by the test's thread, and what it has been asked, seen from there.
///
/// The content is a plain array of bytes. An operation takes effect when it is answered, not when it is submitted:
/// a unit that lets go of a command's buffer too early, or answers for the backend, shows.
public final class BackendScript: Sendable {
    /// When an operation is answered.
    public enum Timing: Sendable {
        /// At once, by `.done`.
        case immediate
        /// When the test calls ``release(_:)``, on the test's thread.
        case held
    }

    /// The order in which held operations are answered.
    public enum Order: Sendable {
        /// As submitted.
        case oldestFirst
        /// The other way round.
        case newestFirst
    }

    /// The kinds of operations.
    public enum Kind: Sendable, Hashable, CaseIterable {
        case read, write, flush, discard, writeZeroes, writeSame, compareAndWrite, prefetch, survey

        /// It alters the medium, and needs the right to write.
        var writes: Bool {
            switch self {
            case .write, .discard, .writeZeroes, .writeSame, .compareAndWrite: true
            case .read, .flush, .prefetch, .survey: false
            }
        }
    }

    /// An operation as the unit asked for it.
    public struct Operation: Sendable, Equatable {
        /// What.
        public let kind: Kind
        /// Where; offset and length 0 for a flush and for a survey of space.
        public let extent: ByteExtent
        /// FUA on a write.
        public let isDurable: Bool
        /// A read that passes by the cache.
        public var isOfMedium = false
    }

    /// What surveys are told.
    public struct SurveyAnswer: Sendable {
        /// Given as they are, whatever was asked; nil says that all of the extent is mapped.
        public var runs: [AllocationRun]?
        /// Bytes that can still be allocated.
        public var availableBytes: UInt64?
        /// Bytes that are allocated.
        public var usedBytes: UInt64?

        /// All mapped, nothing known of space, but for what is given.
        public init(runs: [AllocationRun]? = nil, availableBytes: UInt64? = nil, usedBytes: UInt64? = nil) {
            self.runs = runs
            self.availableBytes = availableBytes
            self.usedBytes = usedBytes
        }
    }

    struct Held: Sendable {
        let operation: Operation
        let segments: SegmentList?
        let patternLength: Int
        let survey: Survey?
        let ticket: IOTicket
    }

    private struct State {
        var timing = Timing.immediate
        var content: [UInt8]
        var operations: [Operation] = []
        var held: [Held] = []
        var failures: [Kind: Int32] = [:]
        var surveyAnswer = SurveyAnswer()
        var batches = 0
        var isClosed = false
        var willClose: @Sendable () -> Void = {}
        var ownership = Ownership()
        var reportedFailures: [Int32] = []
        var size: UInt64
    }

    /// Whether the unit may write, as a backend with an exclusive lock would have it.
    public struct Ownership: Sendable {
        /// Operations that write are carried out; otherwise they and claims are answered EAGAIN, or `IOResult.rightAwaited`.
        public var mayWrite = true
        /// The right to write is on its way.
        public var isAwaited = false
        /// See `BlockBackend.writeGeneration`.
        public var generation: UInt64 = 0
        /// See `BlockBackend.takeovers`.
        public var takeovers: UInt64 = 0
        /// Reads need the right, too.
        public var readsNeedRight = false
        /// Commands that need the right to their end; see `BlockBackend.beginNeedingRight`.
        public var needs = 0
        /// Claims made while it may not write.
        public var claims = 0

        var refusal: IOResult { isAwaited ? .rightAwaited : IOResult(code: -EAGAIN) }
    }

    private let state: Mutex<State>
    /// Size in bytes.
    public var size: UInt64 { state.withLock { $0.size } }
    /// What looks after the backend.
    public let keeper: (any BackendKeeper)?
    /// What the backend claims to be able to do.
    public let capabilities: BackendCapabilities

    /// A script for `size` bytes of zeros.
    public init(
        size: UInt64, capabilities: BackendCapabilities = BackendCapabilities(),
        keeper: (any BackendKeeper)? = nil
    ) {
        self.capabilities = capabilities
        self.keeper = keeper
        state = Mutex(State(content: [UInt8](repeating: 0, count: Int(size)), size: size))
    }

    // MARK: - For the test

    /// From now on, operations are answered so.
    public func answer(_ timing: Timing) {
        state.withLock { $0.timing = timing }
    }

    /// From now on, operations of `kind` fail with `errno` (positive) and change nothing; nil ends that.
    public func fail(_ kind: Kind, with errno: Int32?) {
        state.withLock { $0.failures[kind] = errno }
    }

    /// From now on, surveys are answered so.
    public func answerSurveys(_ answer: SurveyAnswer) {
        state.withLock { $0.surveyAnswer = answer }
    }

    /// Whether the unit may write; the test changes it.
    public var ownership: Ownership {
        get { state.withLock { $0.ownership } }
        set { state.withLock { $0.ownership = newValue } }
    }

    /// From now on the backend has so many bytes, the new ones zeros; not fewer than before.
    public func grow(to bytes: UInt64) {
        state.withLock { state in
            precondition(bytes >= state.size, "a script does not shrink")
            state.content += [UInt8](repeating: 0, count: Int(bytes - state.size))
            state.size = bytes
        }
    }

    /// The errno values, negative, that the unit has passed on.
    public var reportedFailures: [Int32] { state.withLock { $0.reportedFailures } }

    /// Everything asked so far, in order.
    public var operations: [Operation] { state.withLock { $0.operations } }

    /// Operations submitted and not answered.
    public var heldCount: Int { state.withLock { $0.held.count } }

    /// Calls of `submitBatch`.
    public var batches: Int { state.withLock { $0.batches } }

    /// Runs `body` while the backend is being closed.
    public func whileClosing(_ body: @escaping @Sendable () -> Void) {
        state.withLock { $0.willClose = body }
    }

    /// True after `close`.
    public var isClosed: Bool { state.withLock { $0.isClosed } }

    /// The content.
    public var content: [UInt8] {
        get { state.withLock { $0.content } }
        set { state.withLock { $0.content = newValue } }
    }

    /// Answers what is held, on the calling thread: all are carried out in this order, then all tickets posted.
    ///
    /// - Returns: how many operations that were.
    @discardableResult
    public func release(_ order: Order = .oldestFirst) -> Int {
        let held = order == .oldestFirst ? takeHeld() : takeHeld().reversed()
        let results = held.map { carryOut($0) }
        for (one, result) in zip(held, results) { one.ticket.post(result) }
        return held.count
    }

    /// Answers one held operation chosen by `random`.
    ///
    /// - Returns: false if none is held.
    public func releaseOne(using random: inout SeededRandom) -> Bool {
        let one = state.withLock { state -> Held? in
            state.held.isEmpty ? nil : state.held.remove(at: Int.random(in: state.held.indices, using: &random))
        }
        guard let one else { return false }
        answer(one)
        return true
    }

    /// Waits until `count` operations are held.
    ///
    /// - Returns: false if that takes longer than `milliseconds`.
    public func waitForHeld(_ count: Int, milliseconds: Int = 20_000) -> Bool {
        for _ in 0..<milliseconds {
            if heldCount >= count { return true }
            usleep(1000)
        }
        return heldCount >= count
    }

    /// Waits until an operation at byte `offset` is submitted.
    ///
    /// - Returns: false if that takes about 20 s.
    public func waitForOperation(at offset: UInt64) -> Bool {
        for _ in 0..<20_000 {
            if state.withLock({ $0.operations.contains { $0.extent.offset == offset } }) { return true }
            usleep(1000)
        }
        return false
    }

    // MARK: - For the backend

    func submit(_ held: Held) -> Submission {
        let isHeld = state.withLock { state -> Bool? in
            state.operations.append(held.operation)
            let needsRight =
                held.operation.kind.writes || held.operation.kind == .read && state.ownership.readsNeedRight
            if needsRight, !state.ownership.mayWrite {
                state.ownership.claims += 1
                return nil
            }
            if state.timing == .held { state.held.append(held) }
            return state.timing == .held
        }
        guard let isHeld else { return .done(ownership.refusal) }
        return isHeld ? .pending : .done(carryOut(held))
    }

    func claim() -> IOResult {
        state.withLock { state in
            if state.ownership.mayWrite { return .success }
            state.ownership.claims += 1
            return state.ownership.refusal
        }
    }

    func note(failure code: Int32) {
        state.withLock { $0.reportedFailures.append(code) }
    }

    func countBatch() {
        state.withLock { $0.batches += 1 }
    }

    func close() {
        let willClose = state.withLock { state in
            precondition(state.held.isEmpty, "a backend is closed with \(state.held.count) tickets out")
            return state.willClose
        }
        willClose()
        state.withLock { $0.isClosed = true }
    }

    /// Everything held, which is not held any longer.
    func takeHeld() -> [Held] {
        state.withLock { state in
            defer { state.held = [] }
            return state.held
        }
    }

    func hold(_ held: Held) {
        state.withLock { $0.held.append(held) }
    }

    func answer(_ held: Held) {
        let result = carryOut(held)
        held.ticket.post(result)
    }

    private func carryOut(_ held: Held) -> IOResult {
        state.withLock { state in
            let extent = held.operation.extent
            guard extent.length <= state.size, extent.offset <= state.size - extent.length else {
                preconditionFailure("the unit sent \(held.operation) beyond \(state.size) bytes")
            }
            if let errno = state.failures[held.operation.kind] { return IOResult(code: -errno) }
            if let survey = held.survey { return Self.fill(survey, with: state.surveyAnswer) }
            return state.content.withUnsafeMutableBytes { content in
                let range = UnsafeMutableRawBufferPointer(
                    rebasing: content[Int(extent.offset)..<Int(extent.offset + extent.length)])
                return Self.apply(held, to: range)
            }
        }
    }

    private static func fill(_ survey: Survey, with answer: SurveyAnswer) -> IOResult {
        switch survey.question {
        case .allocation(let extent, let limit):
            if let runs = answer.runs {
                survey.runs = runs
            } else {
                _ = survey.append(
                    from: extent.offset, to: extent.offset + extent.length, isMapped: true, limit: limit)
            }
        case .space:
            survey.availableBytes = answer.availableBytes
            survey.usedBytes = answer.usedBytes
        }
        return .success
    }

    private static func apply(_ held: Held, to range: UnsafeMutableRawBufferPointer) -> IOResult {
        guard let segments = held.segments else {
            switch held.operation.kind {
            case .discard, .writeZeroes: range.initializeMemory(as: UInt8.self, repeating: 0)
            default: break
            }
            return .success
        }
        switch held.operation.kind {
        case .read:
            precondition(segments.write(UnsafeRawBufferPointer(range)) == range.count, "segments too short")
        case .write:
            precondition(segments.read(into: range) == range.count, "segments too short")
        case .writeSame:
            for start in stride(from: 0, to: range.count, by: held.patternLength) {
                let piece = UnsafeMutableRawBufferPointer(rebasing: range[start..<start + held.patternLength])
                precondition(segments.read(into: piece) == held.patternLength, "pattern too short")
            }
        case .compareAndWrite:
            if let difference = segments.firstDifference(from: UnsafeRawBufferPointer(range)) {
                return .miscompare(at: UInt64(difference))
            }
            precondition(segments.read(into: range, from: range.count) == range.count, "segments too short")
        case .flush, .discard, .writeZeroes, .prefetch, .survey: break
        }
        return .success
    }
}
