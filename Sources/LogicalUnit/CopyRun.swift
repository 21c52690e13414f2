internal import BlockBackend
internal import SCSI

/// Where an EXTENDED COPY stands.
struct CopyRun {
    /// Where blocks come from or go to.
    enum Endpoint {
        /// The unit that got the command.
        case own
        case peer(CopyPeer)
    }

    /// One segment with its units found and its sizes in bytes.
    struct Segment {
        let source: Endpoint
        let destination: Endpoint
        let sourceBytes: ByteExtent
        let destinationBytes: ByteExtent
    }

    let segments: [Segment]
    /// LIST IDENTIFIER, where the initiator may ask about the copy.
    let listIdentifier: UInt32?
    /// Its status is kept when it is over, until somebody has asked.
    let isHeld: Bool
    /// The form of the command.
    let form: ExtendedCopy.ListIdentifierLength
    /// The segment under way.
    private(set) var index = 0
    /// Bytes of it that are done.
    private(set) var done: UInt64 = 0
    /// Bytes that are done in all.
    private(set) var total: UInt64 = 0
    /// Bytes that are done on the unit that got the command.
    private(set) var ownBytes: UInt64 = 0
    /// The next piece has been read and is written next.
    private var isWriting = false
    /// Nothing that it writes is read by it: done again from its beginning, it leaves the same bytes.
    let isRepeatable: Bool

    /// It writes to the unit that got the command.
    var writesOwn: Bool {
        segments.contains { if case .own = $0.destination { true } else { false } }
    }

    init(
        segments: [Segment], isRepeatable: Bool, listIdentifier: UInt32?, isHeld: Bool,
        form: ExtendedCopy.ListIdentifierLength
    ) {
        self.segments = segments
        self.isRepeatable = isRepeatable
        self.listIdentifier = listIdentifier
        self.isHeld = isHeld
        self.form = form
        skipEmpty()
    }

    /// The segment under way; nil when all are done.
    var current: Segment? { index < segments.count ? segments[index] : nil }

    /// The next piece, read or written; nil when all are done.
    func next() -> Step? {
        guard let current else { return nil }
        let length = min(UInt64(Limits.bounceBytes), current.sourceBytes.length - done)
        let whole = isWriting ? current.destinationBytes : current.sourceBytes
        return Step(
            action: isWriting ? .write : .read, extent: ByteExtent(offset: whole.offset + done, length: length),
            endpoint: isWriting ? current.destination : current.source, isFirst: done == 0)
    }

    /// A piece has been read, and is written next; or it has been written, and the next one is read.
    mutating func advance(by step: Step) {
        if isWriting {
            done += step.extent.length
            total += step.extent.length
            if case .own = step.endpoint { ownBytes += step.extent.length }
            if let current, done >= current.sourceBytes.length {
                index += 1
                done = 0
                skipEmpty()
            }
        }
        isWriting.toggle()
    }

    private mutating func skipEmpty() {
        while let current, current.sourceBytes.length == 0 { index += 1 }
    }
}

/// What is known about copies that initiators may ask about with RECEIVE COPY RESULTS.
struct CopyHistory {
    /// Bound: older ones are forgotten.
    private static let limit = 16

    private var entries: [CopyStatus] = []

    subscript(listIdentifier: UInt32) -> CopyStatus? {
        entries.first { $0.listIdentifier == listIdentifier }
    }

    /// Keeps the newest word on a copy.
    mutating func record(_ status: CopyStatus) {
        if let position = entries.firstIndex(where: { $0.listIdentifier == status.listIdentifier }) {
            entries.remove(at: position)
        } else if entries.count >= CopyHistory.limit, let over = entries.firstIndex(where: { !$0.isInProgress }) {
            entries.remove(at: over)
        }
        entries.append(status)
    }

    /// Nobody will ask about the copy.
    mutating func forget(_ listIdentifier: UInt32) {
        entries.removeAll { $0.listIdentifier == listIdentifier }
    }

    /// The initiator has been told how the copy ended: nobody asks again, but for the details of a failure after its
    /// status (SPC-4), and the identifier may be used anew.
    mutating func told(_ listIdentifier: UInt32, by action: ThirdPartyCopyIn) {
        entries.removeAll { entry in
            guard entry.listIdentifier == listIdentifier, !entry.isInProgress else { return false }
            switch action {
            case .operatingParameters: return false
            case .failureDetailsLID1, .copyStatusLID4: return true
            case .copyStatusLID1:
                if case .failed = entry.state { return false }
                return true
            }
        }
    }
}

extension CopyLimits {
    /// What a unit with blocks of `blockSize` bytes takes. As many copies at once as have memory.
    static func served(blockSize: UInt32) -> CopyLimits {
        CopyLimits(
            concurrentCopies: 16, segmentGranularity: UInt8(clamping: blockSize.trailingZeroBitCount))
    }
}

extension ThirdPartyCopy {
    /// The same for page 8Fh.
    init(_ limits: CopyLimits) {
        self.init(
            maximumCSCDDescriptors: limits.maximumUnits, maximumSegmentDescriptors: limits.maximumSegments,
            maximumDescriptorListBytes: UInt32(limits.maximumListLength),
            descriptorTypes: CopyLimits.descriptorTypes, totalConcurrentCopies: UInt32(limits.concurrentCopies),
            maximumIdentifiedCopies: UInt32(limits.concurrentCopies),
            maximumSegmentBytes: limits.maximumSegmentBytes, segmentGranularity: limits.segmentGranularity)
    }
}
