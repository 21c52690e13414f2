public import SystemPackage

/// An attribute of the kernel's that could not be read, written or understood. Always names the file.
public struct KernelFileError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What went wrong.
    public enum Reason: Equatable, Sendable {
        /// The file could not be opened, read or listed.
        case unreadable(Errno)
        /// The kernel did not take the value.
        case refused(value: String, Errno)
        /// The file holds something other than the kernel is known to put there.
        case malformed(value: String, expected: String)
    }

    /// The file or directory, from the root.
    public let path: String
    /// What went wrong.
    public let reason: Reason

    /// Creates an error about one file.
    public init(path: String, reason: Reason) {
        self.path = path
        self.reason = reason
    }

    /// The kernel's own answer, or EIO for contents we cannot make sense of.
    public var errno: Errno {
        switch reason {
        case .unreadable(let errno), .refused(_, let errno): errno
        case .malformed: .ioError
        }
    }

    /// One line with the path, the value and what was expected.
    public var description: String {
        switch reason {
        case .unreadable(let errno): "cannot read \(path): \(errno)"
        case .refused(let value, let errno): "cannot write \(value.debugDescription) to \(path): \(errno)"
        case .malformed(let value, let expected): "\(path) holds \(value.debugDescription), expected \(expected)"
        }
    }
}
