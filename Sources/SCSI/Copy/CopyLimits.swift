/// How much one EXTENDED COPY may ask for: what RECEIVE COPY OPERATING PARAMETERS and VPD page 8Fh tell, and what
/// ``CopyList`` enforces.
///
/// Inline data is never taken: only a segment that we do not have could use it.
public struct CopyLimits: Sendable, Equatable, BitwiseCopyable {
    /// MAXIMUM CSCD DESCRIPTOR COUNT: the most units that a list may name.
    public var maximumUnits: UInt16
    /// MAXIMUM SEGMENT DESCRIPTOR COUNT.
    public var maximumSegments: UInt16
    /// MAXIMUM DESCRIPTOR LIST LENGTH: the most that all descriptors may take together, in bytes.
    public var maximumListLength: UInt16
    /// MAXIMUM SEGMENT LENGTH: the most that one segment may copy, in bytes; 0 sets no limit beyond the 65 535 blocks
    /// that its field can hold.
    public var maximumSegmentBytes: UInt32
    /// MAXIMUM CONCURRENT COPIES: how many may be in progress in the unit at once.
    public var concurrentCopies: UInt8
    /// DATA SEGMENT GRANULARITY: segments are multiples of `2^n` bytes, the unit's blocks.
    public var segmentGranularity: UInt8

    /// The original takes two units and a single segment, and the same lengths. ESXi sends several segments to whoever
    /// takes them. The length of the list has to leave room for a descriptor more than the counts allow: such a list
    /// is refused for its count, and only one longer still for its length.
    public init(
        maximumUnits: UInt16 = 4, maximumSegments: UInt16 = 16, maximumListLength: UInt16 = 1024,
        maximumSegmentBytes: UInt32 = 16 << 20, concurrentCopies: UInt8 = 1,
        segmentGranularity: UInt8 = 9
    ) {
        self.maximumUnits = maximumUnits
        self.maximumSegments = maximumSegments
        self.maximumListLength = maximumListLength
        self.maximumSegmentBytes = maximumSegmentBytes
        self.concurrentCopies = concurrentCopies
        self.segmentGranularity = segmentGranularity
    }

    /// The longest parameter list that is looked at, in bytes: never copy more of a data-out buffer than this. The
    /// original allocates whatever the CDB says, up to 4 GiB.
    public var maximumParameterListLength: Int {
        CopyListHeader.longestLength + Int(maximumListLength)
    }

    /// IMPLEMENTED DESCRIPTOR LIST: the descriptor types served, in ascending order: block device to block device, and
    /// identification descriptor.
    public static let descriptorTypes: [UInt8] = [CopySegment.typeCode, CopyUnit.typeCode]
}
