/// READ DEFECT DATA, 10 and 12 (SBC-3 5.17 and 5.18). A unit on a file or an image has no defects of its own: both
/// lists are valid and empty.
public struct ReadDefectData: Sendable, Equatable, BitwiseCopyable {
    /// Which form this is: the headers differ.
    public var form: CDBForm
    /// REQ_PLIST: the primary list is asked for.
    public var primaryList: Bool
    /// REQ_GLIST: the grown list is asked for.
    public var grownList: Bool
    /// DEFECT LIST FORMAT: that of the addresses, of which there are none.
    public var format: UInt8
    /// ALLOCATION LENGTH, in bytes.
    public var allocationLength: UInt32

    public init(
        form: CDBForm, primaryList: Bool = false, grownList: Bool = false, format: UInt8 = 0,
        allocationLength: UInt32
    ) {
        self.form = form
        self.primaryList = primaryList
        self.grownList = grownList
        self.format = format
        self.allocationLength = allocationLength
    }

    init(ten cdb: CDB) {
        self.init(form: .ten, flags: cdb[2], allocationLength: UInt32(cdb.u16(at: 7)))
    }

    init(twelve cdb: CDB) {
        self.init(form: .twelve, flags: cdb[1], allocationLength: cdb.u32(at: 6))
    }

    private init(form: CDBForm, flags: UInt8, allocationLength: UInt32) {
        self.init(
            form: form, primaryList: flags & 0x10 != 0, grownList: flags & 0x08 != 0, format: flags & 0x07,
            allocationLength: allocationLength)
    }

    /// The whole parameter data: a header that says which lists are valid, and a length of zero.
    public var response: [UInt8] {
        var data = [UInt8].zeros(form == .ten ? 4 : 8)
        data[1] = (primaryList ? 0x10 : 0) | (grownList ? 0x08 : 0) | format
        return data
    }
}
