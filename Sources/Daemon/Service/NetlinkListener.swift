internal import CLinux
internal import Glibc
internal import Logging
internal import Synchronization
internal import SystemPackage
internal import TCMUNetlink

/// Hears the kernel, on the control thread: what has come goes into a stream before anything is done about it, and no job of that
/// thread waits for anything, so that the socket's buffer is never full because that thread was busy.
final class NetlinkListener: Sendable {
    /// What the kernel tells. Ends when the listener stops or the socket fails.
    let events: AsyncStream<TCMUEvent>
    private let sink: AsyncStream<TCMUEvent>.Continuation
    private let stopSignal: CInt
    private let isStopping = Atomic<Bool>(false)
    private let ended = Atomic<Bool>(false)

    /// Everything that had arrived when it was stopped is in the stream.
    var hasEnded: Bool { ended.load(ordering: .acquiring) }

    /// Starts listening. Throws EMFILE, ENFILE, ENOMEM.
    init(_ session: NetlinkSession, logger: Logger) throws(Errno) {
        (events, sink) = AsyncStream.makeStream()
        stopSignal = eventfd(0, CInt(EFD_CLOEXEC))
        guard stopSignal >= 0 else { throw Errno(rawValue: errno) }
        Task(executorPreference: ControlThread.shared) { await self.listen(session, logger) }
    }

    deinit { close(stopSignal) }

    /// Ends the stream, after everything that has arrived.
    func stop() {
        isStopping.store(true, ordering: .releasing)
        var one: UInt64 = 1
        _ = write(stopSignal, &one, 8)
    }

    /// Makes the stream go on by one event that is nothing, for a reader that has something else to look at.
    func wake() {
        sink.yield(.ignored(reason: "the reader was woken"))
    }

    private func listen(_ session: NetlinkSession, _ logger: Logger) async {
        while true {
            // Ordering: before the receive, so that what came before the stop is received.
            let isLast = isStopping.load(ordering: .acquiring)
            do throws(NetlinkError) {
                // Before the first wait, too: events may have come with the set-up's acknowledgement.
                for event in try session.receive() {
                    if event == .familyCame { await renew(session, logger) }
                    sink.yield(event)
                }
            } catch {
                logger.critical("netlink cannot be read: \(error)")
                break
            }
            if isLast { break }
            await wait(for: session.socket.rawValue)
        }
        sink.finish()
        ended.store(true, ordering: .releasing)
    }

    /// Until there is something to receive, or the listener is stopped.
    private func wait(for socket: CInt) async {
        let events = Int16(POLLIN)
        let stopSignal = stopSignal
        if await ControlThread.wait(for: [(socket, events), (stopSignal, events)], atMost: nil) { return }
        // No control thread: Swift's pool must not wait.
        let waited: Void? = await BlockingCall.run("tcmud-netlink") {
            var watched = [
                pollfd(fd: socket, events: events, revents: 0), pollfd(fd: stopSignal, events: events, revents: 0),
            ]
            _ = poll(&watched, 2, -1)
        }
        if waited == nil { try? await ControlThread.sleep(for: .seconds(1)) }
    }

    /// The module was taken out and loaded again. It makes its family first and tells of it then, so one attempt does; if that
    /// one fails, because the module has gone again, its coming is told again.
    private func renew(_ session: NetlinkSession, _ logger: Logger) async {
        // The kernel's acknowledgement is waited for.
        let failure = await BlockingCall.run("renew-netlink") { () -> NetlinkError? in
            do throws(NetlinkError) {
                try session.renew()
                return nil
            } catch {
                return error
            }
        }
        switch failure {
        case .some(nil): logger.notice("target_core_user is in the kernel again; its devices are served again")
        case .some(.some(let error)):
            logger.error("target_core_user is in the kernel again, and is not heard: \(error)")
        case nil: logger.error("target_core_user is in the kernel again, and is not heard: no thread left")
        }
    }
}
