/// SANITIZE (SBC-3 5.24).
public struct Sanitize: Sendable, Equatable, BitwiseCopyable {
    /// What is done to the medium.
    public var action: SanitizeAction
    /// IMMED: status comes once the command has been checked, and the operation goes on behind it.
    public var immediate: Bool
    /// AUSE: after a failure, EXIT FAILURE MODE may give the unit back without a successful sanitize.
    public var allowUnrestrictedExit: Bool
    /// PARAMETER LIST LENGTH, in bytes.
    public var parameterListLength: UInt16

    public init(
        action: SanitizeAction, immediate: Bool = false, allowUnrestrictedExit: Bool = false,
        parameterListLength: UInt16 = 0
    ) {
        self.action = action
        self.immediate = immediate
        self.allowUnrestrictedExit = allowUnrestrictedExit
        self.parameterListLength = parameterListLength
    }

    /// Unlike elsewhere reserved fields are looked at: nobody's data goes because of a garbled command. An unknown
    /// service action is INVALID FIELD IN CDB (SBC-3 5.24.1).
    init(_ cdb: CDB, serving commands: CommandSet) throws(Sense) {
        guard let action = SanitizeAction(rawValue: cdb.serviceAction), commands.serves(action) else {
            throw .invalidFieldInCDB(byte: 1, bit: 4)
        }
        guard cdb[1] & 0x40 == 0 else { throw .invalidFieldInCDB(byte: 1, bit: 6) }
        for index in 2...6 where cdb[index] != 0 { throw .invalidFieldInCDB(byte: UInt16(index)) }
        let length = cdb.u16(at: 7)
        guard action == .overwrite ? length > 4 : length == 0 else { throw .invalidFieldInCDB(byte: 7) }
        self.init(
            action: action, immediate: cdb[1] & 0x80 != 0, allowUnrestrictedExit: cdb[1] & 0x20 != 0,
            parameterListLength: length)
    }
}
