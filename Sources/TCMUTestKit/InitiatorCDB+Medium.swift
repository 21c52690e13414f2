// Commands beyond READ and WRITE: verifying, atomic ones, and what is asked about the medium.
extension InitiatorCDB {
    /// VERIFY (10); `byteCheck` is BYTCHK: 0, 1 or 3.
    public static func verify10(_ lba: UInt32, _ blocks: UInt16, byteCheck: UInt8 = 0) -> [UInt8] {
        ten(0x2F, lba, blocks, flags: byteCheck << 1)
    }

    /// VERIFY (12).
    public static func verify12(_ lba: UInt32, _ blocks: UInt32, byteCheck: UInt8 = 0) -> [UInt8] {
        withFlags(byteCheck << 1, twelve(0xAF, lba, blocks))
    }

    /// VERIFY (16).
    public static func verify16(_ lba: UInt64, _ blocks: UInt32, byteCheck: UInt8 = 0) -> [UInt8] {
        sixteen(0x8F, lba, blocks, flags: byteCheck << 1)
    }

    /// WRITE AND VERIFY (10).
    public static func writeAndVerify10(_ lba: UInt32, _ blocks: UInt16, byteCheck: UInt8 = 1) -> [UInt8] {
        ten(0x2E, lba, blocks, flags: byteCheck << 1)
    }

    /// WRITE AND VERIFY (12).
    public static func writeAndVerify12(_ lba: UInt32, _ blocks: UInt32, byteCheck: UInt8 = 1) -> [UInt8] {
        withFlags(byteCheck << 1, twelve(0xAE, lba, blocks))
    }

    /// WRITE AND VERIFY (16).
    public static func writeAndVerify16(_ lba: UInt64, _ blocks: UInt32, byteCheck: UInt8 = 1) -> [UInt8] {
        sixteen(0x8E, lba, blocks, flags: byteCheck << 1)
    }

    /// ORWRITE (16); `flags` is byte 1: 08h FUA.
    public static func orWrite16(_ lba: UInt64, _ blocks: UInt32, flags: UInt8 = 0) -> [UInt8] {
        sixteen(0x8B, lba, blocks, flags: flags)
    }

    /// WRITE ATOMIC (16).
    public static func writeAtomic16(_ lba: UInt64, _ blocks: UInt16) -> [UInt8] {
        [0x9C, 0] + bigEndian(lba) + [0, 0] + bigEndian(blocks) + [0, 0]
    }

    /// PRE-FETCH (10).
    public static func prefetch10(_ lba: UInt32, _ blocks: UInt16) -> [UInt8] { ten(0x34, lba, blocks) }

    /// PRE-FETCH (16).
    public static func prefetch16(_ lba: UInt64, _ blocks: UInt32) -> [UInt8] { sixteen(0x90, lba, blocks) }

    /// READ DEFECT DATA (10): both lists, in short block format.
    public static let readDefectData10: [UInt8] = [0x37, 0, 0x18, 0, 0, 0, 0, 0, 255, 0]

    /// READ DEFECT DATA (12).
    public static let readDefectData12: [UInt8] = [0xB7, 0x18, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0]

    /// GET LBA STATUS (9Eh/12h).
    public static func getLBAStatus(_ lba: UInt64, length: UInt32 = 1024) -> [UInt8] {
        [0x9E, 0x12] + bigEndian(lba) + bigEndian(length) + [0, 0]
    }

    /// LOG SENSE of the current values of `page`.
    public static func logSense(page: UInt8) -> [UInt8] { [0x4D, 0, 0x40 | page, 0, 0, 0, 0, 1, 0, 0] }

    /// MODE SELECT (6) with PF, for a parameter list of `length` bytes.
    public static func modeSelect6(parameterListLength length: UInt8) -> [UInt8] { [0x15, 0x10, 0, 0, length, 0] }

    /// The parameter list of MODE SELECT (6) with one page as MODE SENSE (6) showed it, the bits in `set` set and those in
    /// `clear` cleared, by byte of the page.
    public static func modeParameters(
        _ page: [UInt8], set: [Int: UInt8] = [:], clear: [Int: UInt8] = [:]
    ) -> [UInt8] {
        var page = page
        for (byte, bits) in set { page[byte] |= bits }
        for (byte, bits) in clear { page[byte] &= ~bits }
        return [0, 0, 0, 0] + page
    }

    /// REPORT SUPPORTED OPERATION CODES (A3h/0Ch), all of them.
    public static let reportSupportedOperationCodes: [UInt8] = [0xA3, 0x0C, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0]

    // MARK: - The whole medium

    /// SANITIZE with OVERWRITE for a parameter list of `length` bytes.
    public static func sanitizeOverwrite(
        parameterListLength length: UInt16, immediate: Bool = false, mayExit: Bool = false
    ) -> [UInt8] {
        [0x48, 0x01 | (immediate ? 0x80 : 0) | (mayExit ? 0x20 : 0), 0, 0, 0, 0, 0] + bigEndian(length) + [0]
    }

    /// The parameter list of SANITIZE with OVERWRITE.
    public static func overwriteParameters(_ pattern: [UInt8], passes: UInt8 = 1, inverts: Bool = false) -> [UInt8]
    {
        [(inverts ? 0x80 : 0) | passes, 0] + bigEndian(UInt16(pattern.count)) + pattern
    }

    /// SANITIZE with BLOCK ERASE.
    public static func sanitizeBlockErase(immediate: Bool = false) -> [UInt8] {
        [0x48, 0x02 | (immediate ? 0x80 : 0), 0, 0, 0, 0, 0, 0, 0, 0]
    }

    /// SANITIZE with EXIT FAILURE MODE.
    public static let sanitizeExitFailureMode: [UInt8] = [0x48, 0x1F, 0, 0, 0, 0, 0, 0, 0, 0]

    /// FORMAT UNIT; `hasList` is FMTDATA, `fast` FFMT 01b.
    public static func formatUnit(hasList: Bool = false, fast: Bool = false) -> [UInt8] {
        [0x04, hasList ? 0x10 : 0, 0, 0, fast ? 0x01 : 0, 0]
    }

    /// The parameter list of FORMAT UNIT with a short header; an empty `pattern` is the default one.
    public static func formatParameters(pattern: [UInt8] = [], immediate: Bool = false) -> [UInt8] {
        let flags: UInt8 = (immediate ? 0x02 : 0) | (pattern.isEmpty ? 0 : 0x88)
        let descriptor = pattern.isEmpty ? [] : [0, 1] + bigEndian(UInt16(pattern.count)) + pattern
        return [0, flags, 0, 0] + descriptor
    }

    static func withFlags(_ flags: UInt8, _ cdb: [UInt8]) -> [UInt8] {
        var cdb = cdb
        cdb[1] = flags
        return cdb
    }
}
