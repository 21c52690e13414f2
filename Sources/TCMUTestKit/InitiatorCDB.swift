/// CDBs as an initiator builds them (SPC-4, SBC-4), byte by byte and independent of the SCSI module under test.
public enum InitiatorCDB {
    /// TEST UNIT READY (00h).
    public static let testUnitReady = [UInt8](repeating: 0, count: 6)

    /// REQUEST SENSE (03h) for 252 bytes of fixed-format sense.
    public static let requestSense: [UInt8] = [0x03, 0, 0, 0, 252, 0]

    /// INQUIRY (12h); `page` asks for that VPD page.
    public static func inquiry(page: UInt8? = nil, length: UInt16 = 255) -> [UInt8] {
        [0x12, page == nil ? 0 : 1, page ?? 0, UInt8(length >> 8), UInt8(length & 0xFF), 0]
    }

    /// READ (6): 21 bits of LBA; 0 blocks mean 256.
    public static func read6(_ lba: UInt32, _ blocks: UInt8) -> [UInt8] { six(0x08, lba, blocks) }

    /// WRITE (6).
    public static func write6(_ lba: UInt32, _ blocks: UInt8) -> [UInt8] { six(0x0A, lba, blocks) }

    /// READ (10).
    public static func read10(_ lba: UInt32, _ blocks: UInt16) -> [UInt8] { ten(0x28, lba, blocks) }

    /// WRITE (10); `flags` is byte 1: 08h FUA.
    public static func write10(_ lba: UInt32, _ blocks: UInt16, flags: UInt8 = 0) -> [UInt8] {
        ten(0x2A, lba, blocks, flags: flags)
    }

    /// READ (12).
    public static func read12(_ lba: UInt32, _ blocks: UInt32) -> [UInt8] { twelve(0xA8, lba, blocks) }

    /// WRITE (12).
    public static func write12(_ lba: UInt32, _ blocks: UInt32) -> [UInt8] { twelve(0xAA, lba, blocks) }

    /// READ (16).
    public static func read16(_ lba: UInt64, _ blocks: UInt32) -> [UInt8] { sixteen(0x88, lba, blocks) }

    /// WRITE (16); `flags` is byte 1: 08h FUA.
    public static func write16(_ lba: UInt64, _ blocks: UInt32, flags: UInt8 = 0) -> [UInt8] {
        sixteen(0x8A, lba, blocks, flags: flags)
    }

    /// SYNCHRONIZE CACHE (10).
    public static func synchronizeCache10(_ lba: UInt32 = 0, _ blocks: UInt16 = 0) -> [UInt8] {
        ten(0x35, lba, blocks)
    }

    /// SYNCHRONIZE CACHE (16).
    public static func synchronizeCache16(_ lba: UInt64 = 0, _ blocks: UInt32 = 0) -> [UInt8] {
        sixteen(0x91, lba, blocks)
    }

    /// WRITE SAME (10); `flags` is byte 1: 08h UNMAP.
    public static func writeSame10(_ lba: UInt32, _ blocks: UInt16, flags: UInt8 = 0) -> [UInt8] {
        ten(0x41, lba, blocks, flags: flags)
    }

    /// WRITE SAME (16); `flags` is byte 1: 08h UNMAP, 01h NDOB.
    public static func writeSame16(_ lba: UInt64, _ blocks: UInt32, flags: UInt8 = 0) -> [UInt8] {
        sixteen(0x93, lba, blocks, flags: flags)
    }

    /// COMPARE AND WRITE (89h); the Data-Out buffer holds twice as many blocks.
    public static func compareAndWrite(_ lba: UInt64, _ blocks: UInt8) -> [UInt8] {
        var cdb = sixteen(0x89, lba, 0)
        cdb[13] = blocks
        return cdb
    }

    /// UNMAP (42h) for a parameter list of `length` bytes.
    public static func unmap(parameterListLength length: UInt16) -> [UInt8] {
        var cdb = ten(0x42, 0, length)
        cdb[1] = 0
        return cdb
    }

    /// The parameter list of UNMAP.
    public static func unmapParameters(_ ranges: [(lba: UInt64, blocks: UInt32)]) -> [UInt8] {
        let descriptors = UInt16(ranges.count * 16)
        var list = bigEndian(descriptors + 6) + bigEndian(descriptors) + [0, 0, 0, 0]
        for range in ranges { list += bigEndian(range.lba) + bigEndian(range.blocks) + [0, 0, 0, 0] }
        return list
    }

    /// READ CAPACITY (10).
    public static let readCapacity10: [UInt8] = [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0]

    /// READ CAPACITY (16).
    public static let readCapacity16: [UInt8] = [0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0]

    /// MODE SENSE (6) of `page`, 3Fh for all.
    public static func modeSense6(page: UInt8 = 0x3F) -> [UInt8] { [0x1A, 0x08, page, 0, 255, 0] }

    /// MODE SENSE (10) of `page`, 3Fh for all.
    public static func modeSense10(page: UInt8 = 0x3F) -> [UInt8] { [0x5A, 0x08, page, 0, 0, 0, 0, 0, 255, 0] }

    /// START STOP UNIT, start.
    public static let startUnit: [UInt8] = [0x1B, 0, 0, 0, 1, 0]

    /// REPORT TARGET PORT GROUPS (A3h/0Ah).
    public static let reportTargetPortGroups: [UInt8] = [0xA3, 0x0A, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0]

    /// SET TARGET PORT GROUPS (A4h/0Ah) with a parameter list of `length` bytes.
    public static func setTargetPortGroups(_ length: UInt32) -> [UInt8] {
        [0xA4, 0x0A, 0, 0, 0, 0] + bigEndian(length) + [0, 0]
    }

    /// Bytes of `value`, most significant first.
    public static func bigEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }

    private static func six(_ code: UInt8, _ lba: UInt32, _ blocks: UInt8) -> [UInt8] {
        [code] + bigEndian(lba & 0x1F_FFFF).dropFirst() + [blocks, 0]
    }

    static func ten(_ code: UInt8, _ lba: UInt32, _ blocks: UInt16, flags: UInt8 = 0) -> [UInt8] {
        [code, flags] + bigEndian(lba) + [0] + bigEndian(blocks) + [0]
    }

    static func twelve(_ code: UInt8, _ lba: UInt32, _ blocks: UInt32) -> [UInt8] {
        [code, 0] + bigEndian(lba) + bigEndian(blocks) + [0, 0]
    }

    static func sixteen(_ code: UInt8, _ lba: UInt64, _ blocks: UInt32, flags: UInt8 = 0) -> [UInt8] {
        [code, flags] + bigEndian(lba) + bigEndian(blocks) + [0, 0]
    }
}
