internal import Reactor

/// Every bound of the engine, taken when a unit is opened. Nothing on the I/O path grows beyond them.
public enum Limits {
    /// Commands of one unit in flight; more wait in the kernel's ring. The kernel's own bound is 65 535.
    public static let commandsInFlight = 4096

    /// Pieces of one command's data buffer, the most that one vectored system call takes (IOV_MAX). With pages of
    /// 4 KiB that is 4 MiB per command even when no two pages are neighbours; ceph-iscsi's largest
    /// hw_max_sectors is 8192 blocks of 512 bytes, which is the same.
    public static let segments = 1024

    /// Commands taken from one ring before they are submitted and the loop looks at its other units, and answers after
    /// which the doorbell is rung. Large enough to make the system calls per command few, small enough that the
    /// initiator works on the first answers while the rest of a burst is still being served; with whole bursts the two
    /// would take turns, and the loop would sleep between them.
    public static let batch = 16

    /// Buffer in bytes for what the unit puts together itself: replicated WRITE SAME blocks, and the present
    /// content in COMPARE AND WRITE. Mapped when first needed.
    public static let bounceBytes = 1 << 20

    /// What the steps of one unit's long commands may weigh together while they are under way: so many bytes that are moved, or
    /// one of the longest steps that the backend does without data. See `StepLimits`.
    static let stepBudget: UInt64 = 16 << 20

    /// The longest WRITE SAME in bytes, told as MAXIMUM WRITE SAME LENGTH. Bound: at 20 MiB/s, a slow cluster, a pattern is
    /// written in 13 s: well before kernel and initiators give a command up (30 s). With blocks of up to 4096 bytes it is
    /// more than the 65,535 blocks below which Linux would send WRITE SAME(10).
    public static let writeSameBytes: UInt64 = 256 << 20

    /// Ring entries open at once: commands, pads and notices. A power of two.
    public static let openEntries = 16384

    /// The kernel's default `cmd_time_out`, in milliseconds.
    static let kernelTimeout: Int64 = 30_000

    /// Milliseconds after which a command that was taken from the ring counts as given up by the kernel; nil for never.
    ///
    /// Bound: earlier than the kernel does it by two looks. It counts from when it put the command into the ring, and rounds up to
    /// a whole second; we count from when we took it, and look every ``EngineLoop/deadlineTick``.
    ///
    /// - Parameter kernelTimeout: `cmd_time_out` in milliseconds; 0 is never.
    static func patience(kernelTimeout: Int64) -> Int64? {
        kernelTimeout > 0 ? max(kernelTimeout - 2 * EngineLoop.deadlineTick, 2 * EngineLoop.deadlineTick) : nil
    }

    /// Milliseconds after which a command that waits for a reading of configfs goes on without: identity that was read
    /// before is told, access states are not, and what LIO may exclude is not done (BUSY).
    public static let identityPatience: Int64 = 3000

    /// Milliseconds for which commands wait for the right to write, such as an image's exclusive lock, before they get BUSY. Looked
    /// at every ``EngineLoop/deadlineTick``.
    public static let rightPatience: Int64 = 500

    /// Milliseconds for which commands get BUSY while the storage is not to be had, and NOT READY after that, so that a
    /// multipath driver takes another path. Where there is one it is taken soon; where there is none, waiting is
    /// better than an error: as long as initiators give a lost session by default.
    public static let recoveryPatience: (withOtherPaths: Int64, alone: Int64) = (2000, 120_000)

    /// Descriptors in one UNMAP parameter list, as the original advertises.
    public static let unmapDescriptors = 4

    /// Events taken between two reads of the UIO event counter; see ``TCMURing/CommandRing/clearNotification()``.
    static let eventsPerClear = 1024
}
