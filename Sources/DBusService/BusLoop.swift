internal import CSystemd
internal import Glibc
internal import SystemPackage

/// The daemon's connection to the bus, made anew when it is lost, in turns that never wait.
///
/// Not Sendable: one thread at a time gives it its turns.
public final class BusLoop {
    /// What the next turn waits for: any of the descriptors, or the time.
    public struct Wait: Sendable {
        /// Descriptors with poll(2)'s events; the first is always there.
        public var descriptors: [(descriptor: CInt, events: Int16)]
        /// Nil is without end.
        public var limit: Duration?
    }

    private let subtypes: [ServedSubtype]
    private let options: DBusService.Options
    private let shared: BusMailbox
    private let report: @Sendable (BusEvent) -> Void
    private let checks: PendingChecks
    private let callbacks: UnsafeMutablePointer<csystemd_callbacks>

    private var bus: OpaquePointer?
    private var isOver = false
    private var isNamed = false
    /// Whether the log has been told that there is no bus.
    private var hasComplained = false
    private var connectedAt = ContinuousClock.now
    private var restsUntil = ContinuousClock.now
    private var pause = Duration.seconds(1)

    /// Bound: messages of one turn. Whoever floods the bus must not hold up what else the thread has to do.
    private static let messagesPerTurn = 16

    init(
        _ subtypes: [ServedSubtype], _ options: DBusService.Options, _ shared: BusMailbox,
        _ report: @escaping @Sendable (BusEvent) -> Void
    ) {
        self.subtypes = subtypes
        self.options = options
        self.shared = shared
        self.report = report
        checks = PendingChecks(subtypes, limit: options.checkLimit, shared)
        callbacks = .allocate(capacity: 1)
        callbacks.initialize(to: csystemd_callbacks(check: checkWasCalled, named: nameWasAnswered))
    }

    deinit {
        disconnect()
        callbacks.deallocate()
    }

    /// Does what there is to do.
    ///
    /// - Returns: what to wait for until the next turn; nil if there shall be none.
    public func turn() -> Wait? {
        if shared.mustStop { isOver = true }
        checks.settle()
        if !isOver, bus == nil, ContinuousClock.now >= restsUntil { connect() }
        if let bus, !isOver { return converse(bus) }
        guard !isOver else {
            disconnect()
            return nil
        }
        return rest
    }

    // MARK: - A connection

    private func connect() {
        connectedAt = .now
        var opened: OpaquePointer?
        // SAFETY: the loop outlives the connection, which `disconnect` ends; it is called back within its turns.
        let owner = Unmanaged.passUnretained(self).toOpaque()
        let code = csystemd_open(options.address, callbacks, owner, &opened)
        guard code >= 0, let opened else { return failed(code, "the bus") }
        bus = opened
        for (number, subtype) in subtypes.enumerated() {
            let code = csystemd_add_subtype(opened, CUnsignedInt(number), subtype.name, subtype.description)
            if code < 0 { return failed(code, "the object of \(subtype.name)") }
        }
        let asked = csystemd_request_name(opened)
        if asked < 0 { failed(asked, "the name") }
    }

    private func disconnect() {
        // Order: calls hold on to the connection by which they came.
        checks.forgetAll()
        if let bus { csystemd_close(bus) }
        bus = nil
    }

    /// What cannot be for reasons of ours is not tried again.
    private func failed(_ code: CInt, _ what: String) {
        let error = Errno(rawValue: -code)
        guard error == .invalidArgument || error == .fileExists else { return lost("\(what): \(error)") }
        isOver = true
        report(.unusable("\(what): \(error)"))
    }

    private func lost(_ reason: String) {
        disconnect()
        if isNamed {
            // That is the one line about it until the name is back.
            (isNamed, hasComplained) = (false, true)
            report(.lost(reason))
        } else {
            complain(reason)
        }
        // A bus that throws us out at once is not asked again and again: every five minutes in the end.
        let now = ContinuousClock.now
        pause = now - connectedAt > .seconds(60) ? .seconds(1) : min(pause * 2, .seconds(300))
        restsUntil = now + pause
    }

    private func complain(_ reason: String) {
        guard !hasComplained else { return }
        hasComplained = true
        report(.unavailable(reason))
    }

    private func converse(_ bus: OpaquePointer) -> Wait? {
        for _ in 0..<Self.messagesPerTurn {
            let code = csystemd_process(bus)
            if code < 0 {
                lost(Errno(rawValue: -code).description)
                return rest
            }
            if code == 0 { return wait(for: bus) }
        }
        return Wait(descriptors: [mailbox], limit: .zero)
    }

    // MARK: - Waiting

    private var mailbox: (descriptor: CInt, events: Int16) { (shared.descriptor, Int16(POLLIN)) }

    private var rest: Wait { Wait(descriptors: [mailbox], limit: max(restsUntil - .now, .zero)) }

    private func wait(for bus: OpaquePointer) -> Wait {
        var events: Int16 = 0
        var deadline = UInt64.max
        let descriptor = csystemd_wait_for(bus, &events, &deadline)
        guard descriptor >= 0 else {
            lost(Errno(rawValue: -descriptor).description)
            return rest
        }
        var limits = [checks.nextDeadline.map { max($0 - .now, .zero) }, Self.left(until: deadline)]
        if !csystemd_is_ready(bus), !hasComplained {
            let left = options.patience - (.now - connectedAt)
            if left <= .zero { complain("it is not there, or does not answer") } else { limits.append(left) }
        }
        return Wait(descriptors: [mailbox, (descriptor, events)], limit: limits.compactMap(\.self).min())
    }

    /// Time until `deadline`, in microseconds of the monotonic clock; nil for none.
    private static func left(until deadline: UInt64) -> Duration? {
        guard deadline != .max else { return nil }
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        let microseconds = Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1000
        return .microseconds(max(Int64(clamping: deadline) - microseconds, 0))
    }

    // MARK: - Called back

    fileprivate func named(_ outcome: CInt) {
        switch outcome {
        case 1 where isNamed: break
        case 1:
            (isNamed, hasComplained) = (true, false)
            report(.named)
        case 2: report(.queued)
        default:
            let reason = outcome < 0 ? Errno(rawValue: -outcome).description : "answer \(outcome)"
            complain("the name \(DBusService.name) is refused: \(reason). May root own it by the bus's policy?")
        }
    }

    fileprivate func checkCalled(_ subtype: Int, _ call: OpaquePointer, _ text: String) {
        checks.begin(subtype, call, text)
    }
}

// Top-level functions: a closure literal would carry an isolation check.

private func checkWasCalled(
    _ owner: UnsafeMutableRawPointer?, _ subtype: CUnsignedInt, _ call: OpaquePointer?,
    _ text: UnsafePointer<CChar>?
) {
    guard let owner, let call, let text else { return }
    // SAFETY: `connect` handed over the loop, within whose turn this is.
    let loop = Unmanaged<BusLoop>.fromOpaque(owner).takeUnretainedValue()
    loop.checkCalled(Int(subtype), call, String(cString: text))
}

private func nameWasAnswered(_ owner: UnsafeMutableRawPointer?, _ outcome: CInt) {
    guard let owner else { return }
    // SAFETY: as above.
    Unmanaged<BusLoop>.fromOpaque(owner).takeUnretainedValue().named(outcome)
}
