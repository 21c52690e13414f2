/// BYTCHK: what the blocks on the medium are compared with (SBC-3 5.29).
public enum ByteCheck: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    /// 00b: nothing is sent, the blocks need only be readable.
    case none = 0
    /// 01b: the data-out buffer holds as many blocks as are verified.
    case everyBlock = 1
    /// 11b: the data-out buffer holds one block, which every block must be equal to.
    case oneBlock = 3
}

/// VERIFY, 10 to 16 (SBC-3 5.29 to 5.31), and the second half of WRITE AND VERIFY, 10 to 16 (SBC-3 5.38 to 5.40).
public struct Verify: Sendable, Equatable, BitwiseCopyable {
    /// The first block.
    public var lba: UInt64
    /// VERIFICATION LENGTH, or TRANSFER LENGTH of a WRITE AND VERIFY, in blocks; zero verifies nothing.
    public var blocks: UInt32
    /// BYTCHK.
    public var byteCheck: ByteCheck
    /// DPO: a hint.
    public var dpo: Bool

    public init(lba: UInt64, blocks: UInt32, byteCheck: ByteCheck = .none, dpo: Bool = false) {
        self.lba = lba
        self.blocks = blocks
        self.byteCheck = byteCheck
        self.dpo = dpo
    }

    /// The blocks that are verified.
    public var range: BlockRange { BlockRange(lba: lba, blocks: UInt64(blocks)) }

    /// Blocks in the data-out buffer.
    public var dataBlocks: UInt64 {
        switch byteCheck {
        case .none: 0
        case .everyBlock: UInt64(blocks)
        case .oneBlock: blocks == 0 ? 0 : 1
        }
    }
}

extension Verify {
    init(ten cdb: CDB) throws(Sense) {
        try self.init(lba: UInt64(cdb.u32(at: 2)), blocks: UInt32(cdb.u16(at: 7)), flags: cdb[1])
    }

    init(twelve cdb: CDB) throws(Sense) {
        try self.init(lba: UInt64(cdb.u32(at: 2)), blocks: cdb.u32(at: 6), flags: cdb[1])
    }

    init(sixteen cdb: CDB) throws(Sense) {
        try self.init(lba: cdb.u64(at: 2), blocks: cdb.u32(at: 10), flags: cdb[1])
    }

    /// Byte 1: PROTECT in bits 7...5, DPO in bit 4, BYTCHK in bits 2...1, whose value 10b is reserved.
    private init(lba: UInt64, blocks: UInt32, flags: UInt8) throws(Sense) {
        try refuseProtection(flags)
        guard let byteCheck = ByteCheck(rawValue: flags >> 1 & 3) else {
            throw .invalidFieldInCDB(byte: 1, bit: 2)
        }
        self.init(lba: lba, blocks: blocks, byteCheck: byteCheck, dpo: flags & 0x10 != 0)
    }

    /// A WRITE AND VERIFY always brings its blocks, so that 11b is reserved there.
    func asWritten() throws(Sense) -> Verify {
        guard byteCheck != .oneBlock else { throw .invalidFieldInCDB(byte: 1, bit: 2) }
        return self
    }
}

/// PRE-FETCH, 10 and 16 (SBC-3 5.8 and 5.9).
public struct Prefetch: Sendable, Equatable, BitwiseCopyable {
    /// The first block.
    public var lba: UInt64
    /// PREFETCH LENGTH in blocks; zero is all from ``lba`` to the end of the unit.
    public var blocks: UInt32
    /// IMMED: status may come before the blocks do.
    public var immediate: Bool

    public init(lba: UInt64, blocks: UInt32, immediate: Bool = false) {
        self.lba = lba
        self.blocks = blocks
        self.immediate = immediate
    }

    init(ten cdb: CDB) {
        self.init(lba: UInt64(cdb.u32(at: 2)), blocks: UInt32(cdb.u16(at: 7)), immediate: cdb[1] & 0x02 != 0)
    }

    init(sixteen cdb: CDB) {
        self.init(lba: cdb.u64(at: 2), blocks: cdb.u32(at: 10), immediate: cdb[1] & 0x02 != 0)
    }

    /// The blocks that are wanted on a unit of `capacity`.
    public func range(in capacity: Capacity) -> BlockRange {
        SynchronizeCache(lba: lba, blocks: blocks).range(in: capacity)
    }
}
