public import SystemPackage

/// A module of the running kernel: whether it is there, and getting it there.
public struct KernelModule: Sendable {
    /// What became of a request to have the module.
    public enum Outcome: Equatable, Sendable {
        /// It has been loaded now.
        case loaded
        /// It had been loaded before.
        case alreadyPresent
        /// It is part of the kernel itself.
        case builtIn
    }

    /// The module's name with underscores, as sysfs has it.
    public let name: String
    let sysfs: FilePath
    /// Where the running kernel's modules are; nil is `/lib/modules/<release>`.
    let modulesDirectory: FilePath?
    /// Where modprobe's configuration is; nil is libkmod's own search path.
    let configurationDirectory: FilePath?
    let osRelease: FilePath

    /// A module by its name.
    ///
    /// - Parameters:
    ///   - name: with underscores, as sysfs has it.
    ///   - sysfs: where sysfs is mounted.
    ///   - modulesDirectory: instead of `/lib/modules/<release>`.
    ///   - configurationDirectory: instead of `/etc/modprobe.d` and its like.
    ///   - osRelease: instead of `/etc/os-release`, which tells where to get the module.
    public init(
        _ name: String, sysfs: FilePath = "/sys", modulesDirectory: FilePath? = nil,
        configurationDirectory: FilePath? = nil, osRelease: FilePath = "/etc/os-release"
    ) {
        self.name = name
        self.sysfs = sysfs
        self.modulesDirectory = modulesDirectory
        self.configurationDirectory = configurationDirectory
        self.osRelease = osRelease
    }

    /// Sees to it that the module is in the kernel.
    ///
    /// sysfs is asked first: in a container the modules' directory is often missing while the host's kernel has the
    /// module, and who has it needs no right to load it. A module on modprobe's blacklist is not loaded.
    public func load() throws(KernelModuleError) -> Outcome {
        if let present { return present }
        let attempt = insert()
        // Whatever libkmod says, what counts is whether the kernel has it; somebody else may have been faster.
        if let present { return attempt == .inserted ? .loaded : present }
        let reason: KernelModuleError.Reason =
            switch attempt {
            case .inserted: .failed(.operationNotSupportedByDevice)
            case .blacklisted: .blacklisted
            case .unknown: .notInstalled
            case .failed(.notPermitted), .failed(.permissionDenied): .notPermitted
            case .failed(let errno): .failed(errno)
            }
        throw KernelModuleError(
            module: name, kernelRelease: KernelRelease.running, reason: reason,
            distribution: Distribution(osReleaseFile: osRelease))
    }

    /// Whether the kernel has the module, by sysfs: modules that can be unloaded have a state, those built in do not.
    var present: Outcome? {
        let directory = sysfs.appending("module").appending(name)
        if directory.exists("initstate") { return .alreadyPresent }
        return directory.exists("parameters") || directory.exists("uevent") || directory.exists("version")
            ? .builtIn : nil
    }
}
