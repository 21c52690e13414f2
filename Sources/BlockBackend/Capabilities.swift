/// What a backend can do. INQUIRY, the VPD pages and MODE SENSE advertise what stands here and nothing else.
public struct BackendCapabilities: Sendable, Equatable {
    /// Nothing may be written: a snapshot, a file without write permission.
    public var readOnly = false

    /// Answered writes may be lost with the host's power until `flush`: MODE SENSE WCE.
    public var volatileCache = false

    /// `write(durable: true)` is honoured without flushing everything.
    public var forceUnitAccess = false

    /// The medium has no seek time: VPD B1h rotation rate 1.
    public var solidState = false

    /// Deallocation, or nil where the backend has none.
    public var discard: DiscardCapability?

    /// `writeSame` is carried out by the backend.
    public var nativeWriteSame = false

    /// `writeZeroes` is carried out by the backend: WRITE SAME of a block of zeros needs no data, whatever
    /// `nativeWriteSame` says.
    public var nativeWriteZeroes = false

    /// Longest extent in bytes that `compareAndWrite` takes as one atomic step; 0 where it has none and the
    /// unit emulates it.
    public var nativeCompareAndWriteBytes: UInt64 = 0

    /// Others may write the medium at the same time and nothing keeps them from it: only what the backend does in one
    /// step is atomic.
    public var hasOtherWriters = false

    /// An extent of at most this many bytes that lies within one naturally aligned window of this size is written
    /// all or nothing, also when power or the daemon fails; a power of two, or 0 where that is not promised.
    public var atomicWriteBytes: UInt64 = 0

    /// `survey` of `.allocation` tells holes from data; otherwise everything counts as mapped.
    public var reportsAllocation = false

    /// `survey` of `.space` knows how many bytes can still be allocated.
    public var reportsSpace = false

    /// Size in bytes that transfers should be multiples of for best speed, such as an object's or a stripe's; 0 where
    /// nothing is known: file systems lay themselves out by it, so a guess is worse than none.
    public var optimalTransferBytes: UInt64 = 0

    /// The longest extents that `writeSame`, `writeZeroes` and `discard` are called with.
    public var steps = StepBytes()

    /// Largest buffer count of one vectored operation.
    public var maximumSegments = 1024

    /// Nothing but reads and writes.
    public init() {}
}

/// How many bytes one operation without data covers at most; a longer command comes in several.
///
/// Between two steps a command can be aborted, the unit be stopped and its neighbours have their turn. So each is small
/// enough to end within a second where the storage is slow, and to leave room for others; see docs/adr/0017.
public struct StepBytes: Sendable, Equatable {
    /// One `writeSame`.
    public var pattern: UInt64
    /// One `writeZeroes`.
    public var zeroes: UInt64
    /// One `discard`; never more than ``DiscardCapability/maximumBytes``.
    public var discard: UInt64

    /// Steps that suit a disk.
    public init(pattern: UInt64 = 1 << 20, zeroes: UInt64 = 16 << 20, discard: UInt64 = 64 << 20) {
        self.pattern = pattern
        self.zeroes = zeroes
        self.discard = discard
    }
}

/// How a backend deallocates.
public struct DiscardCapability: Sendable, Equatable {
    /// Unit in bytes in which space is really freed.
    public var granularity: UInt64
    /// Offset in bytes of the first granule.
    public var alignment: UInt64
    /// Longest single discard in bytes.
    public var maximumBytes: UInt64
    /// A discarded range reads zeros, also its parts outside whole granules.
    public var readsZeros: Bool

    /// All quantities in bytes.
    public init(granularity: UInt64, alignment: UInt64 = 0, maximumBytes: UInt64, readsZeros: Bool) {
        self.granularity = granularity
        self.alignment = alignment
        self.maximumBytes = maximumBytes
        self.readsZeros = readsZeros
    }
}

/// A range of bytes on the backend.
public struct ByteExtent: Sendable, Equatable {
    /// First byte.
    public let offset: UInt64
    /// Number of bytes.
    public let length: UInt64

    /// Bytes `offset` up to, not including, `offset + length`.
    @inlinable
    public init(offset: UInt64, length: UInt64) {
        self.offset = offset
        self.length = length
    }
}
