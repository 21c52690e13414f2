/// The fields that every READ and WRITE shares (SBC-3 5.10 to 5.13 and 5.33 to 5.36).
public struct MediumAccess: Sendable, Equatable, BitwiseCopyable {
    /// LOGICAL BLOCK ADDRESS: the first block.
    public var lba: UInt64
    /// TRANSFER LENGTH in blocks. Zero moves no data, but for the 6-byte form, whose zero is 256 here.
    public var blocks: UInt32
    /// FUA: to and from the medium, not a volatile cache.
    public var fua: Bool
    /// DPO: caching the blocks does not pay. A hint.
    public var dpo: Bool
    /// RDPROTECT or WRPROTECT. Always zero in a decoded command: this target has no protection information
    /// (INQUIRY: PROTECT = 0) and refuses any other value.
    public var protect: UInt8

    public init(lba: UInt64, blocks: UInt32, fua: Bool = false, dpo: Bool = false, protect: UInt8 = 0) {
        self.lba = lba
        self.blocks = blocks
        self.fua = fua
        self.dpo = dpo
        self.protect = protect
    }

    /// The blocks that are read or written.
    public var range: BlockRange { BlockRange(lba: lba, blocks: UInt64(blocks)) }
}

extension MediumAccess {
    /// 21 bits of LBA, and a count of which zero means 256 (SBC-3 5.10; the original takes it as zero).
    init(six cdb: CDB) {
        let count = UInt32(cdb[4])
        self.init(lba: UInt64(cdb.u24(at: 1) & 0x1F_FFFF), blocks: count == 0 ? 256 : count)
    }

    init(ten cdb: CDB) throws(Sense) {
        try self.init(lba: UInt64(cdb.u32(at: 2)), blocks: UInt32(cdb.u16(at: 7)), flags: cdb[1])
    }

    init(twelve cdb: CDB) throws(Sense) {
        try self.init(lba: UInt64(cdb.u32(at: 2)), blocks: cdb.u32(at: 6), flags: cdb[1])
    }

    init(sixteen cdb: CDB) throws(Sense) {
        try self.init(lba: cdb.u64(at: 2), blocks: cdb.u32(at: 10), flags: cdb[1])
    }

    /// WRITE ATOMIC(16): a transfer length of 16 bits behind ATOMIC BOUNDARY, which must be zero since page B0h gives
    /// none.
    init(atomic cdb: CDB) throws(Sense) {
        try self.init(lba: cdb.u64(at: 2), blocks: UInt32(cdb.u16(at: 12)), flags: cdb[1])
        guard cdb.u16(at: 10) == 0 else { throw .invalidFieldInCDB(byte: 10) }
    }

    /// Byte 1 of the longer forms: PROTECT in bits 7...5, DPO in bit 4, FUA in bit 3.
    private init(lba: UInt64, blocks: UInt32, flags: UInt8) throws(Sense) {
        try refuseProtection(flags)
        self.init(lba: lba, blocks: blocks, fua: flags & 0x08 != 0, dpo: flags & 0x10 != 0)
    }
}

/// RDPROTECT and WRPROTECT, bits 7...5 of byte 1, must be zero on a unit without protection information (SBC-3
/// table 44 and following). The original ignores them.
func refuseProtection(_ flags: UInt8) throws(Sense) {
    guard flags & 0xE0 == 0 else { throw .invalidFieldInCDB(byte: 1, bit: 7) }
}

/// SYNCHRONIZE CACHE, 10 and 16 (SBC-3 5.26 and 5.27).
public struct SynchronizeCache: Sendable, Equatable, BitwiseCopyable {
    /// The first block.
    public var lba: UInt64
    /// How many blocks; zero is all from ``lba`` to the end of the unit.
    public var blocks: UInt32
    /// IMMED: status may come before the data is safe. A target may always wait, and should.
    public var immediate: Bool

    public init(lba: UInt64, blocks: UInt32, immediate: Bool = false) {
        self.lba = lba
        self.blocks = blocks
        self.immediate = immediate
    }

    init(ten cdb: CDB) {
        self.init(
            lba: UInt64(cdb.u32(at: 2)), blocks: UInt32(cdb.u16(at: 7)), immediate: cdb[1] & 0x02 != 0)
    }

    init(sixteen cdb: CDB) {
        self.init(lba: cdb.u64(at: 2), blocks: cdb.u32(at: 10), immediate: cdb[1] & 0x02 != 0)
    }

    /// The blocks to make safe on a unit of `capacity`. A start beyond its end stays there, with no blocks, so
    /// that ``BlockRange/byteRange(in:)`` refuses it.
    public func range(in capacity: Capacity) -> BlockRange {
        guard blocks == 0 else { return BlockRange(lba: lba, blocks: UInt64(blocks)) }
        return BlockRange(lba: lba, blocks: lba < capacity.blocks ? capacity.blocks - lba : 0)
    }
}

/// COMPARE AND WRITE (SBC-3 5.2).
public struct CompareAndWrite: Sendable, Equatable, BitwiseCopyable {
    /// The first block.
    public var lba: UInt64
    /// NUMBER OF LOGICAL BLOCKS to compare, and then to write: the data-out buffer holds twice as many. Zero
    /// does nothing and is GOOD.
    public var blocks: UInt8
    /// FUA.
    public var fua: Bool
    /// DPO.
    public var dpo: Bool

    public init(lba: UInt64, blocks: UInt8, fua: Bool = false, dpo: Bool = false) {
        self.lba = lba
        self.blocks = blocks
        self.fua = fua
        self.dpo = dpo
    }

    init(_ cdb: CDB) throws(Sense) {
        let flags = cdb[1]
        try refuseProtection(flags)
        self.init(
            lba: cdb.u64(at: 2), blocks: cdb[13], fua: flags & 0x08 != 0, dpo: flags & 0x10 != 0)
    }

    /// The blocks that are compared and written.
    public var range: BlockRange { BlockRange(lba: lba, blocks: UInt64(blocks)) }

    /// INVALID FIELD IN CDB where more blocks are named than MAXIMUM COMPARE AND WRITE LENGTH.
    public func refusal(limits: BlockLimits) -> Sense? {
        blocks > limits.maximumCompareAndWriteBlocks ? .invalidFieldInCDB(byte: 13) : nil
    }
}
