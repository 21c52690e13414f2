internal import CLinux
internal import Glibc
internal import Logging
internal import Synchronization
internal import SystemPackage

/// Hears signals as the control plane's news: on its thread, between two of its steps, never in the middle of anything.
///
/// What comes before it listens waits in the kernel.
final class SignalListener: Sendable {
    private let descriptor: CInt
    private let logger: Logger
    /// Asked for the daemon's status. Of requests that come faster than they are answered the last one counts.
    let statusRequests: AsyncStream<Void>
    private let statusAsked: AsyncStream<Void>.Continuation

    /// Ready to hear what ``SignalRule/enforce()`` has blocked. Throws EMFILE, ENFILE, ENOMEM.
    init(logger: Logger) throws(Errno) {
        descriptor = clinux_signal_descriptor(SignalRule.requests, Int32(SignalRule.requests.count))
        guard descriptor >= 0 else { throw Errno(rawValue: -descriptor) }
        self.logger = logger
        (statusRequests, statusAsked) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    deinit {
        close(descriptor)
    }

    /// Waits before there is anything to stop. Returns true as soon as a stop is asked for.
    func isStopAsked(within limit: Duration) async -> Bool {
        let end = ContinuousClock.now + limit
        while case let left = end - .now, left > .zero {
            guard await ControlThread.wait(for: [(descriptor, Int16(POLLIN))], atMost: left) else { return false }
            while let signal = next() {
                guard signal.request == .stop else { continue }
                logger.notice("\(signal): stopped before the start")
                return true
            }
        }
        return false
    }

    /// Listens until the task is cancelled.
    ///
    /// - Parameter stop: called once, however often the daemon is asked to stop.
    func listen(stop: @Sendable () async -> Void) async {
        var stopping: ContinuousClock.Instant?
        while !Task.isCancelled {
            guard await ControlThread.wait(for: [(descriptor, Int16(POLLIN))], atMost: nil) else { return }
            while let signal = next() {
                switch signal.request {
                case .stop:
                    if let since = stopping {
                        let seconds = (ContinuousClock.now - since).components.seconds
                        logger.notice(
                            """
                            \(signal): stopping already, for \(seconds) s; images are closed as far as their storage \
                            answers. SIGKILL would cut that short, and the next daemon take over what is left
                            """)
                        continue
                    }
                    stopping = .now
                    logger.notice("\(signal): stopping in order")
                    await stop()
                case .status: statusAsked.yield()
                case .reload:
                    logger.notice(
                        """
                        \(signal): nothing to read or open again: settings of a LUN are read when it is opened, and the log \
                        goes to standard error. I/O goes on
                        """)
                case nil: break
                }
            }
        }
    }

    private func next() -> ReceivedSignal? {
        var sender: Int32 = 0
        let number = clinux_take_signal(descriptor, &sender)
        return number > 0 ? ReceivedSignal(number: number, sender: sender) : nil
    }
}
