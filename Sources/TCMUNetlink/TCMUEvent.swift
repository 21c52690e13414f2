public import SystemPackage

/// What the kernel asked for, and what its answer must name: every request of version 2 waits, in the kernel and
/// without a time limit, for exactly one answer.
public struct NetlinkRequest: Hashable, Sendable {
    /// What was asked for.
    ///
    /// An answer of another kind is worse than none: the kernel refuses it (EINVAL), forgets the request all the same,
    /// and whoever waits for it waits for ever (tcmu_genl_cmd_done; seen with 6.1).
    public enum Kind: UInt8, Sendable {
        /// TCMU_CMD_ADDED_DEVICE
        case added = 1
        /// TCMU_CMD_REMOVED_DEVICE
        case removed = 2
        /// TCMU_CMD_RECONFIG_DEVICE
        case reconfigured = 3
    }

    /// What was asked for.
    public let kind: Kind
    /// The kernel's number of the device (TCMU_ATTR_DEVICE_ID), not the minor.
    public let deviceID: UInt32

    /// Creates a request as a received event would carry it.
    public init(kind: Kind, deviceID: UInt32) {
        self.kind = kind
        self.deviceID = deviceID
    }
}

/// A device as an event names it.
public struct AnnouncedDevice: Equatable, Sendable {
    /// n of `/dev/uio<n>` (TCMU_ATTR_MINOR); what a device is known by.
    public let minor: UInt32
    /// The UIO node's name, `tcm-user/<hba>/<device>[/<dev_config>]` (TCMU_ATTR_DEVICE). Bytes that are not UTF-8 are
    /// replaced.
    public let name: String
    /// Whom to answer; nil if the kernel does not wait for it (events older than version 2).
    public let request: NetlinkRequest?

    /// Creates a device as a received event would name it.
    public init(minor: UInt32, name: String, request: NetlinkRequest?) {
        self.minor = minor
        self.name = name
        self.request = request
    }
}

/// What is to change in a configured device.
public enum DeviceChange: Equatable, Sendable {
    /// A new configuration text (TCMU_ATTR_DEV_CFG).
    case configuration(String)
    /// A new size in bytes (TCMU_ATTR_DEV_SIZE).
    case size(UInt64)
    /// Whether the unit says it has a write cache (TCMU_ATTR_WRITECACHE).
    case writeCache(Bool)
    /// None of the above; the right answer is EOPNOTSUPP.
    case unknown
}

/// What a netlink socket had to tell.
public enum TCMUEvent: Equatable, Sendable {
    /// A device has been configured and waits to be served. If the answer is an error the kernel takes the device back
    /// without another event.
    case added(AnnouncedDevice)
    /// A device is going; it must be let go of. While the kernel waits it holds the device's configfs directory locked.
    case removed(AnnouncedDevice)
    /// A setting of a device is to change.
    case reconfigured(AnnouncedDevice, DeviceChange)
    /// Events were lost: the receive buffer was full (ENOBUFS) or a message longer than any. Whoever receives this looks
    /// at all UIO nodes for devices it does not know.
    case overrun
    /// The family TCM-USER is there again, under another number: ``NetlinkSession/renew()``.
    case familyCame
    /// The family TCM-USER has gone: target_core_user was taken out of the kernel. No device is left.
    case familyGone
    /// The kernel did not take one of our answers. ENODEV: nobody waits for it, any more or at all.
    case replyRefused(NetlinkRequest?, Errno)
    /// A message of our family that makes no sense. With a request it still can, and must, be answered: EINVAL.
    case malformed(reason: String, request: NetlinkRequest?)
    /// A message that is nothing to us, from another family or another sender.
    case ignored(reason: String)
}
