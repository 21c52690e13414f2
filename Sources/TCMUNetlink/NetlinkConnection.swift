import CNetlink
import Glibc
import SystemPackage

/// A connected generic netlink socket, and the numbers the kernel has given the family and its group.
struct NetlinkConnection {
    let socket: FileDescriptor
    let family: UInt16
    let group: UInt32

    /// Lets libnl do what it knows best, addresses and the controller's family table, then takes the socket over: what
    /// is sent and received from here on is bytes we build and check ourselves.
    static func open(family name: String, group: String) throws(NetlinkError) -> NetlinkConnection {
        guard let handle = nl_socket_alloc() else {
            throw .setUp(step: "allocate a socket", message: "out of memory")
        }
        // The duplicate below keeps the connection and the group.
        defer { nl_socket_free(handle) }
        // The kernel sends events unasked: their sequence numbers answer nothing.
        nl_socket_disable_seq_check(handle)
        _ = try check(genl_connect(handle), "connect")
        let family = genl_ctrl_resolve(handle, name)
        if family == -NLE_OBJ_NOTFOUND { throw .familyMissing }
        _ = try check(family, "resolve the family \(name)")
        guard let number = UInt16(exactly: family) else {
            throw .setUp(step: "resolve the family \(name)", message: "number \(family)")
        }
        let joined = try check(genl_ctrl_resolve_grp(handle, name, group), "resolve the group \(group)")
        _ = try check(nl_socket_add_membership(handle, joined), "join the group")
        // Families that come and go, ours among them when target_core_user is taken out and loaded again. Without it the
        // session works until then.
        let notices = genl_ctrl_resolve_grp(handle, "nlctrl", "notify")
        if notices >= 0 { nl_socket_add_membership(handle, notices) }
        let socket = fcntl(nl_socket_get_fd(handle), F_DUPFD_CLOEXEC, 0)
        guard socket >= 0 else { throw .system(call: "duplicate the socket", Errno(rawValue: errno)) }
        return NetlinkConnection(
            socket: FileDescriptor(rawValue: socket), family: number, group: UInt32(clamping: joined))
    }

    /// libnl's results: negative is one of its own error numbers.
    private static func check(_ result: Int32, _ step: String) throws(NetlinkError) -> Int32 {
        guard result < 0 else { return result }
        throw .setUp(step: step, message: nl_geterror(result).map { String(cString: $0) } ?? "error \(-result)")
    }
}
