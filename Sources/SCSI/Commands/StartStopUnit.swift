/// START STOP UNIT (SBC-3 5.25), as far as a disk that neither stops nor ejects can serve it: "start".
public struct StartStopUnit: Sendable, Equatable, BitwiseCopyable {
    /// IMMED: status may come before the operation ends.
    public var immediate: Bool
    /// NO_FLUSH: the cache need not be written first.
    public var noFlush: Bool
    /// LOEJ: load the medium, which is always loaded.
    public var loadEject: Bool

    public init(immediate: Bool = false, noFlush: Bool = false, loadEject: Bool = false) {
        self.immediate = immediate
        self.noFlush = noFlush
        self.loadEject = loadEject
    }

    /// POWER CONDITION must be START_VALID (zero) and START one, as the original has it.
    init(_ cdb: CDB) throws(Sense) {
        guard cdb[4] & 0xF0 == 0 else { throw .invalidFieldInCDB(byte: 4, bit: 7) }
        guard cdb[4] & 0x01 != 0 else { throw .invalidFieldInCDB(byte: 4, bit: 0) }
        self.init(immediate: cdb[1] & 0x01 != 0, noFlush: cdb[4] & 0x04 != 0, loadEject: cdb[4] & 0x02 != 0)
    }
}
