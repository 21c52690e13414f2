internal import SystemPackage

/// After what time the kernel gives up on a device's commands.
///
/// Each is nil where the kernel has no such attribute, and then it is as if it were the default.
extension Backstore {
    /// Seconds after which the kernel gives up a command that user space has (`attrib/cmd_time_out`; 30 by default); 0 is
    /// never.
    public func commandTimeout() throws(KernelFileError) -> Int? {
        try file("attrib", "cmd_time_out").countIfPresent()
    }

    /// Seconds that a command waits for room in the ring before the kernel answers TASK SET FULL
    /// (`attrib/qfull_time_out`; since Linux 4.15); 0 is not at all, and -1, the default, as long as
    /// ``commandTimeout()`` says, or 30 where that is 0.
    public func queueFullTimeout() throws(KernelFileError) -> Int? {
        do throws(KernelFileError) {
            return try file("attrib", "qfull_time_out").number(in: -1...Int(Int32.max))
        } catch {
            guard case .unreadable(.noSuchFileOrDirectory) = error.reason else { throw error }
            return nil
        }
    }
}
