/// SET TARGET PORT GROUPS (SPC-4 6.45).
public struct SetTargetPortGroups: Sendable, Equatable, BitwiseCopyable {
    /// PARAMETER LIST LENGTH, in bytes; zero is GOOD and changes nothing.
    public var parameterListLength: UInt32

    public init(parameterListLength: UInt32) {
        self.parameterListLength = parameterListLength
    }

    init(_ cdb: CDB) {
        self.init(parameterListLength: cdb.u32(at: 6))
    }
}

/// The parameter list of SET TARGET PORT GROUPS (SPC-4 6.45): what is asked for, group by group, in order.
///
/// ```
///  0  reserved (4)     4 + 4n  ASYMMETRIC ACCESS STATE, bits 3...0
///                         + 1  reserved
///                         + 2  TARGET PORT GROUP OR TARGET PORT (2)
/// ```
public struct TargetPortGroupRequests: Sendable, Equatable {
    /// One descriptor.
    public struct Request: Sendable, Equatable, BitwiseCopyable {
        /// ASYMMETRIC ACCESS STATE asked for, four bits.
        public var state: UInt8
        /// TARGET PORT GROUP OR TARGET PORT: a group's id, but for the offline state, which is a port's.
        public var group: UInt16
        /// The byte of the parameter list at which the descriptor starts, for a field pointer.
        public var offset: UInt16

        public init(state: UInt8, group: UInt16, offset: UInt16) {
            self.state = state
            self.group = group
            self.offset = offset
        }
    }

    /// What is asked for; empty where the length is zero or no more than the header's.
    public let requests: [Request]

    // Bound: a list names each group once at the most, and this is more than any target has.
    static let maximumRequests = 256
    private static let headerLength = 4
    private static let requestLength = 4

    /// The longest list that is taken, in bytes.
    public static let maximumLength = headerLength + maximumRequests * requestLength

    /// Reads the list from the data-out bytes that were delivered.
    ///
    /// - Throws: PARAMETER LIST LENGTH ERROR where the length cuts the header or a descriptor, where fewer bytes were
    ///   delivered than it says, or where it is longer than ``maximumLength``.
    public init(_ delivered: UnsafeRawBufferPointer, for command: SetTargetPortGroups) throws(Sense) {
        let length = Int(clamping: command.parameterListLength)
        guard length > 0 else {
            requests = []
            return
        }
        guard length >= Self.headerLength, length <= Self.maximumLength, delivered.count >= length,
            (length - Self.headerLength).isMultiple(of: Self.requestLength)
        else { throw .parameterListLengthError }
        var requests: [Request] = []
        for offset in stride(from: Self.headerLength, to: length, by: Self.requestLength) {
            guard let group = delivered.bigEndian(UInt16.self, at: offset + 2) else {
                throw .parameterListLengthError
            }
            requests.append(
                Request(state: delivered[offset] & 0x0F, group: group, offset: UInt16(truncatingIfNeeded: offset)))
        }
        self.requests = requests
    }
}
