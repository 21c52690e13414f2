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

        /// Four descriptors, as the original has.
        public init(
            maximumBlocks: UInt32, maximumDescriptors: UInt32 = 4, granularity: UInt32, alignment: UInt32
        ) {
            self.maximumBlocks = maximumBlocks
            self.maximumDescriptors = maximumDescriptors
            self.granularity = granularity
            self.alignment = alignment
        }
    }

    /// The limits of WRITE ATOMIC, present only where the unit serves it. There is no atomic boundary.
    public struct Atomic: Sendable, Equatable, BitwiseCopyable {
        /// MAXIMUM ATOMIC TRANSFER LENGTH, in blocks: at least one, and no more than
        /// ``BlockLimits/maximumTransferBlocks``.
        public var maximumBlocks: UInt32
        /// ATOMIC ALIGNMENT, in blocks: a first LBA is a multiple of it; 0 and 1 ask for nothing.
        public var alignmentBlocks: UInt32
        /// ATOMIC TRANSFER LENGTH GRANULARITY, in blocks: a length is a multiple of it; 0 and 1 ask for nothing.
        public var granularityBlocks: UInt32
        /// Writes of a power of two of blocks, and at least so many, are taken where their length divides their first LBA,
        /// too; 0 for none. Page B0h has no field for it. Linux's sd (6.11) sends these whatever the
        /// alignment is, where granularity and physical block are one block; none crosses a window that it divides.
        public var naturalBlocks: UInt32
        /// A write lies within one naturally aligned window of so many blocks; 0 asks for nothing. Page B0h has no
        /// field for it: ``maximumBlocks`` divides it, and ``alignmentBlocks`` is the same.
        public var windowBlocks: UInt64

        public init(
            maximumBlocks: UInt32, alignmentBlocks: UInt32 = 0, granularityBlocks: UInt32 = 0,
            naturalBlocks: UInt32 = 0, windowBlocks: UInt64 = 0
        ) {
            self.naturalBlocks = naturalBlocks
            self.windowBlocks = windowBlocks
            self.maximumBlocks = maximumBlocks
            self.alignmentBlocks = alignmentBlocks
            self.granularityBlocks = granularityBlocks
        }
    }

    /// MAXIMUM TRANSFER LENGTH, in blocks; the kernel's `hw_max_sectors`.
    public var maximumTransferBlocks: UInt32
    /// OPTIMAL TRANSFER LENGTH, in blocks.
    public var optimalTransferBlocks: UInt32
    /// OPTIMAL TRANSFER LENGTH GRANULARITY, in blocks; 0 says nothing, as the original.
    public var optimalTransferGranularity: UInt16
    /// MAXIMUM PREFETCH LENGTH, in blocks; 0 is no limit.
    public var maximumPrefetchBlocks: UInt32
    /// MAXIMUM COMPARE AND WRITE LENGTH, in blocks; 0 where the command is not served.
    public var maximumCompareAndWriteBlocks: UInt8
    /// MAXIMUM WRITE SAME LENGTH, in blocks.
    public var maximumWriteSameBlocks: UInt64
    /// The limits of UNMAP, or `nil` where the unit cannot unmap.
    public var unmap: Unmap?
    /// The limits of WRITE ATOMIC, or `nil` where the unit does not serve it.
    public var atomic: Atomic?

    /// The defaults are what the original advertises for every unit.
    public init(
        maximumTransferBlocks: UInt32, optimalTransferBlocks: UInt32, optimalTransferGranularity: UInt16 = 0,
        maximumPrefetchBlocks: UInt32 = 0, maximumCompareAndWriteBlocks: UInt8 = 1,
        maximumWriteSameBlocks: UInt64 = 0xFFFF_FFFF, unmap: Unmap? = nil, atomic: Atomic? = nil
    ) {
        self.maximumTransferBlocks = maximumTransferBlocks
        self.optimalTransferBlocks = optimalTransferBlocks
        self.optimalTransferGranularity = optimalTransferGranularity
        self.maximumPrefetchBlocks = maximumPrefetchBlocks
        self.maximumCompareAndWriteBlocks = maximumCompareAndWriteBlocks
        self.maximumWriteSameBlocks = maximumWriteSameBlocks
        self.unmap = unmap
        self.atomic = atomic
    }
}

extension MediumAccess {
    /// Why this unit does not carry the access out as a WRITE ATOMIC, or `nil`: INVALID FIELD IN CDB where it is longer
    /// than MAXIMUM ATOMIC TRANSFER LENGTH, begins or ends beside the alignment and granularity, or crosses into the
    /// next window (SBC-4). A transfer length of zero is never refused.
    public func atomicRefusal(limits: BlockLimits) -> Sense? {
        guard let atomic = limits.atomic else { return .invalidCommandOperationCode }
        guard blocks > 0 else { return nil }
        guard blocks <= atomic.maximumBlocks, blocks.isMultiple(of: max(atomic.granularityBlocks, 1)) else {
            return .invalidFieldInCDB(byte: 12)
        }
        // What page B0h tells is what is asked for (SBC-4), but for natural alignment.
        let isNatural = atomic.naturalBlocks > 0 && blocks >= atomic.naturalBlocks && blocks.nonzeroBitCount == 1
        let alignment = isNatural ? min(blocks, atomic.alignmentBlocks) : atomic.alignmentBlocks
        guard lba.isMultiple(of: UInt64(max(alignment, 1))) else { return .invalidFieldInCDB(byte: 2) }
        guard atomic.windowBlocks > 0 else { return nil }
        let left = atomic.windowBlocks - lba % atomic.windowBlocks
        return UInt64(blocks) <= left ? nil : .invalidFieldInCDB(byte: 2)
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
