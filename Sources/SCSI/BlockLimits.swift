/// What the block limits VPD page (B0h) advertises and the checks of this module enforce.
public struct BlockLimits: Sendable, Equatable, BitwiseCopyable {
    /// The limits of UNMAP, present only where the unit can unmap.
    public struct Unmap: Sendable, Equatable, BitwiseCopyable {
        /// MAXIMUM UNMAP LBA COUNT: the most blocks in one descriptor.
        public var maximumBlocks: UInt32
        /// MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT.
        public var maximumDescriptors: UInt32
        /// OPTIMAL UNMAP GRANULARITY, in blocks.
        public var granularity: UInt32
        /// UNMAP GRANULARITY ALIGNMENT: the LBA of the first aligned block; 31 bits.
        public var alignment: UInt32

        /// Limits from their parts; four descriptors as the original.
        public init(
            maximumBlocks: UInt32, maximumDescriptors: UInt32 = 4, granularity: UInt32, alignment: UInt32
        ) {
            self.maximumBlocks = maximumBlocks
            self.maximumDescriptors = maximumDescriptors
            self.granularity = granularity
            self.alignment = alignment
        }
    }

    /// MAXIMUM TRANSFER LENGTH, in blocks; the kernel's `hw_max_sectors`.
    public var maximumTransferBlocks: UInt32
    /// OPTIMAL TRANSFER LENGTH, in blocks.
    public var optimalTransferBlocks: UInt32
    /// OPTIMAL TRANSFER LENGTH GRANULARITY, in blocks; 0 says nothing, as the original.
    public var optimalTransferGranularity: UInt16
    /// MAXIMUM COMPARE AND WRITE LENGTH, in blocks; 0 where the command is not served.
    public var maximumCompareAndWriteBlocks: UInt8
    /// MAXIMUM WRITE SAME LENGTH, in blocks.
    public var maximumWriteSameBlocks: UInt64
    /// The limits of UNMAP, or `nil` where the unit cannot unmap.
    public var unmap: Unmap?

    /// Limits from their parts; the defaults are what the original advertises for every unit.
    public init(
        maximumTransferBlocks: UInt32, optimalTransferBlocks: UInt32, optimalTransferGranularity: UInt16 = 0,
        maximumCompareAndWriteBlocks: UInt8 = 1, maximumWriteSameBlocks: UInt64 = 0xFFFF_FFFF,
        unmap: Unmap? = nil
    ) {
        self.maximumTransferBlocks = maximumTransferBlocks
        self.optimalTransferBlocks = optimalTransferBlocks
        self.optimalTransferGranularity = optimalTransferGranularity
        self.maximumCompareAndWriteBlocks = maximumCompareAndWriteBlocks
        self.maximumWriteSameBlocks = maximumWriteSameBlocks
        self.unmap = unmap
    }
}

/// How the unit is provisioned: one source for READ CAPACITY(16), the logical block provisioning VPD page (B2h)
/// and the checks of UNMAP and WRITE SAME.
public struct ProvisioningFlags: Sendable, Equatable, BitwiseCopyable {
    /// LBPU: UNMAP works.
    public var lbpu: Bool
    /// LBPWS: WRITE SAME(16) may unmap.
    public var lbpws: Bool
    /// LBPWS10: WRITE SAME(10) may unmap.
    public var lbpws10: Bool
    /// LBPRZ: an unmapped block reads as zeros.
    public var lbprz: Bool

    /// Flags from their parts.
    public init(lbpu: Bool, lbpws: Bool, lbpws10: Bool, lbprz: Bool) {
        self.lbpu = lbpu
        self.lbpws = lbpws
        self.lbpws10 = lbpws10
        self.lbprz = lbprz
    }

    /// A unit that cannot unmap.
    public static let none = ProvisioningFlags(lbpu: false, lbpws: false, lbpws10: false, lbprz: false)

    /// A unit on which every way to unmap works.
    /// - Parameter readsZeros: whether an unmapped block surely reads as zeros, also one that was unmapped
    ///   only in part.
    public static func unmappable(readsZeros: Bool) -> ProvisioningFlags {
        ProvisioningFlags(lbpu: true, lbpws: true, lbpws10: true, lbprz: readsZeros)
    }

    /// LBPME: whether the unit has logical block provisioning management at all.
    public var isManaged: Bool { lbpu || lbpws || lbpws10 }
}
