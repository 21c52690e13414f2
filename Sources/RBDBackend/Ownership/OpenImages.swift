internal import BlockBackend
internal import Synchronization
internal import SystemPackage

/// Images that this process has open for writing, by client.
///
/// The cluster knows clients, not LUNs: the lock of an image that one client has open twice is neither's, nor can one half be
/// fenced from the other. So a client opens an image for one LUN; LUNs with connections of their own are two clients.
final class OpenImages: Sendable {
    static let shared = OpenImages()

    /// An image as one client has it: whatever it is called in a configuration, pool and id are the same.
    struct Key: Hashable, Sendable {
        /// The client's handle.
        let client: UInt
        let pool: Int64
        let namespace: String
        /// Object that has the lock.
        let header: String
    }

    private struct Entry {
        /// The LUN's keeper; it may have the image open twice while it replaces one session by the next.
        let owner: ObjectIdentifier
        var sessions: Int
    }

    private let entries = Mutex<[Key: Entry]>([:])

    /// Notes that `owner` has opened the image. Returns false where another one has.
    func enter(_ key: Key, _ owner: ObjectIdentifier) -> Bool {
        entries.withLock { entries in
            guard let entry = entries[key] else {
                entries[key] = Entry(owner: owner, sessions: 1)
                return true
            }
            guard entry.owner == owner else { return false }
            entries[key]?.sessions += 1
            return true
        }
    }

    /// Notes that a session that was entered is closed.
    func leave(_ key: Key) {
        entries.withLock { entries in
            let left = (entries[key]?.sessions ?? 1) - 1
            if left > 0 { entries[key]?.sessions = left } else { entries[key] = nil }
        }
    }
}
