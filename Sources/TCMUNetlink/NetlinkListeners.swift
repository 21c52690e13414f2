internal import CLinux
internal import CNetlink
internal import Glibc
internal import KernelFiles
internal import SystemPackage

/// Who hears a multicast group of generic netlink, as /proc/net/netlink tells it for the own network namespace.
enum NetlinkListeners {
    /// Ports of the sockets in group number `group`, but for the one of descriptor `own`; empty if nobody can tell.
    static func ports(inGroup group: UInt32, besides own: CInt) -> [UInt32] {
        var address = sockaddr_nl()
        var length = socklen_t(MemoryLayout<sockaddr_nl>.size)
        let ownPort = withUnsafeMutableBytes(of: &address) { bytes -> UInt32? in
            guard let start = bytes.baseAddress else { return nil }
            // SAFETY: the address lives here and is as long as said.
            let code = getsockname(own, start.assumingMemoryBound(to: sockaddr.self), &length)
            return code == 0 ? bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self) : nil
        }
        guard let ownPort, let table = table() else { return [] }
        return ports(in: table, inGroup: group).filter { $0 != ownPort }
    }

    /// Ports of the generic netlink sockets of a table that are in a group.
    ///
    /// Bound: the file shows the first 32 groups alone. The controller's is the 16th, families get theirs in the order they are
    /// loaded; of a group beyond that nothing is said.
    static func ports(in table: String, inGroup group: UInt32) -> [UInt32] {
        guard (1...32).contains(group) else { return [] }
        return table.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ", omittingEmptySubsequences: true)
            // sk, protocol, port, groups …; NETLINK_GENERIC is 16.
            guard words.count > 4, words[1] == "16", let port = UInt32(words[2]),
                let groups = UInt32(words[3], radix: 16), groups >> (group - 1) & 1 == 1
            else { return nil }
            return port
        }
    }

    private static func table() -> String? {
        // Bound: 100 bytes a socket; a machine with more than some ten thousand of them is told to have no others.
        let bytes = try? SmallFile.prefix(of: "/proc/net/netlink", 1 << 20)
        return bytes.map { String(decoding: $0, as: UTF8.self) }
    }
}
