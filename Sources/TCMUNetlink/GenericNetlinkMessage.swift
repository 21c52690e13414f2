// Generic netlink on the wire (linux/netlink.h, linux/genetlink.h), everything in the machine's own byte order:
//
//   16 bytes  header: u32 length with header, u16 type (the family), u16 flags, u32 sequence, u32 port
//    4 bytes  generic header: u8 command, u8 version, u16 reserved
//    …        attributes, each: u16 length with these 4 bytes, u16 type, value, zeroes up to a multiple of 4

/// Flags of a netlink header that we send or look at (linux/netlink.h).
enum NetlinkFlag {
    /// NLM_F_REQUEST
    static let request: UInt16 = 0x1
    /// NLM_F_ACK
    static let acknowledge: UInt16 = 0x4
}

/// Types of netlink messages that belong to no family.
enum NetlinkControl {
    /// NLMSG_NOOP
    static let nothing: UInt16 = 1
    /// NLMSG_ERROR: an acknowledgement if its error is 0.
    static let error: UInt16 = 2
    /// GENL_ID_CTRL: the family of families.
    static let controller: UInt16 = 16
}

/// One netlink message, cut out of a datagram.
struct NetlinkMessage: Equatable {
    static let headerLength = 16

    var type: UInt16
    var flags: UInt16 = 0
    var sequence: UInt32 = 0
    /// All after the header.
    var payload: [UInt8]

    /// The message in bytes. The port is left 0: the kernel knows its sender.
    func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.headerLength + payload.count)
        bytes.append(native: UInt32(truncatingIfNeeded: Self.headerLength + payload.count))
        bytes.append(native: type)
        bytes.append(native: flags)
        bytes.append(native: sequence)
        bytes.append(native: UInt32(0))
        return bytes + payload
    }

    /// The messages of a datagram, and whether the rest of it makes no sense.
    static func split(_ datagram: ArraySlice<UInt8>) -> (messages: [NetlinkMessage], hasGarbage: Bool) {
        var messages: [NetlinkMessage] = []
        var rest = datagram
        while !rest.isEmpty {
            guard let length = rest.native(UInt32.self, at: 0).map(Int.init), length >= headerLength,
                length <= rest.count, let type = rest.native(UInt16.self, at: 4),
                let flags = rest.native(UInt16.self, at: 6), let sequence = rest.native(UInt32.self, at: 8)
            else { return (messages, true) }
            messages.append(
                NetlinkMessage(
                    type: type, flags: flags, sequence: sequence,
                    payload: Array(rest.dropFirst(headerLength).prefix(length - headerLength))))
            rest = rest.dropFirst(aligned(length))
        }
        return (messages, false)
    }
}

/// What a message of a generic netlink family carries.
struct GenericNetlinkPayload: Equatable {
    var command: UInt8
    var version: UInt8
    var attributes: [NetlinkAttribute]

    /// In bytes.
    func encoded() -> [UInt8] {
        attributes.reduce(into: [command, version, 0, 0]) { $1.append(to: &$0) }
    }

    /// Parses a payload; nil if it is shorter than its own header.
    ///
    /// Attributes whose length makes no sense end the list, so that those before them are still there for an answer;
    /// `isComplete` says whether that happened.
    static func parse(_ bytes: ArraySlice<UInt8>) -> (payload: GenericNetlinkPayload, isComplete: Bool)? {
        guard let command = bytes.native(UInt8.self, at: 0), let version = bytes.native(UInt8.self, at: 1),
            bytes.count >= 4
        else { return nil }
        var payload = GenericNetlinkPayload(command: command, version: version, attributes: [])
        var rest = bytes.dropFirst(4)
        while !rest.isEmpty {
            guard let length = rest.native(UInt16.self, at: 0).map(Int.init), length >= 4, length <= rest.count,
                let type = rest.native(UInt16.self, at: 2)
            else { return (payload, false) }
            payload.attributes.append(
                NetlinkAttribute(type: type & 0x3fff, value: Array(rest.dropFirst(4).prefix(length - 4))))
            rest = rest.dropFirst(aligned(length))
        }
        return (payload, true)
    }
}

/// One attribute. The two highest bits of a type are flags (nested, byte order) that TCMU does not use.
struct NetlinkAttribute: Equatable {
    var type: UInt16
    var value: [UInt8]

    init(type: UInt16, value: [UInt8]) {
        self.type = type
        self.value = value
    }

    /// A number in the machine's byte order.
    init<Number: FixedWidthInteger>(type: UInt16, _ number: Number) {
        self.type = type
        value = []
        value.append(native: number)
    }

    func append(to bytes: inout [UInt8]) {
        bytes.append(native: UInt16(truncatingIfNeeded: 4 + value.count))
        bytes.append(native: type)
        bytes += value
        bytes += repeatElement(0, count: aligned(value.count) - value.count)
    }

    /// The value as a number; nil unless it is exactly as long.
    func number<Number: FixedWidthInteger>(_: Number.Type = Number.self) -> Number? {
        value.count == MemoryLayout<Number>.size ? value[...].native(Number.self, at: 0) : nil
    }

    /// The value as text up to its NUL.
    var text: String { String(decoding: value.prefix { $0 != 0 }, as: UTF8.self) }
}

/// Rounded up to the 4 bytes that netlink aligns everything to.
func aligned(_ length: Int) -> Int { (length + 3) & ~3 }

extension ArraySlice<UInt8> {
    /// The number `offset` bytes into the slice, or nil beyond its end.
    func native<Number: FixedWidthInteger>(_: Number.Type, at offset: Int) -> Number? {
        guard offset >= 0, offset + MemoryLayout<Number>.size <= count else { return nil }
        // SAFETY: the guard above; loadUnaligned asks for no alignment.
        return withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: Number.self) }
    }
}

extension [UInt8] {
    mutating func append<Number: FixedWidthInteger>(native number: Number) {
        Swift.withUnsafeBytes(of: number) { append(contentsOf: $0) }
    }
}
