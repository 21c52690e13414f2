/// PREVENT ALLOW MEDIUM REMOVAL (SPC-4). The medium of this target cannot be removed, so either wish is granted.
public struct PreventAllowMediumRemoval: Sendable, Equatable, BitwiseCopyable {
    /// PREVENT: the medium shall not be removed.
    public var prevent: Bool

    public init(prevent: Bool) {
        self.prevent = prevent
    }

    /// 10b and 11b of PREVENT are obsolete.
    init(_ cdb: CDB) throws(Sense) {
        guard cdb[4] & 0x02 == 0 else { throw .invalidFieldInCDB(byte: 4, bit: 1) }
        self.init(prevent: cdb[4] & 0x01 != 0)
    }
}
