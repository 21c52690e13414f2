/// LOG SENSE (SPC-4 6.8).
public struct LogSense: Sendable, Equatable, BitwiseCopyable {
    /// PC: which values are asked for. All are the same here.
    public var pageControl: UInt8
    /// PAGE CODE.
    public var pageCode: UInt8
    /// SUBPAGE CODE.
    public var subpageCode: UInt8
    /// PARAMETER POINTER: parameters with lower codes are left out.
    public var parameterPointer: UInt16
    /// ALLOCATION LENGTH, in bytes.
    public var allocationLength: UInt16

    public init(
        pageControl: UInt8 = 1, pageCode: UInt8, subpageCode: UInt8 = 0, parameterPointer: UInt16 = 0,
        allocationLength: UInt16
    ) {
        self.pageControl = pageControl
        self.pageCode = pageCode
        self.subpageCode = subpageCode
        self.parameterPointer = parameterPointer
        self.allocationLength = allocationLength
    }

    /// SP must be zero: nothing is saved. PPC is obsolete and must be zero.
    init(_ cdb: CDB) throws(Sense) {
        guard cdb[1] & 0x01 == 0 else { throw .invalidFieldInCDB(byte: 1, bit: 0) }
        guard cdb[1] & 0x02 == 0 else { throw .invalidFieldInCDB(byte: 1, bit: 1) }
        self.init(
            pageControl: cdb[2] >> 6, pageCode: cdb[2] & 0x3F, subpageCode: cdb[3],
            parameterPointer: cdb.u16(at: 5), allocationLength: cdb.u16(at: 7))
    }
}
