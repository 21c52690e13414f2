extension ReceiveCopyResults {
    /// INVALID FIELD IN CDB, pointing at LIST IDENTIFIER: no copy with it is known.
    public static let unknownListIdentifier = Sense.invalidFieldInCDB(byte: 2)

    /// The parameter data of the answer, whole: to be cut to ``allocationLength``.
    /// - Parameters:
    ///   - status: what is kept under ``listIdentifier``, or `nil`; not looked at for the operating parameters.
    ///   - limits: what the operating parameters tell.
    /// - Throws: ``unknownListIdentifier``.
    public func response(_ status: CopyStatus?, limits: CopyLimits) throws(Sense) -> [UInt8] {
        if action == .operatingParameters { return Self.operatingParameters(limits) }
        guard let status else { throw Self.unknownListIdentifier }
        return switch action {
        case .copyStatusLID1: status.statusLID1
        case .copyStatusLID4: status.statusLID4
        case .failureDetailsLID1: status.failureDetails
        case .operatingParameters: Self.operatingParameters(limits)
        }
    }

    /// RECEIVE COPY OPERATING PARAMETERS parameter data, 46 bytes (SPC-4).
    ///
    /// ```
    ///  0  AVAILABLE DATA (4)                      34  TOTAL CONCURRENT COPIES (2)
    ///  4  SNLID (0)                               36  MAXIMUM CONCURRENT COPIES
    ///  8  MAXIMUM CSCD DESCRIPTOR COUNT (2)       37  DATA SEGMENT GRANULARITY (2^n bytes)
    /// 10  MAXIMUM SEGMENT DESCRIPTOR COUNT (2)    38  INLINE DATA GRANULARITY (2^n bytes)
    /// 12  MAXIMUM DESCRIPTOR LIST LENGTH (4)      39  HELD DATA GRANULARITY (2^n bytes)
    /// 16  MAXIMUM SEGMENT LENGTH (4)              43  IMPLEMENTED DESCRIPTOR LIST LENGTH
    /// 20  MAXIMUM INLINE DATA LENGTH (4), 0       44  IMPLEMENTED DESCRIPTOR LIST
    /// 24  HELD DATA LIMIT (4), 0
    /// 28  MAXIMUM STREAM DEVICE TRANSFER SIZE (4), 0
    /// ```
    public static func operatingParameters(_ limits: CopyLimits) -> [UInt8] {
        var data = [UInt8].zeros(44)
        data.store(UInt32(40 + CopyLimits.descriptorTypes.count), at: 0)
        data[4] = 0x01  // SNLID: LIST ID USAGE may be 11b
        data.store(limits.maximumUnits, at: 8)
        data.store(limits.maximumSegments, at: 10)
        data.store(UInt32(limits.maximumListLength), at: 12)
        data.store(limits.maximumSegmentBytes, at: 16)
        data.store(UInt16(limits.concurrentCopies), at: 34)
        data[36] = limits.concurrentCopies
        data[37] = limits.segmentGranularity
        data[38] = 9  // of inline and held data there is none; as the original
        data[39] = 9
        data[43] = UInt8(clamping: CopyLimits.descriptorTypes.count)
        return data + CopyLimits.descriptorTypes
    }
}
