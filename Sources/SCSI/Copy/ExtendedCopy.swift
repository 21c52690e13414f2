/// EXTENDED COPY(LID1) and EXTENDED COPY(LID4) (SPC-4 6.4 and 6.5).
public struct ExtendedCopy: Sendable, Equatable, BitwiseCopyable {
    /// Which of the two parameter list formats follows.
    public enum ListIdentifierLength: Sendable, BitwiseCopyable {
        /// LID1: LIST IDENTIFIER has one byte.
        case one
        /// LID4: LIST IDENTIFIER has four bytes.
        case four
    }

    /// Which form this is.
    public var form: ListIdentifierLength
    /// PARAMETER LIST LENGTH, in bytes; zero copies nothing and is GOOD.
    public var parameterListLength: UInt32

    public init(form: ListIdentifierLength, parameterListLength: UInt32) {
        self.form = form
        self.parameterListLength = parameterListLength
    }

    init(_ cdb: CDB, _ form: ListIdentifierLength) {
        self.init(form: form, parameterListLength: cdb.u32(at: 10))
    }
}

/// RECEIVE COPY RESULTS: the IN side of third-party copies (SPC-4).
public struct ReceiveCopyResults: Sendable, Equatable, BitwiseCopyable {
    /// What is asked for.
    public var action: ThirdPartyCopyIn
    /// LIST IDENTIFIER of the copy asked about; zero for ``ThirdPartyCopyIn/operatingParameters``.
    public var listIdentifier: UInt32
    /// ALLOCATION LENGTH, in bytes.
    public var allocationLength: UInt32

    public init(action: ThirdPartyCopyIn, listIdentifier: UInt32 = 0, allocationLength: UInt32) {
        self.action = action
        self.listIdentifier = listIdentifier
        self.allocationLength = allocationLength
    }

    init(_ cdb: CDB, _ action: ThirdPartyCopyIn) {
        let listIdentifier: UInt32 =
            switch action {
            case .copyStatusLID1, .failureDetailsLID1: UInt32(cdb[2])
            case .copyStatusLID4: cdb.u32(at: 2)
            case .operatingParameters: 0
            }
        self.init(action: action, listIdentifier: listIdentifier, allocationLength: cdb.u32(at: 10))
    }
}
