/// What is kept of an EXTENDED COPY under its list identifier, for the RECEIVE COPY commands to tell.
public struct CopyStatus: Sendable, Equatable {
    /// How far a copy has come.
    public enum State: Sendable, Equatable, BitwiseCopyable {
        /// It goes on, and its command has no status yet.
        case inForeground
        /// It goes on behind the status of its command (IMMED).
        case inBackground
        /// All segments were copied.
        case done
        /// It ended early: the sense that its command had, or would have had without IMMED.
        case failed(Sense)
        /// It ended early, since a task management function or a reset took it away.
        case terminated
    }

    /// LIST IDENTIFIER.
    public var listIdentifier: UInt32
    /// The form of the command.
    public var form: ExtendedCopy.ListIdentifierLength
    /// How far it has come.
    public var state: State
    /// SEGMENTS PROCESSED: how many segments were copied whole.
    public var segments: UInt16
    /// TRANSFER COUNT: the bytes written so far.
    public var bytes: UInt64

    public init(
        listIdentifier: UInt32, form: ExtendedCopy.ListIdentifierLength, state: State = .inForeground,
        segments: UInt16 = 0, bytes: UInt64 = 0
    ) {
        self.listIdentifier = listIdentifier
        self.form = form
        self.state = state
        self.segments = segments
        self.bytes = bytes
    }

    /// Whether the copy goes on: its list identifier is taken, and a new command with it is refused.
    public var isInProgress: Bool {
        switch state {
        case .inForeground, .inBackground: true
        case .done, .failed, .terminated: false
        }
    }

    /// RECEIVE COPY STATUS(LID1) parameter data, 12 bytes (SPC-4).
    ///
    /// ```
    ///  0  AVAILABLE DATA (4), 00000008h     5  SEGMENTS PROCESSED (2)
    ///  4  HDD (7), COPY OPERATION STATUS    7  TRANSFER COUNT UNITS
    ///                                       8  TRANSFER COUNT (4)
    /// ```
    ///
    /// More bytes than 32 bits count are told in KiB, MiB and so on, rounded down.
    public var statusLID1: [UInt8] {
        var data = [UInt8].zeros(12)
        data.store(UInt32(8), at: 0)
        data[4] =
            switch state {
            case .inForeground, .inBackground: 0x00
            case .done: 0x01
            case .failed, .terminated: 0x02
            }
        data.store(segments, at: 5)
        var (count, unit) = (bytes, UInt8(0))
        while count > UInt64(UInt32.max) {
            (count, unit) = (count >> 10, unit + 1)
        }
        data[7] = unit
        data.store(UInt32(clamping: count), at: 8)
        return data
    }

    /// RECEIVE COPY STATUS(LID4) parameter data, 32 bytes and the sense data of a copy that failed (SPC-4).
    ///
    /// ```
    ///  0  AVAILABLE DATA (4)                13  LENGTH OF THE SENSE DATA FIELD
    ///  4  RESPONSE TO SERVICE ACTION (4:0)  14  SENSE DATA LENGTH
    ///  5  HDD (7), COPY OPERATION STATUS    15  TRANSFER COUNT UNITS, 00h: bytes
    ///  6  OPERATION COUNTER (2)             16  TRANSFER COUNT (8)
    ///  8  ESTIMATED STATUS UPDATE DELAY (4) 24  SEGMENTS PROCESSED (2)
    /// 12  EXTENDED COPY COMPLETION STATUS   32  SENSE DATA
    /// ```
    public var statusLID4: [UInt8] {
        let sense = senseData
        var data = [UInt8].zeros(32)
        data.store(UInt32(28 + sense.count), at: 0)
        data[4] = UInt8(truncatingIfNeeded: action.rawValue)
        data[5] =
            switch state {
            case .inForeground: 0x11
            case .inBackground: 0x12
            case .done: 0x01
            case .failed: 0x02
            case .terminated: 0x60
            }
        data.store(segments, at: 6)
        data.store(isInProgress ? Self.updateDelay : 0, at: 8)
        data[12] = completionStatus.rawValue
        data[13] = UInt8(clamping: sense.count)
        data[14] = UInt8(clamping: sense.count)
        data.store(bytes, at: 16)
        data.store(segments, at: 24)
        return data + sense
    }

    /// RECEIVE COPY FAILURE DETAILS(LID1) parameter data (SPC-4): 60 bytes and the sense data of a copy that
    /// failed; of any other, 4 bytes that say that there is nothing.
    ///
    /// ```
    ///  0  AVAILABLE DATA (4)                58  SENSE DATA LENGTH (2)
    /// 56  EXTENDED COPY COMMAND STATUS      60  SENSE DATA
    /// ```
    public var failureDetails: [UInt8] {
        let sense = senseData
        guard !sense.isEmpty else { return .zeros(4) }
        var data = [UInt8].zeros(60)
        data.store(UInt32(56 + sense.count), at: 0)
        data[56] = completionStatus.rawValue
        data.store(UInt16(clamping: sense.count), at: 58)
        return data + sense
    }

    /// ESTIMATED STATUS UPDATE DELAY, in milliseconds: how long to wait before asking again.
    private static let updateDelay: UInt32 = 1000

    private var action: ThirdPartyCopyOut { form == .one ? .extendedCopyLID1 : .extendedCopyLID4 }

    private var completionStatus: Status {
        switch state {
        case .inForeground, .inBackground, .done: .good
        case .failed: .checkCondition
        case .terminated: .taskAborted
        }
    }

    private var senseData: [UInt8] {
        guard case .failed(let sense) = state else { return [] }
        return sense.fixedBytes
    }
}
