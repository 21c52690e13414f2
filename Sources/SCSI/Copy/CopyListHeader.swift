/// What stands before the descriptors of EXTENDED COPY.
///
/// ```
///     LID1                                  LID4
///  0  LIST IDENTIFIER                    0  PARAMETER LIST FORMAT, 01h
///  1  STR, LIST ID USAGE, PRIORITY       1  STR, LIST ID USAGE, PRIORITY
///  2  CSCD DESCRIPTOR LIST LENGTH (2)    2  HEADER CSCD DESCRIPTOR LIST LENGTH (2), 0020h
///  8  SEGMENT DESCRIPTOR LIST LENGTH (4) 15 G_SENSE (1), IMMED (0)
/// 12  INLINE DATA LENGTH (4)             16 HEADER CSCD DESCRIPTOR TYPE CODE, FFh
///                                        20 LIST IDENTIFIER (4)
///                                        42 CSCD DESCRIPTOR LIST LENGTH (2)
///                                        44 SEGMENT DESCRIPTOR LIST LENGTH (2)
///                                        46 INLINE DATA LENGTH (2)
/// ```
///
/// STR and PRIORITY are hints. The lengths are kept as wide as they come; the original cuts them to 16 and 8 bits.
struct CopyListHeader {
    /// Of the LID4 form.
    static let longestLength = 48

    var length: Int
    var listIdentifier: UInt32
    var usage: CopyList.Usage
    var immediate = false
    var unitsLength: Int
    var segmentsLength: UInt32
    var inlineLength: UInt32

    init(_ list: UnsafeRawBufferPointer, form: ExtendedCopy.ListIdentifierLength) throws(Sense) {
        switch form {
        case .one: try self.init(short: list)
        case .four: try self.init(long: list)
        }
    }

    private init(short list: UnsafeRawBufferPointer) throws(Sense) {
        guard let units = list.bigEndian(UInt16.self, at: 2), let segments = list.bigEndian(UInt32.self, at: 8),
            let inline = list.bigEndian(UInt32.self, at: 12)
        else { throw .parameterListLengthError }
        (length, unitsLength, segmentsLength, inlineLength) = (16, Int(units), segments, inline)
        listIdentifier = UInt32(list[0])
        usage = CopyList.Usage(list[1])
        // Somebody may come to ask for an identifier that was never taken up.
        if usage == .none, listIdentifier != 0 { throw .invalidFieldInParameterList(byte: 0) }
    }

    private init(long list: UnsafeRawBufferPointer) throws(Sense) {
        guard let identifier = list.bigEndian(UInt32.self, at: 20), let units = list.bigEndian(UInt16.self, at: 42),
            let segments = list.bigEndian(UInt16.self, at: 44), let inline = list.bigEndian(UInt16.self, at: 46)
        else { throw .parameterListLengthError }
        guard list[0] == 0x01 else { throw .invalidFieldInParameterList(byte: 0) }
        guard list.bigEndian(UInt16.self, at: 2) == 0x20 else { throw .invalidFieldInParameterList(byte: 2) }
        guard list[16] == 0xFF else { throw .invalidFieldInParameterList(byte: 16) }
        // Sense data with GOOD status is nothing that we could send.
        guard list[15] & 0x02 == 0 else { throw .invalidFieldInParameterList(byte: 15, bit: 1) }
        (length, unitsLength) = (Self.longestLength, Int(units))
        (segmentsLength, inlineLength) = (UInt32(segments), UInt32(inline))
        listIdentifier = identifier
        usage = CopyList.Usage(list[1])
        immediate = list[15] & 0x01 != 0
        if usage == .none, listIdentifier != 0 { throw .invalidFieldInParameterList(byte: 20) }
        // Nobody could learn how such a copy ends.
        if usage == .none, immediate { throw .invalidFieldInParameterList(byte: 15, bit: 0) }
    }

    /// That the descriptors are within what may be sent and what was sent: `listLength` bytes in all.
    func checkLengths(within listLength: Int, limits: CopyLimits) throws(Sense) {
        let descriptors = UInt64(unitsLength) + UInt64(segmentsLength)
        guard descriptors <= UInt64(limits.maximumListLength),
            UInt64(length) + descriptors <= UInt64(listLength), inlineLength == 0
        else { throw .parameterListLengthError }
    }

    /// That there are no more descriptors than may be. A segment of a type that we do not have may be shorter: it is
    /// refused for its type.
    func checkCounts(_ limits: CopyLimits) throws(Sense) {
        guard unitsLength.isMultiple(of: CopyUnit.descriptorLength) else { throw .parameterListLengthError }
        guard unitsLength / CopyUnit.descriptorLength <= Int(limits.maximumUnits) else {
            throw .tooManyTargetDescriptors
        }
        guard Int(segmentsLength) / CopySegment.descriptorLength <= Int(limits.maximumSegments) else {
            throw .tooManySegmentDescriptors
        }
    }

    /// Where the segment descriptors start.
    var segmentsStart: Int { length + unitsLength }

    /// Where the segment descriptors end; within the list once ``checkLengths(within:limits:)`` has passed.
    var segmentsEnd: Int { segmentsStart + Int(segmentsLength) }
}

extension CopyList.Usage {
    /// From the byte that has LIST ID USAGE in its bits 4 and 3.
    fileprivate init(_ flags: UInt8) {
        switch flags >> 3 & 3 {
        case 3: self = .none
        case 2: self = .discard
        default: self = .hold
        }
    }
}
