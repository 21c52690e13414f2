/// What a gateway says to the one that owns an image's lock: I have a write for this image, please give it back.
package struct HandOverRequest: Sendable, Equatable {
    /// Name of the asking host, for the log of the other.
    package let host: String
    /// Number of the asking client.
    package let client: UInt64

    /// Of `host`, which is cut to what a message can carry.
    package init(host: String, client: UInt64) {
        self.host = HandOverCodec.hostText(Array(host.utf8))
        self.client = client
    }

    /// The message's bytes.
    package var bytes: [UInt8] { HandOverCodec.encode(kind: 1, value: client, host: host) }

    /// Nil for anything that is no request of a known version. Total on any input.
    package init?(_ bytes: some Collection<UInt8>) {
        guard let message = HandOverCodec.decode(bytes), message.kind == 1 else { return nil }
        client = message.value
        host = message.host
    }
}

/// A call to which everybody who has a mailbox answers at once, with nothing, from the call that brings it. To those who know no such
/// message it is one that they do not understand, and they do the same.
package enum HandOverCall {
    /// The message's bytes.
    package static let bytes = HandOverCodec.encode(kind: 2, value: 0, host: "")
}

/// What is answered to ``HandOverRequest``.
package struct HandOverReply: Sendable, Equatable {
    /// What has become of the lock.
    package enum Verdict: Sendable, Equatable {
        /// It has been given back, or was not held.
        case released
        /// It is kept for as many milliseconds more; ask again then.
        case hold(milliseconds: UInt32)
        /// It cannot be given back safely: break it.
        case fenceMe
    }

    /// The answer proper.
    package let verdict: Verdict
    /// Name of the answering host.
    package let host: String

    /// From `host`, which is cut to what a message can carry.
    package init(_ verdict: Verdict, host: String) {
        self.verdict = verdict
        self.host = HandOverCodec.hostText(Array(host.utf8))
    }

    /// The message's bytes.
    package var bytes: [UInt8] {
        switch verdict {
        case .released: HandOverCodec.encode(kind: 16, value: 0, host: host)
        case .hold(let milliseconds): HandOverCodec.encode(kind: 17, value: UInt64(milliseconds), host: host)
        case .fenceMe: HandOverCodec.encode(kind: 18, value: 0, host: host)
        }
    }

    /// Nil for anything that is no reply of a known version. Total on any input.
    package init?(_ bytes: some Collection<UInt8>) {
        guard let message = HandOverCodec.decode(bytes) else { return nil }
        switch message.kind {
        case 16: verdict = .released
        case 17: verdict = .hold(milliseconds: UInt32(clamping: message.value))
        case 18: verdict = .fenceMe
        default: return nil
        }
        host = message.host
    }
}

/// The form of all messages: `tcmH`, version (1 byte), kind (1), value (8, little-endian), length of the host's name (1),
/// its bytes. What follows is for later versions of the same number and is skipped.
package enum HandOverCodec {
    private static let magic = Array("tcmH".utf8)
    private static let version: UInt8 = 1
    private static let fixedBytes = 15
    /// Bound: Linux' host names have at most 64 bytes.
    package static let longestHost = 64
    /// Bound: longer messages are nobody's.
    package static let longestMessage = 512

    static func encode(kind: UInt8, value: UInt64, host: String) -> [UInt8] {
        let host = Array(host.utf8.prefix(longestHost))
        var bytes = magic + [version, kind]
        bytes += (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        return bytes + [UInt8(clamping: host.count)] + host
    }

    static func decode(_ input: some Collection<UInt8>) -> (kind: UInt8, value: UInt64, host: String)? {
        guard (fixedBytes...longestMessage).contains(input.count) else { return nil }
        let bytes = Array(input)
        guard Array(bytes[0..<4]) == magic, bytes[4] == version else { return nil }
        let value = bytes[6..<14].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let length = Int(bytes[14])
        guard length <= longestHost, fixedBytes + length <= bytes.count else { return nil }
        return (bytes[5], value, hostText(bytes[fixedBytes..<fixedBytes + length]))
    }

    /// A host's name for messages and the log: whoever may write to the pool may write anything here.
    static func hostText(_ bytes: some Collection<UInt8>) -> String {
        let safe = bytes.prefix(longestHost).map { (0x21...0x7E).contains($0) ? $0 : UInt8(ascii: "?") }
        return String(decoding: safe, as: UTF8.self)
    }
}
