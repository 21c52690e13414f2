import CNetlink
import Glibc
public import SystemPackage
public import TCMUNetlink

/// Plays the kernel at the other end of a ``NetlinkSession``: multicasts events, acknowledges, takes answers.
///
/// Its messages are built and read by libnl, not by the code under test.
public final class NetlinkPeer {
    /// What carries the datagrams.
    public enum Transport: Sendable {
        /// A pair of local sockets: needs no rights.
        case local
        /// Real netlink (NETLINK_USERSOCK), which alone can overrun and has ports. Multicast needs root.
        case netlink
    }

    /// The number this peer plays to have given the family TCM-USER.
    public static let family: UInt16 = 0x2a

    /// The multicast group that stands for "config", one bit: another process that runs tests most likely has another.
    static let group = UInt32(1) << UInt32(getpid() % 31)

    /// The session's end; the session closes it.
    public let sessionSocket: FileDescriptor
    /// The netlink port the session is to trust: this peer's.
    public let port: UInt32
    let socket: Int32
    let transport: Transport

    /// Creates both ends.
    public init(_ transport: Transport = .local) throws(Errno) {
        self.transport = transport
        var ends: [Int32] = [-1, -1]
        switch transport {
        case .local:
            let kind = Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
            guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw Errno(rawValue: errno) }
            port = 0
        case .netlink:
            ends = [try NetlinkPeer.userSocket(group: 0), try NetlinkPeer.userSocket(group: NetlinkPeer.group)]
            port = try NetlinkPeer.port(of: ends[0])
            var address = sockaddr_nl()
            address.nl_family = sa_family_t(AF_NETLINK)
            address.nl_pid = port
            guard NetlinkPeer.withAddress(&address, { connect(ends[1], $0, $1) }) == 0 else {
                throw Errno(rawValue: errno)
            }
        }
        socket = ends[0]
        sessionSocket = FileDescriptor(rawValue: ends[1])
        var limit = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(socket) }

    /// A session on this peer's other end, its SET_FEATURES answered with `error` (0: taken).
    public func makeSession(error: Int32 = 0, receiveBuffer: Int = 65536) throws(NetlinkError) -> NetlinkSession {
        acknowledge(sequence: 1, error: error)
        return try NetlinkSession(
            adopting: sessionSocket, family: NetlinkPeer.family, receiveBuffer: receiveBuffer, trustedPort: port)
    }

    /// An event as the kernel sends it: DEVICE, MINOR and DEVICE_ID, then the change of a RECONFIG.
    public func send(
        _ kind: NetlinkRequest.Kind, minor: UInt32, deviceID: UInt32, name: String, change: DeviceChange? = nil,
        version: UInt8 = 2
    ) {
        send(NetlinkPeer.event(kind, minor, deviceID, name, change, version))
    }

    /// NLMSG_ERROR for what the session sent with that sequence number; `original` is what it sent.
    public func acknowledge(sequence: UInt32, error: Int32, original: [UInt8] = []) {
        guard let message = nlmsg_alloc_simple(Int32(NLMSG_ERROR), 0) else { fatalError("out of memory") }
        defer { nlmsg_free(message) }
        var body = nlmsgerr()
        body.error = error
        body.msg.nlmsg_seq = sequence
        // What was sent begins with its own header, which then stands where nlmsgerr has one.
        let length = original.isEmpty ? MemoryLayout<nlmsgerr>.size : 4
        precondition(nlmsg_append(message, &body, length, 0) == 0)
        precondition(
            original.withUnsafeBytes { bytes in
                bytes.isEmpty
                    ? 0
                    : nlmsg_append(message, UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count, 0)
            } == 0)
        send(NetlinkPeer.bytes(of: message))
    }

    /// Sends a datagram as it is.
    public func send(_ bytes: [UInt8]) {
        let sent: Int
        switch transport {
        case .local: sent = Glibc.send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        case .netlink:
            var address = sockaddr_nl()
            address.nl_family = sa_family_t(AF_NETLINK)
            address.nl_groups = NetlinkPeer.group
            sent = NetlinkPeer.withAddress(&address) { sendto(socket, bytes, bytes.count, 0, $0, $1) }
            // The multicast is out; only the copy for the kernel, which does not listen here, was refused.
            if sent < 0 && errno == ECONNREFUSED { return }
        }
        precondition(sent == bytes.count, "cannot send: \(Errno(rawValue: errno))")
    }

    /// The next message of the session, waiting up to 5 s; nil if none comes.
    public func nextMessage() -> SentMessage? {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = recv(socket, &bytes, bytes.count, 0)
        return count > 0 ? SentMessage(Array(bytes[..<count])) : nil
    }
}

/// A message of the session as libnl reads it.
public struct SentMessage: Sendable {
    /// The datagram.
    public let bytes: [UInt8]
    /// The header's type: the family.
    public let type: UInt16
    /// The header's flags.
    public let flags: UInt16
    /// The header's sequence number.
    public let sequence: UInt32
    /// TCMU_CMD_*
    public let command: UInt8
    /// The family's version.
    public let version: UInt8
    /// TCMU_ATTR_CMD_STATUS
    public let status: Int32?
    /// TCMU_ATTR_DEVICE_ID
    public let deviceID: UInt32?
    /// TCMU_ATTR_SUPP_KERN_CMD_REPLY
    public let answersRequests: UInt8?

    init?(_ bytes: [UInt8]) {
        self.bytes = bytes
        var copy = bytes
        var attributes = [UnsafeMutablePointer<nlattr>?](repeating: nil, count: 10)
        let parsed = copy.withUnsafeMutableBytes { raw -> (nlmsghdr, genlmsghdr, Int32?, UInt32?, UInt8?)? in
            guard let header = raw.baseAddress?.assumingMemoryBound(to: nlmsghdr.self),
                nlmsg_ok(header, Int32(raw.count)) != 0, genlmsg_valid_hdr(header, 0) != 0,
                genlmsg_parse(header, 0, &attributes, 9, nil) == 0, let generic = genlmsg_hdr(header)
            else { return nil }
            return (
                header.pointee, generic.pointee, attributes[7].map { nla_get_s32($0) },
                attributes[8].map { nla_get_u32($0) }, attributes[9].map { nla_get_u8($0) }
            )
        }
        guard let (header, generic, status, deviceID, answersRequests) = parsed else { return nil }
        (type, flags, sequence) = (header.nlmsg_type, header.nlmsg_flags, header.nlmsg_seq)
        (command, version) = (generic.cmd, generic.version)
        (self.status, self.deviceID, self.answersRequests) = (status, deviceID, answersRequests)
    }
}
