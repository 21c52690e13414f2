/// WRITE SAME, 10 and 16 (SBC-3 5.44 and 5.45).
public struct WriteSame: Sendable, Equatable, BitwiseCopyable {
    /// The first block.
    public var lba: UInt64
    /// NUMBER OF LOGICAL BLOCKS; never zero (VPD B0h: WSNZ = 1).
    public var blocks: UInt32
    /// UNMAP: the blocks may be unmapped, if they then read as what was to be written. The pattern has to be
    /// looked at first: the original unmaps whatever it is.
    public var unmap: Bool
    /// NDOB: no data-out buffer, the block to write is all zeros. In the 16-byte form only.
    public var noDataOut: Bool
    /// Which form this is: LBPWS and LBPWS10 are two flags.
    public var form: CDBForm

    public init(lba: UInt64, blocks: UInt32, unmap: Bool = false, noDataOut: Bool = false, form: CDBForm) {
        self.lba = lba
        self.blocks = blocks
        self.unmap = unmap
        self.noDataOut = noDataOut
        self.form = form
    }

    /// The blocks that are written.
    public var range: BlockRange { BlockRange(lba: lba, blocks: UInt64(blocks)) }

    /// Why this unit does not carry the command out, or `nil`: UNMAP = 1 where WRITE SAME cannot unmap, or more
    /// blocks than MAXIMUM WRITE SAME LENGTH.
    public func refusal(limits: BlockLimits, provisioning: ProvisioningFlags) -> Sense? {
        if unmap, !(form == .ten ? provisioning.lbpws10 : provisioning.lbpws) {
            return .invalidFieldInCDB(byte: 1, bit: 3)
        }
        if blocks > limits.maximumWriteSameBlocks {
            return .invalidFieldInCDB(byte: form == .ten ? 7 : 10)
        }
        return nil
    }
}

extension WriteSame {
    init(ten cdb: CDB) throws(Sense) {
        try Self.checkFlags(cdb[1])
        let blocks = cdb.u16(at: 7)
        guard blocks != 0 else { throw .invalidFieldInCDB(byte: 7) }
        self.init(lba: UInt64(cdb.u32(at: 2)), blocks: UInt32(blocks), unmap: cdb[1] & 0x08 != 0, form: .ten)
    }

    init(sixteen cdb: CDB) throws(Sense) {
        try Self.checkFlags(cdb[1])
        let blocks = cdb.u32(at: 10)
        guard blocks != 0 else { throw .invalidFieldInCDB(byte: 10) }
        self.init(
            lba: cdb.u64(at: 2), blocks: blocks, unmap: cdb[1] & 0x08 != 0, noDataOut: cdb[1] & 0x01 != 0,
            form: .sixteen)
    }

    /// ANCHOR is refused since VPD B2h says ANC_SUP = 0. PBDATA and LBDATA are obsolete, but whoever sets them
    /// wants an address written into each block: doing without would put wrong data on the medium.
    private static func checkFlags(_ flags: UInt8) throws(Sense) {
        try refuseProtection(flags)
        guard flags & 0x10 == 0 else { throw .invalidFieldInCDB(byte: 1, bit: 4) }
        guard flags & 0x04 == 0 else { throw .invalidFieldInCDB(byte: 1, bit: 2) }
        guard flags & 0x02 == 0 else { throw .invalidFieldInCDB(byte: 1, bit: 1) }
    }
}
