import CNetlink
import Glibc
import SystemPackage
public import TCMUNetlink

extension NetlinkPeer {
    /// The datagram of an event, built by libnl.
    public static func event(
        _ kind: NetlinkRequest.Kind, _ minor: UInt32, _ deviceID: UInt32, _ name: String, _ change: DeviceChange?,
        _ version: UInt8
    ) -> [UInt8] {
        guard let message = nlmsg_alloc() else { fatalError("out of memory") }
        defer { nlmsg_free(message) }
        genlmsg_put(message, 0, 0, Int32(family), 0, 0, kind.rawValue, version)
        var results = [
            nla_put_string(message, 1, name), nla_put_u32(message, 2, minor), nla_put_u32(message, 8, deviceID),
        ]
        switch change {
        case .configuration(let text): results.append(nla_put_string(message, 4, text))
        case .size(let bytes): results.append(nla_put_u64(message, 5, bytes))
        case .writeCache(let enabled): results.append(nla_put_u8(message, 6, enabled ? 1 : 0))
        case .unknown, nil: break
        }
        precondition(results.allSatisfy { $0 == 0 })
        return bytes(of: message)
    }

    static func bytes(of message: OpaquePointer) -> [UInt8] {
        guard let header = nlmsg_hdr(message) else { fatalError("a message without a header") }
        return Array(UnsafeRawBufferPointer(start: header, count: Int(header.pointee.nlmsg_len)))
    }

    static func userSocket(group: UInt32) throws(Errno) -> Int32 {
        let kind = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let socket = Glibc.socket(AF_NETLINK, kind, NETLINK_USERSOCK)
        var address = sockaddr_nl()
        address.nl_family = sa_family_t(AF_NETLINK)
        address.nl_groups = group
        guard socket >= 0, withAddress(&address, { bind(socket, $0, $1) }) == 0 else {
            throw Errno(rawValue: errno)
        }
        return socket
    }

    static func port(of socket: Int32) throws(Errno) -> UInt32 {
        var address = sockaddr_nl()
        var length = socklen_t(MemoryLayout<sockaddr_nl>.size)
        let result = withAddress(&address) { pointer, _ in
            getsockname(socket, UnsafeMutablePointer(mutating: pointer), &length)
        }
        guard result == 0 else { throw Errno(rawValue: errno) }
        return address.nl_pid
    }

    static func withAddress<Result>(
        _ address: inout sockaddr_nl, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        withUnsafeMutablePointer(to: &address) { pointer in
            // SAFETY: every socket address begins like sockaddr, and its true length goes with it.
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_nl>.size))
            }
        }
    }
}
