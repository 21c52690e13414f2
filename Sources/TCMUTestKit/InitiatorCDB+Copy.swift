extension InitiatorCDB {
    /// EXTENDED COPY (83h) for a parameter list of `length` bytes; see ``CopyListBuilder``.
    public static func extendedCopy(_ form: CopyListBuilder.Form, parameterListLength length: UInt32) -> [UInt8] {
        [0x83, form.rawValue] + [UInt8](repeating: 0, count: 8) + bigEndian(length) + [0, 0]
    }

    /// RECEIVE COPY OPERATING PARAMETERS (84h/03h).
    public static func receiveCopyOperatingParameters(length: UInt32 = 1024) -> [UInt8] {
        receiveCopy(0x03, [0, 0, 0, 0], length)
    }

    /// RECEIVE COPY STATUS(LID1) (84h/00h).
    public static func receiveCopyStatusLID1(_ listIdentifier: UInt8, length: UInt32 = 1024) -> [UInt8] {
        receiveCopy(0x00, [listIdentifier, 0, 0, 0], length)
    }

    /// RECEIVE COPY FAILURE DETAILS(LID1) (84h/04h).
    public static func receiveCopyFailureDetails(_ listIdentifier: UInt8, length: UInt32 = 1024) -> [UInt8] {
        receiveCopy(0x04, [listIdentifier, 0, 0, 0], length)
    }

    /// RECEIVE COPY STATUS(LID4) (84h/05h).
    public static func receiveCopyStatusLID4(_ listIdentifier: UInt32, length: UInt32 = 1024) -> [UInt8] {
        receiveCopy(0x05, bigEndian(listIdentifier), length)
    }

    private static func receiveCopy(_ action: UInt8, _ identifier: [UInt8], _ length: UInt32) -> [UInt8] {
        [0x84, action] + identifier + [0, 0, 0, 0] + bigEndian(length) + [0, 0]
    }
}
