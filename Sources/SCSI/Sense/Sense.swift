/// The class of a sense (SPC-4 4.5.6).
public enum SenseKey: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    /// NO SENSE: nothing to report.
    case noSense = 0x0
    /// RECOVERED ERROR: done, with recovery.
    case recoveredError = 0x1
    /// NOT READY: the unit cannot be accessed.
    case notReady = 0x2
    /// MEDIUM ERROR: the stored data could not be read or written.
    case mediumError = 0x3
    /// HARDWARE ERROR: the target failed.
    case hardwareError = 0x4
    /// ILLEGAL REQUEST: the command or its parameter list is wrong.
    case illegalRequest = 0x5
    /// UNIT ATTENTION: something about the unit changed.
    case unitAttention = 0x6
    /// DATA PROTECT: the blocks may not be written.
    case dataProtect = 0x7
    /// BLANK CHECK.
    case blankCheck = 0x8
    /// Vendor specific.
    case vendorSpecific = 0x9
    /// COPY ABORTED: a third-party copy failed.
    case copyAborted = 0xA
    /// ABORTED COMMAND: the target ended the command.
    case abortedCommand = 0xB
    /// VOLUME OVERFLOW.
    case volumeOverflow = 0xD
    /// MISCOMPARE: the data differs from that on the medium.
    case miscompare = 0xE
    /// COMPLETED.
    case completed = 0xF
}

/// Why a command ended with CHECK CONDITION, or what REQUEST SENSE reports (SPC-4 4.5).
///
/// Throwing one is how a payload initialiser of this module refuses a command.
public struct Sense: Error, Sendable, Equatable, BitwiseCopyable {
    /// The three bytes whose meaning depends on the sense key (SPC-4 4.5.2.4).
    public enum Specific: Sendable, Equatable, BitwiseCopyable {
        /// Not valid (SKSV = 0).
        case none
        /// The first wrong byte, in the CDB (C/D = 1) or in the parameter list, and the most significant bit
        /// of the wrong field where it is not a whole byte.
        case fieldPointer(inCDB: Bool, byte: UInt16, bit: UInt8?)
        /// How far a long operation has come, in 65 536ths.
        case progress(UInt16)
    }

    /// SENSE KEY.
    public var key: SenseKey
    /// ADDITIONAL SENSE CODE.
    public var asc: UInt8
    /// ADDITIONAL SENSE CODE QUALIFIER.
    public var ascq: UInt8
    /// INFORMATION: an LBA or a byte offset, as the command says; `nil` is VALID = 0.
    public var information: UInt64?
    /// SENSE KEY SPECIFIC.
    public var specific: Specific

    public init(
        _ key: SenseKey, _ asc: UInt8, _ ascq: UInt8, information: UInt64? = nil, specific: Specific = .none
    ) {
        self.key = key
        self.asc = asc
        self.ascq = ascq
        self.information = information
        self.specific = specific
    }
}

extension Sense: CustomStringConvertible {
    /// Key and codes in hexadecimal, as field engineers write them: `5/2400`.
    public var description: String {
        func padded(_ byte: UInt8) -> String {
            (byte < 0x10 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }
        return String(key.rawValue, radix: 16, uppercase: true) + "/" + padded(asc) + padded(ascq)
    }
}
