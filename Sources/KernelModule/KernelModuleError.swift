internal import KernelFiles
public import SystemPackage

/// A kernel without the module, why, and how to get it.
public struct KernelModuleError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Why the module is not there.
    public enum Reason: Equatable, Sendable {
        /// It is not installed for the running kernel.
        case notInstalled
        /// modprobe's configuration forbids it.
        case blacklisted
        /// It takes CAP_SYS_MODULE to load it.
        case notPermitted
        /// The kernel refused it.
        case failed(Errno)
    }

    /// The module's name.
    public let module: String
    /// The running kernel, as `uname -r` prints it.
    public let kernelRelease: String
    /// Why it is not there.
    public let reason: Reason
    /// Whose advice to give.
    public let distribution: Distribution

    /// One line: what is missing and how to get it.
    public var description: String {
        switch reason {
        case .notInstalled:
            "kernel module \(module) is not installed for the running kernel \(kernelRelease): "
                + distribution.advice(kernelRelease: kernelRelease)
        case .blacklisted:
            "kernel module \(module) is on modprobe's blacklist: remove it from /etc/modprobe.d, "
                + "or load it by hand with modprobe \(module)"
        case .notPermitted:
            "kernel module \(module) is not loaded and loading it is not permitted: run as root, "
                + "or load it on the host with modprobe \(module)"
        case .failed(let errno):
            "kernel module \(module) cannot be loaded into kernel \(kernelRelease): \(errno) (see dmesg)"
        }
    }
}

/// The Linux distribution, as far as it decides where kernel modules come from.
public struct Distribution: Equatable, Sendable {
    /// ID and ID_LIKE of os-release: the distribution, then those it descends from.
    public let identifiers: [String]

    /// Reads the text of `/etc/os-release`; a text without an ID gives no identifiers.
    public init(osRelease text: String) {
        var values: [Substring: [String]] = [:]
        for line in text.split(whereSeparator: \.isNewline) {
            guard let equals = line.firstIndex(of: "=") else { continue }
            let words = line[line.index(after: equals)...].split { $0 == " " || $0 == "\"" || $0 == "'" }
            values[line[..<equals]] = words.map { $0.lowercased() }
        }
        identifiers = (values["ID"] ?? []) + (values["ID_LIKE"] ?? [])
    }

    init(osReleaseFile path: FilePath) {
        let bytes = (try? SmallFile.prefix(of: path, 65536)) ?? []
        self.init(osRelease: String(decoding: bytes, as: UTF8.self))
    }

    /// Where the modules of LIO's target core come from here.
    func advice(kernelRelease: String) -> String {
        for identifier in identifiers {
            switch identifier {
            case "ubuntu": return "apt install linux-modules-extra-\(kernelRelease)"
            case "debian": return "apt install linux-image-amd64 (or -cloud-amd64, -arm64), then boot that kernel"
            case "fedora", "rhel", "centos":
                return "dnf install kernel-modules-\(kernelRelease) kernel-modules-extra-\(kernelRelease)"
            case "suse", "sles", "opensuse": return "zypper install kernel-default, then boot that kernel"
            case "arch": return "pacman -S linux, then boot that kernel"
            case "alpine": return "apk add linux-lts, then boot that kernel"
            default: continue
            }
        }
        return
            "boot a kernel built with CONFIG_TCM_USER2=m and its modules installed in /lib/modules/\(kernelRelease)"
    }
}
