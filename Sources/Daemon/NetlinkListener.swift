internal import CLinux
internal import Glibc
internal import Logging
internal import Reactor
internal import SystemPackage
internal import TCMUNetlink

/// The thread that hears the kernel, and nothing else: events go into a stream as fast as they come, so that the
/// socket's buffer is never full because somebody was busy.
final class NetlinkListener: Sendable {
    /// What the kernel tells. Ends when the listener stops or the socket fails.
    let events: AsyncStream<TCMUEvent>
    private let sink: AsyncStream<TCMUEvent>.Continuation
    private let stopSignal: CInt

    /// Starts listening. Traps if the system has neither descriptor nor thread to give at start-up.
    init(_ session: NetlinkSession, logger: Logger) {
        (events, sink) = AsyncStream.makeStream()
        stopSignal = eventfd(0, CInt(EFD_CLOEXEC))
        precondition(stopSignal >= 0, "no descriptor for the netlink thread")
        let (sink, stopSignal) = (sink, stopSignal)
        let thread = OwnedThread(name: "tcmud-netlink") {
            Self.listen(session, stopSignal, sink, logger)
            sink.finish()
        }
        precondition(thread != nil, "no thread for netlink")
        thread?.detach()
    }

    /// Ends the stream, after everything that has arrived.
    func stop() {
        var one: UInt64 = 1
        _ = write(stopSignal, &one, 8)
    }

    private static func listen(
        _ session: NetlinkSession, _ stopSignal: CInt, _ sink: AsyncStream<TCMUEvent>.Continuation,
        _ logger: Logger
    ) {
        var watched = [
            pollfd(fd: session.socket.rawValue, events: Int16(POLLIN), revents: 0),
            pollfd(fd: stopSignal, events: Int16(POLLIN), revents: 0),
        ]
        while true {
            do throws(NetlinkError) {
                // Before the first wait, too: events may have come with the set-up's acknowledgement.
                for event in try session.receive() { sink.yield(event) }
            } catch {
                logger.critical("netlink cannot be read: \(error)")
                return
            }
            // Asked to stop: what came meanwhile was received just now.
            if watched[1].revents != 0 { return }
            while poll(&watched, 2, -1) < 0 && errno == EINTR {}
        }
    }
}
