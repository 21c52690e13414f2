internal import CLinux
internal import Glibc
internal import Logging
internal import Reactor
internal import Synchronization
internal import SystemPackage
internal import TCMUNetlink

/// The thread that hears the kernel, and nothing else: events go into a stream as fast as they come, so that the
/// socket's buffer is never full because somebody was busy.
final class NetlinkListener: Sendable {
    /// What the kernel tells. Ends when the listener stops or the socket fails.
    let events: AsyncStream<TCMUEvent>
    private let sink: AsyncStream<TCMUEvent>.Continuation
    private let stopSignal: CInt
    private let ended = Atomic<Bool>(false)

    /// Everything that had arrived when it was stopped is in the stream.
    var hasEnded: Bool { ended.load(ordering: .acquiring) }

    /// Starts listening. - Throws: EMFILE, ENFILE, ENOMEM; EAGAIN where no thread can be had.
    init(_ session: NetlinkSession, logger: Logger) throws(Errno) {
        (events, sink) = AsyncStream.makeStream()
        stopSignal = eventfd(0, CInt(EFD_CLOEXEC))
        guard stopSignal >= 0 else { throw Errno(rawValue: errno) }
        let (sink, stopSignal) = (sink, stopSignal)
        let thread = OwnedThread(name: "tcmud-netlink") {
            Self.listen(session, stopSignal, sink, logger)
            sink.finish()
            self.ended.store(true, ordering: .releasing)
        }
        guard let thread else {
            close(stopSignal)
            throw .resourceTemporarilyUnavailable
        }
        thread.detach()
    }

    /// Ends the stream, after everything that has arrived.
    func stop() {
        var one: UInt64 = 1
        _ = write(stopSignal, &one, 8)
    }

    /// Makes the stream go on by one event that is nothing, for a reader that has something else to look at.
    func wake() {
        sink.yield(.ignored(reason: "the reader was woken"))
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
                for event in try session.receive() {
                    if event == .familyCame { renew(session, logger) }
                    sink.yield(event)
                }
            } catch {
                logger.critical("netlink cannot be read: \(error)")
                return
            }
            // Asked to stop: what came meanwhile was received just now.
            if watched[1].revents != 0 { return }
            while poll(&watched, 2, -1) < 0 && errno == EINTR {}
        }
    }

    /// The module was taken out and loaded again. It makes its family first and tells of it then, so one attempt does; if that
    /// one fails, because the module has gone again, its coming is told again.
    private static func renew(_ session: NetlinkSession, _ logger: Logger) {
        do throws(NetlinkError) {
            try session.renew()
            logger.notice("target_core_user is in the kernel again; its devices are served again")
        } catch {
            logger.error("target_core_user is in the kernel again, and is not heard: \(error)")
        }
    }
}
