internal import CSystemd
internal import Glibc
internal import SystemPackage

/// The bus's thread: one connection after the other, until it is told to stop.
///
/// Not Sendable: nobody else has it.
final class BusLoop {
    private let subtypes: [ServedSubtype]
    private let options: DBusService.Options
    private let shared: BusMailbox
    private let report: @Sendable (BusEvent) -> Void
    private let checks: PendingChecks
    /// Whether the log has been told that there is no bus.
    private var hasComplained = false
    private var isNamed = false

    init(
        _ subtypes: [ServedSubtype], _ options: DBusService.Options, _ shared: BusMailbox,
        _ report: @escaping @Sendable (BusEvent) -> Void
    ) {
        self.subtypes = subtypes
        self.options = options
        self.shared = shared
        self.report = report
        checks = PendingChecks(subtypes, limit: options.checkLimit, shared)
    }

    func run() {
        let clock = ContinuousClock()
        var pause = Duration.seconds(1)
        while !shared.mustStop {
            let began = clock.now
            guard let reason = serve() else { return }
            checks.forgetAll()
            if isNamed { report(.lost(reason)) } else { complain(reason) }
            isNamed = false
            // A bus that throws us out at once is not asked again and again: at most every five minutes in the end.
            pause = clock.now - began > .seconds(60) ? .seconds(1) : min(pause * 2, .seconds(300))
            rest(until: clock.now + pause)
        }
    }

    private func complain(_ reason: String) {
        guard !hasComplained else { return }
        hasComplained = true
        report(.unavailable(reason))
    }

    /// One connection. - Returns: why it ended; nil if there shall be no other.
    private func serve() -> String? {
        var bus: OpaquePointer?
        // SAFETY: the loop outlives the connection, which is closed below; it is called back from `csystemd_process`.
        let owner = Unmanaged.passUnretained(self).toOpaque()
        let callbacks = UnsafeMutablePointer<csystemd_callbacks>.allocate(capacity: 1)
        callbacks.initialize(to: csystemd_callbacks(check: checkWasCalled, named: nameWasAnswered))
        defer { callbacks.deallocate() }
        let code = csystemd_open(options.address, callbacks, owner, &bus)
        guard code >= 0, let bus else { return failed(code, "the bus") }
        // After the calls that came by it are gone.
        defer {
            checks.forgetAll()
            csystemd_close(bus)
        }
        for (number, subtype) in subtypes.enumerated() {
            let code = csystemd_add_subtype(bus, CUnsignedInt(number), subtype.name, subtype.description)
            if code < 0 { return failed(code, "the object of \(subtype.name)") }
        }
        let asked = csystemd_request_name(bus)
        if asked < 0 { return failed(asked, "the name") }
        return converse(bus)
    }

    /// What cannot be for reasons of ours is not tried again.
    private func failed(_ code: CInt, _ what: String) -> String? {
        let error = Errno(rawValue: -code)
        guard error == .invalidArgument || error == .fileExists else { return "\(what): \(error)" }
        report(.unusable("\(what): \(error)"))
        return nil
    }

    /// - Returns: why the connection ended; nil if the loop was told to stop.
    private func converse(_ bus: OpaquePointer) -> String? {
        let clock = ContinuousClock()
        let complaintDue = clock.now + options.patience
        while !shared.mustStop {
            let code = csystemd_process(bus)
            if code < 0 { return Errno(rawValue: -code).description }
            checks.settle()
            // Bound: one message at a time, with a look at the mailbox between any two of them.
            if code > 0 { continue }

            var events: Int16 = 0
            var deadline = UInt64.max
            let descriptor = csystemd_wait_for(bus, &events, &deadline)
            if descriptor < 0 { return Errno(rawValue: -descriptor).description }
            var waits = [checks.nextDeadline.map { $0 - clock.now }, Self.left(until: deadline)]
            if !csystemd_is_ready(bus), !hasComplained {
                let left = complaintDue - clock.now
                if left <= .zero { complain("it is not there, or does not answer") } else { waits.append(left) }
            }
            wait(descriptor, events, waits.compactMap(\.self).min())
        }
        return nil
    }

    /// Time until `deadline`, in microseconds of the monotonic clock; nil for none.
    private static func left(until deadline: UInt64) -> Duration? {
        guard deadline != .max else { return nil }
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        let microseconds = Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1000
        return .microseconds(max(Int64(clamping: deadline) - microseconds, 0))
    }

    private func wait(_ descriptor: CInt, _ events: Int16, _ limit: Duration?) {
        var watched = [
            pollfd(fd: shared.descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: descriptor, events: events, revents: 0),
        ]
        poll(&watched, nfds_t(descriptor < 0 ? 1 : 2), limit.map(Self.milliseconds) ?? -1)
    }

    /// Rounded up, so that nothing is polled for in the last part of a millisecond.
    private static func milliseconds(_ length: Duration) -> CInt {
        let parts = max(min(length, .seconds(86_400)), .zero).components
        return CInt(
            clamping: parts.seconds * 1000 + (parts.attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }

    private func rest(until end: ContinuousClock.Instant) {
        while !shared.mustStop, ContinuousClock.now < end {
            wait(-1, 0, end - .now)
            checks.settle()
        }
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
    // SAFETY: `serve` handed over the loop, whose thread this is.
    let loop = Unmanaged<BusLoop>.fromOpaque(owner).takeUnretainedValue()
    loop.checkCalled(Int(subtype), call, String(cString: text))
}

private func nameWasAnswered(_ owner: UnsafeMutableRawPointer?, _ outcome: CInt) {
    guard let owner else { return }
    // SAFETY: as above.
    Unmanaged<BusLoop>.fromOpaque(owner).takeUnretainedValue().named(outcome)
}
