internal import CLinux
internal import Glibc
public import SystemPackage

/// An eventfd that wakes a parked loop.
public struct WakeSignal: ~Copyable {
    /// The descriptor to poll for input.
    public let descriptor: CInt

    /// Creates the eventfd.
    ///
    /// - Throws: EMFILE, ENFILE, ENOMEM.
    public init() throws(Errno) {
        descriptor = eventfd(0, CInt(EFD_CLOEXEC | EFD_NONBLOCK))
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
    }

    deinit {
        close(descriptor)
    }

    /// Makes the descriptor readable. Callable from any thread, also from a C library's callback.
    public func raise() {
        WakeSignal.raise(descriptor)
    }

    /// As ``raise()``, for a holder of the bare descriptor.
    static func raise(_ descriptor: CInt) {
        var one: UInt64 = 1
        while write(descriptor, &one, 8) < 0 && errno == EINTR {}
    }

    /// Makes the descriptor unreadable again.
    public func clear() {
        var count: UInt64 = 0
        while read(descriptor, &count, 8) < 0 && errno == EINTR {}
    }
}
