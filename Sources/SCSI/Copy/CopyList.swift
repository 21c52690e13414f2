/// The parameter list of EXTENDED COPY (SPC-4 6.4 and 6.5): which blocks of which units go where.
///
/// After a header, of which there are two forms, come the CSCD descriptors and then the segment descriptors; each kind
/// has the length that the header says.
public struct CopyList: Sendable, Equatable {
    /// LIST ID USAGE: what becomes of the status of the copy.
    public enum Usage: Sendable, BitwiseCopyable {
        /// 00b, and 01b which is taken for the same: the status can be asked for, also after the end.
        case hold
        /// 10b: the status can be asked for while the copy goes on; nothing has to be held after its end.
        case discard
        /// 11b: there is no list identifier and no status.
        case none
    }

    /// LIST IDENTIFIER: 0...255 in the LID1 form; 0 where ``usage`` is ``Usage/none``.
    public var listIdentifier: UInt32
    /// LIST ID USAGE.
    public var usage: Usage
    /// IMMED, in the LID4 form alone: status comes once the list has been checked, and the copy goes on behind it.
    public var immediate: Bool
    /// The CSCD descriptors, in order.
    public var units: [CopyUnit]
    /// The segments, in order. Each names units that are there.
    public var segments: [CopySegment]

    /// Whether RECEIVE COPY STATUS finds this copy: whether there is a list identifier to ask with.
    public var keepsStatus: Bool { usage != .none }

    /// A list that copies nothing: what PARAMETER LIST LENGTH 0 means.
    public static let empty = CopyList(
        listIdentifier: 0, usage: .none, immediate: false, units: [], segments: [])

    init(
        listIdentifier: UInt32, usage: Usage, immediate: Bool, units: [CopyUnit], segments: [CopySegment]
    ) {
        self.listIdentifier = listIdentifier
        self.usage = usage
        self.immediate = immediate
        self.units = units
        self.segments = segments
    }

    /// Reads and checks the data-out bytes that were delivered. LBAs are not compared with any capacity, nor
    /// designators with any unit.
    ///
    /// The lengths are checked before the counts, the counts before the descriptors, and those in their order. Bytes
    /// behind the last descriptor are ignored.
    /// - Throws:
    ///   - PARAMETER LIST LENGTH ERROR: the list is longer than it may be or shorter than its header says, fewer bytes
    ///     were delivered than the CDB says, a descriptor is cut, or there is inline data.
    ///   - TOO MANY TARGET DESCRIPTORS, TOO MANY SEGMENT DESCRIPTORS: more than `limits` allow.
    ///   - UNSUPPORTED TARGET/SEGMENT DESCRIPTOR TYPE CODE: not of ``CopyLimits/descriptorTypes``.
    ///   - COPY TARGET DEVICE NOT REACHABLE (copy aborted): a null device, or a segment with a unit that is not in the
    ///     list; INCORRECT COPY TARGET DEVICE TYPE (copy aborted): a unit that is not a disk.
    ///   - INVALID FIELD IN PARAMETER LIST: the rest.
    public init(
        _ delivered: UnsafeRawBufferPointer, for command: ExtendedCopy, limits: CopyLimits
    ) throws(Sense) {
        guard command.parameterListLength > 0 else {
            self = .empty
            return
        }
        let list = try Self.list(delivered, for: command, limits: limits)
        let header = try CopyListHeader(list, form: command.form)
        try header.checkLengths(within: list.count, limits: limits)
        try header.checkCounts(limits)
        let units = try Self.units(list, header)
        let segments = try Self.segments(list, header, units: units, limits: limits)
        self.init(
            listIdentifier: header.listIdentifier, usage: header.usage, immediate: header.immediate, units: units,
            segments: segments)
    }

    /// The bytes of the list among those delivered.
    private static func list(
        _ delivered: UnsafeRawBufferPointer, for command: ExtendedCopy, limits: CopyLimits
    ) throws(Sense) -> UnsafeRawBufferPointer {
        guard let length = Int(exactly: command.parameterListLength),
            length <= limits.maximumParameterListLength, length <= delivered.count
        else { throw .parameterListLengthError }
        return UnsafeRawBufferPointer(rebasing: delivered[..<length])
    }

    private static func units(
        _ list: UnsafeRawBufferPointer, _ header: CopyListHeader
    ) throws(Sense) -> [CopyUnit] {
        var units: [CopyUnit] = []
        for start in stride(from: header.length, to: header.segmentsStart, by: CopyUnit.descriptorLength) {
            units.append(try CopyUnit(list, at: start))
        }
        return units
    }

    private static func segments(
        _ list: UnsafeRawBufferPointer, _ header: CopyListHeader, units: [CopyUnit], limits: CopyLimits
    ) throws(Sense) -> [CopySegment] {
        let descriptors = UnsafeRawBufferPointer(rebasing: list[..<header.segmentsEnd])
        var segments: [CopySegment] = []
        for start in stride(
            from: header.segmentsStart, to: header.segmentsEnd, by: CopySegment.descriptorLength)
        {
            let segment = try CopySegment(descriptors, at: start)
            try segment.check(units, at: start, limits: limits)
            segments.append(segment)
        }
        return segments
    }
}
