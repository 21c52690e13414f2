public import SystemPackage

/// The parameters of target_core_user (`/sys/module/target_core_user/parameters`): what becomes of netlink events
/// without a daemon, and the bound of all data areas together.
public struct ModuleParameters: Sendable {
    private let directory: FilePath

    /// The parameters below a mount point of sysfs, usually `/sys`.
    public init(sysfs: FilePath) {
        directory = sysfs.appending("module/target_core_user/parameters")
    }

    /// Whether the running kernel has a parameter.
    public enum Outcome: Equatable, Sendable {
        /// The kernel took the value.
        case done
        /// An older kernel without the parameter; nothing is lost but what it is for.
        case unsupported
    }

    /// While blocked, adding and removing a device fails EAGAIN in the kernel instead of waiting for an answer.
    @discardableResult
    public func setNetlinkBlocked(_ blocked: Bool, by _: SoleDaemon) throws(KernelFileError) -> Outcome {
        try write(blocked ? "1" : "0", to: "block_netlink")
    }

    /// Wakes everyone in the kernel who waits for an answer, with EINTR. Only while netlink is blocked.
    @discardableResult
    public func resetNetlink(by _: SoleDaemon) throws(KernelFileError) -> Outcome {
        try write("1", to: "reset_netlink")
    }

    /// MiB that the data areas of all devices together should not outgrow (`global_max_data_area_mb`); nil on kernels
    /// without the parameter.
    ///
    /// No device may ask for more. Together they may have more for a time: above it the kernel takes back what idle
    /// ends of data areas hold, and looks again every 5 s.
    public func globalDataAreaMebibytes() throws(KernelFileError) -> Int? {
        try AttributeFile(path: directory.appending("global_max_data_area_mb")).countIfPresent()
    }

    private func write(_ value: String, to name: String) throws(KernelFileError) -> Outcome {
        do {
            try AttributeFile(path: directory.appending(name)).write(value)
            return .done
        } catch {
            guard case .refused(_, .noSuchFileOrDirectory) = error.reason else { throw error }
            return .unsupported
        }
    }
}
