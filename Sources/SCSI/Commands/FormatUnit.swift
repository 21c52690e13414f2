/// FORMAT UNIT (SBC-3 5.3).
public struct FormatUnit: Sendable, Equatable, BitwiseCopyable {
    /// LONGLIST: the parameter list header has eight bytes, not four.
    public var longList: Bool
    /// FMTDATA: there is a parameter list.
    public var hasParameterList: Bool
    /// CMPLST: the defect list is complete. It is empty anyway.
    public var completeList: Bool
    /// DEFECT LIST FORMAT.
    public var defectListFormat: UInt8
    /// FFMT is 01b: the blocks need not be written.
    public var fast: Bool

    public init(
        longList: Bool = false, hasParameterList: Bool = false, completeList: Bool = false,
        defectListFormat: UInt8 = 0, fast: Bool = false
    ) {
        self.longList = longList
        self.hasParameterList = hasParameterList
        self.completeList = completeList
        self.defectListFormat = defectListFormat
        self.fast = fast
    }

    /// FMTPINFO must be zero: there is no protection information. FFMT of 10b and 11b are reserved. Without FMTDATA
    /// there is no list to be complete or long.
    init(_ cdb: CDB) throws(Sense) {
        guard cdb[1] & 0xC0 == 0 else { throw .invalidFieldInCDB(byte: 1, bit: 7) }
        guard cdb[4] & 0x02 == 0 else { throw .invalidFieldInCDB(byte: 4, bit: 1) }
        self.init(
            longList: cdb[1] & 0x20 != 0, hasParameterList: cdb[1] & 0x10 != 0,
            completeList: cdb[1] & 0x08 != 0, defectListFormat: cdb[1] & 0x07, fast: cdb[4] & 0x01 != 0)
    }
}
