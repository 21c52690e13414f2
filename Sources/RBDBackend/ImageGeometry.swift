package import BlockBackend

/// What of an open image decides the unit's capabilities. Plain numbers, so that the rules can be tested in a table.
package struct ImageGeometry: Sendable, Equatable {
    /// Bytes of one RADOS object.
    package var objectBytes: UInt64
    /// Bytes of one stripe unit; equal to `objectBytes` without fancy striping.
    package var stripeUnitBytes: UInt64
    /// `rbd_discard_granularity_bytes` in force.
    package var discardGranularityBytes: UInt64
    /// Block size of the logical unit.
    package var blockBytes: UInt64
    /// Version of the librbd that is loaded: major × 256 + minor.
    package var libraryVersion: Int

    /// All quantities in bytes but the version.
    package init(
        objectBytes: UInt64, stripeUnitBytes: UInt64, discardGranularityBytes: UInt64, blockBytes: UInt64,
        libraryVersion: Int
    ) {
        self.objectBytes = objectBytes
        self.stripeUnitBytes = stripeUnitBytes
        self.discardGranularityBytes = discardGranularityBytes
        self.blockBytes = blockBytes
        self.libraryVersion = libraryVersion
    }

    /// librbd 1.19 (Ceph 18); the first whose compare-and-write is bounded by the stripe unit and not by a sector.
    package static let wideCompareAndWrite = 1 << 8 | 19

    /// Longest extent that `compareAndWrite` may take: one block, or 0 where librbd would refuse even that.
    ///
    /// An extent must lie in one object and one stripe unit; up to Ceph 17 also in one 512-byte sector. Blocks are
    /// aligned, so one block never crosses either if its size divides them; two blocks could.
    ///
    /// A stripe unit of one block is not enough. Where byte `i` differs librbd looks up which bytes of the image
    /// `i ..< i + length` of the object are, whatever the offset was, and ends the process unless they are one piece
    /// (`ObjectCompareAndWriteRequest::filter_write_result`, Ceph 16 to 19): with `i` up to `length - 1` that takes
    /// `2 * length - 1` bytes of one stripe unit.
    package var compareAndWriteBytes: UInt64 {
        guard blockBytes > 0, stripeUnitBytes % blockBytes == 0, stripeUnitBytes / 2 >= blockBytes else { return 0 }
        if libraryVersion < ImageGeometry.wideCompareAndWrite && blockBytes > 512 { return 0 }
        return blockBytes
    }

    /// Window in which a write is all or nothing, or 0. A write within one stripe unit is one operation on one
    /// object, which its OSDs carry out in one transaction.
    package var atomicWriteBytes: UInt64 {
        guard stripeUnitBytes > 0, blockBytes > 0 else { return 0 }
        // Bound: obj_size is at most 32 MiB by librbd.
        let window = min(UInt64(1) << UInt64(stripeUnitBytes.trailingZeroBitCount), 32 << 20)
        return window % blockBytes == 0 ? window : 0
    }

    /// What one operation without data covers.
    ///
    /// librbd sends one request per object, all of them at once, and the time-out of each runs from then on: a pattern costs the
    /// OSDs all of its bytes, zeros hardly anything where whole objects are removed. Each step stays far below what a slow
    /// cluster (20 MiB/s) does in a second, and leaves the OSDs to others in between.
    package var steps: StepBytes {
        let object = min(max(objectBytes, blockBytes), 32 << 20)
        return StepBytes(pattern: min(object, 1 << 20), zeroes: object * 4, discard: object * 4)
    }

    /// How the image deallocates. Ranges are zeroed exactly (see `RBDBackend.discard`), so reads of them are zeros;
    /// the granularity is what the cluster frees well, and the longest discard that of the original: four objects.
    package var discard: DiscardCapability {
        let object = max(objectBytes, blockBytes)
        let granularity = min(max(discardGranularityBytes, blockBytes), object)
        // Bound: obj_size is at most 32 MiB by librbd; the comparison guards against a broken header.
        let longest = object > UInt64.max / 4 ? object : object * 4
        return DiscardCapability(granularity: granularity, maximumBytes: longest, readsZeros: true)
    }
}
