internal import CTCMU

/// Sizes and flags of a simulated ring; the kernel's are set through configfs before `enable`.
public struct RingGeometry: Sendable {
    /// Command ring in bytes, a multiple of 8. Bound: 1 KiB to 8 MiB; the kernel's default is 8 MiB - 128.
    public var ringBytes: Int
    /// Blocks of the data area.
    public var dataBlocks: Int
    /// Bytes per data block: a multiple of the page (`data_pages_per_blk`).
    public var blockSize: Int
    /// Mailbox version; this project serves version 2.
    public var version: UInt16 = UInt16(CTCMU_MAILBOX_VERSION)
    /// Mailbox flags (TCMU_MAILBOX_FLAG_CAP_*). Today's kernels set all four.
    public var flags: UInt16 = RingGeometry.allFlags

    /// Out-of-order completion, READ_LEN, TMR and KEEP_BUF.
    public static let allFlags = UInt16(
        CTCMU_CAP_OOOC | CTCMU_CAP_READ_LEN | CTCMU_CAP_TMR
            | CTCMU_CAP_KEEP_BUF)

    /// A ring that, with its mailbox, fills `pages` pages of 4 KiB, and a data area of `dataBlocks` blocks.
    public init(pages: Int = 16, dataBlocks: Int = 1024, blockSize: Int = 4096) {
        ringBytes = pages * 4096 - Int(CTCMU_MAILBOX_SIZE)
        self.dataBlocks = dataBlocks
        self.blockSize = blockSize
    }

    /// Offset of the command ring from the start of the map.
    public var ringOffset: Int { Int(CTCMU_MAILBOX_SIZE) }

    /// Offset of the data area from the start of the map.
    public var dataOffset: Int { ringOffset + ringBytes }

    /// Bytes of the whole map, as sysfs tells them.
    public var mapSize: Int { dataOffset + dataBlocks * blockSize }

    /// Blocks that `bytes` need.
    func blocks(for bytes: Int) -> Int { (bytes + blockSize - 1) / blockSize }
}
