internal import CTCMU

/// What the kernel's side of the ring can do: the mailbox's flags (linux/target_core_user.h).
public struct RingFeatures: OptionSet, Sendable {
    /// The mailbox's flag bits.
    public let rawValue: UInt16

    /// Takes the mailbox's flag bits as they are.
    public init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    /// TCMU_MAILBOX_FLAG_CAP_OOOC: commands may be completed in any order.
    public static let outOfOrderCompletion = RingFeatures(rawValue: UInt16(CTCMU_CAP_OOOC))
    /// TCMU_MAILBOX_FLAG_CAP_READ_LEN: a response may say how many bytes of Data-In are valid.
    public static let readLength = RingFeatures(rawValue: UInt16(CTCMU_CAP_READ_LEN))
    /// TCMU_MAILBOX_FLAG_CAP_TMR: the kernel can announce task management.
    public static let taskManagement = RingFeatures(rawValue: UInt16(CTCMU_CAP_TMR))
    /// TCMU_MAILBOX_FLAG_CAP_KEEP_BUF: a completion may keep its data blocks.
    public static let keepBuffer = RingFeatures(rawValue: UInt16(CTCMU_CAP_KEEP_BUF))
}
