public import SystemPackage

/// Why a backend could not be opened: the errno that the kernel is told and the line that people read.
public struct BackendError: Error, Sendable, CustomStringConvertible {
    /// Goes to the kernel as the status of ADDED_DEVICE, and so to whoever writes `enable`.
    public let errno: Errno
    /// What was tried with which value, and what was expected.
    public let message: String

    /// An error for the log and the kernel.
    public init(_ errno: Errno, _ message: String) {
        self.errno = errno
        self.message = message
    }

    /// Message and errno in one line.
    public var description: String { "\(message) (errno \(errno.rawValue))" }
}
