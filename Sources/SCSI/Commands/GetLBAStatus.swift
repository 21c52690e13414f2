/// GET LBA STATUS(16) (SBC-3 5.4).
public struct GetLBAStatus: Sendable, Equatable, BitwiseCopyable {
    /// The first block asked about.
    public var lba: UInt64
    /// ALLOCATION LENGTH, in bytes.
    public var allocationLength: UInt32

    public init(lba: UInt64, allocationLength: UInt32) {
        self.lba = lba
        self.allocationLength = allocationLength
    }

    /// REPORT TYPE (SBC-4) other than zero asks for a selection that this target does not make.
    init(_ cdb: CDB) throws(Sense) {
        guard cdb[14] == 0 else { throw .invalidFieldInCDB(byte: 14) }
        self.init(lba: cdb.u64(at: 2), allocationLength: cdb.u32(at: 10))
    }

    /// Bound: descriptors in one answer; an initiator goes on where they end.
    public static let maximumDescriptors = 1024

    /// How many descriptors are worth finding out: those that the allocation length has room for, one at least. An
    /// initiator goes on where they end, and sg3-utils takes an answer that says it is longer for a broken one.
    public var wantedDescriptors: Int {
        let room = (Int(clamping: allocationLength) - Self.headerLength) / Self.descriptorLength
        return min(max(room, 1), Self.maximumDescriptors)
    }

    private static let headerLength = 8
    private static let descriptorLength = 16

    /// One run of blocks of the same state.
    public struct Descriptor: Sendable, Equatable, BitwiseCopyable {
        /// The blocks: at least one.
        public var range: BlockRange
        /// Mapped, or else deallocated.
        public var isMapped: Bool

        public init(range: BlockRange, isMapped: Bool) {
            self.range = range
            self.isMapped = isMapped
        }
    }

    /// The whole parameter data.
    ///
    /// NUMBER OF LOGICAL BLOCKS has 32 bits: a longer run is told in as many descriptors as it takes, up to
    /// ``maximumDescriptors`` in all.
    /// - Parameter descriptors: in ascending order without gaps, the first from ``lba`` on.
    public func response(_ descriptors: [Descriptor]) -> [UInt8] {
        var data = [UInt8].zeros(Self.headerLength)
        var count = 0
        for descriptor in descriptors {
            var lba = descriptor.range.lba
            var left = descriptor.range.blocks
            while left > 0, count < Self.maximumDescriptors {
                let blocks = UInt32(clamping: left)
                data.append(bigEndian: lba)
                data.append(bigEndian: blocks)
                data += [descriptor.isMapped ? 0x00 : 0x01, 0, 0, 0]  // PROVISIONING STATUS
                lba &+= UInt64(blocks)
                left -= UInt64(blocks)
                count += 1
            }
        }
        data.store(UInt32(clamping: data.count - 4), at: 0)
        return data
    }
}
