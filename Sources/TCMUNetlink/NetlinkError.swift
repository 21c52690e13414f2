public import SystemPackage

/// The netlink socket could not be set up or used.
public enum NetlinkError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The kernel has no family TCM-USER: target_core_user is not loaded.
    case familyMissing
    /// A step of the set-up failed in libnl, in its words.
    case setUp(step: String, message: String)
    /// The kernel refused to be told that we answer its requests. EPERM: not root.
    case featuresRefused(Errno)
    /// The kernel did not acknowledge within the time a system call takes.
    case noAcknowledgement
    /// A system call on the socket failed.
    case system(call: String, Errno)

    /// One line: what failed and, where there is one, the way out.
    public var description: String {
        switch self {
        case .familyMissing:
            "the kernel has no netlink family TCM-USER: target_core_user is not loaded (modprobe target_core_user)"
        case .setUp(let step, let message): "netlink: \(step): \(message)"
        case .featuresRefused(.notPermitted):
            "netlink: the kernel refused SET_FEATURES: it takes CAP_NET_ADMIN, run as root"
        case .featuresRefused(let errno): "netlink: the kernel refused SET_FEATURES: \(errno)"
        case .noAcknowledgement: "netlink: the kernel did not acknowledge SET_FEATURES"
        case .system(let call, let errno): "netlink: \(call): \(errno)"
        }
    }
}
