/// MODE SENSE, 6 and 10 (SPC-4 6.13 and 6.14).
public struct ModeSense: Sendable, Equatable, BitwiseCopyable {
    /// PC: which values are asked for. Saved values are refused by the decoder: nothing is saved here.
    public enum PageControl: UInt8, Sendable, BitwiseCopyable {
        /// Those in force.
        case current = 0
        /// A mask of what MODE SELECT can change.
        case changeable = 1
        /// Those of a unit just opened.
        case `default` = 2
    }

    /// Which form this is: the headers differ.
    public var form: CDBForm
    /// DBD and LLBAA: what stands between header and pages.
    public var descriptor: ModeBlockDescriptor?
    /// PC.
    public var pageControl: PageControl
    /// PAGE CODE; 3Fh is every page.
    public var pageCode: UInt8
    /// SUBPAGE CODE.
    public var subpageCode: UInt8
    /// ALLOCATION LENGTH, in bytes; zero is GOOD and moves no data.
    public var allocationLength: UInt16

    public init(
        form: CDBForm, descriptor: ModeBlockDescriptor? = nil, pageControl: PageControl = .current,
        pageCode: UInt8, subpageCode: UInt8 = 0, allocationLength: UInt16
    ) {
        self.form = form
        self.descriptor = descriptor
        self.pageControl = pageControl
        self.pageCode = pageCode
        self.subpageCode = subpageCode
        self.allocationLength = allocationLength
    }

    init(six cdb: CDB) throws(Sense) {
        try self.init(form: .six, cdb, allocationLength: UInt16(cdb[4]))
    }

    init(ten cdb: CDB) throws(Sense) {
        try self.init(form: .ten, cdb, allocationLength: cdb.u16(at: 7))
    }

    /// An allocation length that cuts the header is no error (SPC-4 4.2.5.6), though the original makes it one.
    private init(form: CDBForm, _ cdb: CDB, allocationLength: UInt16) throws(Sense) {
        guard let control = PageControl(rawValue: cdb[2] >> 6) else { throw .savingParametersNotSupported }
        let (isDisabled, takesLong) = (cdb[1] & 0x08 != 0, form == .ten && cdb[1] & 0x10 != 0)
        self.init(
            form: form, descriptor: isDisabled ? nil : takesLong ? .long : .short, pageControl: control,
            pageCode: cdb[2] & 0x3F, subpageCode: cdb[3],
            allocationLength: allocationLength)
    }
}

/// MODE SELECT, 6 and 10 (SPC-4 6.11 and 6.12).
public struct ModeSelect: Sendable, Equatable, BitwiseCopyable {
    /// Which form this is: the headers differ.
    public var form: CDBForm
    /// PARAMETER LIST LENGTH, in bytes; zero is GOOD and changes nothing.
    public var parameterListLength: UInt16

    public init(form: CDBForm, parameterListLength: UInt16) {
        self.form = form
        self.parameterListLength = parameterListLength
    }

    /// Bound: a parameter list this long or longer is refused; all pages together are much shorter.
    static let parameterListLimit: UInt16 = 512

    init(six cdb: CDB) throws(Sense) {
        try self.init(form: .six, flags: cdb[1], parameterListLength: UInt16(cdb[4]))
    }

    init(ten cdb: CDB) throws(Sense) {
        try self.init(form: .ten, flags: cdb[1], parameterListLength: cdb.u16(at: 7))
    }

    /// PF must be one (pages, not a vendor's format) and SP zero (nothing can be saved), if there is a list.
    private init(form: CDBForm, flags: UInt8, parameterListLength: UInt16) throws(Sense) {
        self.init(form: form, parameterListLength: parameterListLength)
        guard parameterListLength > 0 else { return }
        guard parameterListLength < Self.parameterListLimit else { throw .parameterListLengthError }
        guard flags & 0x10 != 0 else { throw .invalidFieldInCDB(byte: 1, bit: 4) }
        guard flags & 0x01 == 0 else { throw .invalidFieldInCDB(byte: 1, bit: 0) }
    }
}

extension CDBForm {
    /// The length in bytes of the mode parameter header (SPC-4 7.5.5) that goes with this form.
    var modeHeaderLength: Int { self == .six ? 4 : 8 }
}
