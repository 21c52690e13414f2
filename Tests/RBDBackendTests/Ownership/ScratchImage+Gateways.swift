import BlockBackend
import RBDBackend
import Testing

extension ScratchImage {
    /// A gateway of this image.
    func gateway(_ change: (inout RBDOptions) -> Void = { _ in }) throws -> Gateway {
        var options = options
        change(&options)
        return try Gateway(options, bytes: bytes)
    }

    /// Addresses of the clients that watch the image.
    func watchers() throws -> [String] {
        try tool("rbd status \(spec)").split(separator: "\n").compactMap { line in
            line.split(separator: "watcher=").dropFirst().first.map { String($0.prefix { $0 != " " }) }
        }
    }

    /// Whether somebody has the exclusive lock.
    func isLocked() throws -> Bool { try tool("rbd lock ls \(spec)").contains("auto") }
}

/// A block of one byte's value.
func block(_ byte: UInt8) -> [UInt8] { [UInt8](repeating: byte, count: 512) }

/// Whether the cluster serves the client at `address` no longer.
func isBlocklisted(_ address: String) throws -> Bool { try tool("ceph osd blocklist ls").contains(address) }

/// Clients' blocklist entries that are gone with their owner.
struct BlocklistEntry: ~Copyable {
    let address: String

    init(_ address: String) throws {
        self.address = address
        try tool("ceph osd blocklist add \(address)")
    }

    deinit {
        _ = try? tool("ceph osd blocklist rm \(address)")
    }
}
