/// The size of a logical unit.
public struct Capacity: Sendable, Equatable, BitwiseCopyable {
    /// The number of logical blocks.
    public var blocks: UInt64
    /// The length of a logical block in bytes.
    public var blockSize: UInt32
    /// LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT: a physical block is `2^physicalExponent` logical blocks;
    /// 0...15.
    public var physicalExponent: UInt8

    public init(blocks: UInt64, blockSize: UInt32, physicalExponent: UInt8 = 0) {
        self.blocks = blocks
        self.blockSize = blockSize
        self.physicalExponent = physicalExponent
    }

    /// READ CAPACITY(10) parameter data, 8 bytes (SBC-3 5.15.2).
    ///
    /// The last LBA is FFFFFFFFh where it needs more than 32 bits: use READ CAPACITY(16). It is the same for
    /// a unit of no blocks, which initiators read as a capacity of zero.
    public var readCapacity10: [UInt8] {
        var data = [UInt8].zeros(8)
        data.store(UInt32(clamping: blocks &- 1), at: 0)
        data.store(blockSize, at: 4)
        return data
    }

    /// READ CAPACITY(16) parameter data, 32 bytes (SBC-3 5.16.2).
    ///
    /// LBPME and LBPRZ are set only where the unit can unmap; the original always sets both.
    public func readCapacity16(provisioning: ProvisioningFlags) -> [UInt8] {
        var data = [UInt8].zeros(32)
        data.store(blocks &- 1, at: 0)
        data.store(blockSize, at: 8)
        data[13] = min(physicalExponent, 0x0F)
        if provisioning.isManaged {
            data[14] = provisioning.lbprz ? 0xC0 : 0x80
        }
        return data
    }
}

/// A run of logical blocks as a command names it: not yet compared with any capacity.
public struct BlockRange: Sendable, Equatable, BitwiseCopyable {
    /// The first LBA.
    public var lba: UInt64
    /// The number of blocks; zero is a valid, empty run.
    public var blocks: UInt64

    /// A run of `blocks` blocks from `lba`.
    public init(lba: UInt64, blocks: UInt64) {
        self.lba = lba
        self.blocks = blocks
    }

    /// Where the run lies in the image, in bytes, or `nil` where it does not lie wholly within `capacity`:
    /// answer that with ``Sense/logicalBlockAddressOutOfRange``.
    ///
    /// An empty run may start at the end of the unit but not beyond it. No input overflows.
    public func byteRange(in capacity: Capacity) -> (offset: UInt64, length: UInt64)? {
        guard lba <= capacity.blocks, blocks <= capacity.blocks - lba else { return nil }
        let size = UInt64(capacity.blockSize)
        let (offset, offsetOverflow) = lba.multipliedReportingOverflow(by: size)
        let (length, lengthOverflow) = blocks.multipliedReportingOverflow(by: size)
        guard !offsetOverflow, !lengthOverflow, !offset.addingReportingOverflow(length).overflow else {
            return nil
        }
        return (offset, length)
    }
}
