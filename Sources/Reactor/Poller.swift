internal import CLinux
internal import Glibc
public import SystemPackage

/// One epoll instance and the batch of events that its last wait brought.
///
/// The token given at registration comes back with the event; it names a unit and what of it became ready.
public struct Poller: ~Copyable {
    /// Events taken per wait. Bound: the rest stays in the kernel and comes with the next wait.
    public static let batch = 64

    private let descriptor: CInt
    private let events: UnsafeMutablePointer<epoll_event>

    /// How a registered descriptor announces itself.
    public enum Trigger: Sendable {
        /// As long as it is readable.
        case level
        /// Once per change. For UIO nodes this saves the 4-byte read per wake-up: each event of the kernel is a
        /// new change whether or not the counter was read (drivers/uio/uio.c, uio_event_notify).
        case edge
    }

    /// Creates the epoll instance.
    ///
    /// - Throws: EMFILE, ENFILE, ENOMEM.
    public init() throws(Errno) {
        descriptor = epoll_create1(CInt(EPOLL_CLOEXEC))
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        events = .allocate(capacity: Poller.batch)
        events.initialize(repeating: epoll_event(), count: Poller.batch)
    }

    deinit {
        events.deallocate()
        close(descriptor)
    }

    /// Watches `target` for input.
    ///
    /// - Throws: EEXIST, ENOMEM, ENOSPC, EPERM (not a pollable file).
    public func add(_ target: CInt, token: UInt64, trigger: Trigger) throws(Errno) {
        var event = epoll_event()
        event.events = EPOLLIN.rawValue | (trigger == .edge ? EPOLLET.rawValue : 0)
        event.data.u64 = token
        guard epoll_ctl(descriptor, EPOLL_CTL_ADD, target, &event) == 0 else { throw Errno(rawValue: errno) }
    }

    /// Stops watching `target`. A descriptor that is gone already is no error.
    public func remove(_ target: CInt) {
        var event = epoll_event()
        _ = epoll_ctl(descriptor, EPOLL_CTL_DEL, target, &event)
    }

    /// Waits for events.
    ///
    /// - Parameter milliseconds: -1 waits without end, 0 only looks.
    /// - Returns: how many events ``event(_:)`` now holds; 0 after a time-out or a signal.
    public mutating func wait(milliseconds: Int32) -> Int {
        let count = epoll_wait(descriptor, events, CInt(Poller.batch), milliseconds)
        if count >= 0 { return Int(count) }
        precondition(errno == EINTR, "epoll_wait on our own descriptor failed with errno \(errno)")
        return 0
    }

    /// Event `index` of the last wait: its token, and whether the descriptor reported an error or hang-up.
    public func event(_ index: Int) -> (token: UInt64, failed: Bool) {
        precondition(index >= 0 && index < Poller.batch)
        let event = events[index]
        return (event.data.u64, event.events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0)
    }
}
