internal import CRBD
internal import Glibc
package import SystemPackage

/// Who holds an image's exclusive lock.
package struct LockOwner: Sendable, Equatable {
    /// As librbd names it, and wants it back for breaking: the client's address.
    package let name: String
    /// Number of the client (`client.4123`); nil once its watch on the image is gone, 30 s after the client died.
    package let client: UInt64?

    /// The owner that librbd calls `name`.
    package init(name: String, client: UInt64?) {
        self.name = name
        self.client = client
    }

    /// `name`, taken apart; nil where librbd wrote something unknown.
    package var address: ClientAddress? { ClientAddress(name) }
}

/// An image's exclusive lock, taken and given back by explicit calls only.
///
/// All calls block, for as long as OSDs and monitors take and at most for their time-outs. Once `acquire` was called,
/// librbd refuses what other clients ask it for on its own; who wants the lock breaks it.
package struct ImageLock: @unchecked Sendable {
    // SAFETY: librbd takes calls on one image from any thread. Whoever made this keeps the image open.
    private let image: rbd_image_t

    /// The lock of `image`, which must stay open.
    init(_ image: borrowing RBDImage) {
        self.image = image.handle
    }

    /// True if this very open image holds the lock. Asks nobody as long as librbd knows that it does not.
    ///
    /// - Returns: ESHUTDOWN where this client is blocklisted, ETIMEDOUT where no OSD answers.
    package func isOwner() -> Result<Bool, Errno> {
        var owner: CInt = 0
        return outcome(rbd_is_exclusive_lock_owner(image, &owner)).map { owner != 0 }
    }

    /// Who holds the lock; nil where nobody does.
    ///
    /// - Returns: EBUSY where the lock is of another kind (`rbd lock add`); ESHUTDOWN, ETIMEDOUT as above.
    package func owner() -> Result<LockOwner?, Errno> {
        var mode = RBD_LOCK_MODE_EXCLUSIVE
        var name: UnsafeMutablePointer<CChar>?
        // Bound: an exclusive lock has one owner.
        var count = 1
        let code = rbd_lock_get_owners(image, &mode, &name, &count)
        if code == -ENOENT { return .success(nil) }
        guard code >= 0 else { return .failure(radosErrno(code)) }
        guard count > 0, let name else { return .success(nil) }
        // librbd's own clean-up call takes the array, here the one element.
        var names: UnsafeMutablePointer<CChar>? = name
        defer { rbd_lock_get_owners_cleanup(&names, count) }
        guard mode == RBD_LOCK_MODE_EXCLUSIVE else { return .failure(.resourceBusy) }
        let text = String(cString: name)
        // Not to be read is not the same as not there: who is not there is fenced without being asked.
        return readWatchers().map { watchers in
            let address = ClientAddress(text)
            let found = watchers.first { $0.name == text || (address != nil && ClientAddress($0.name) == address) }
            return LockOwner(name: text, client: found?.client)
        }
    }

    /// Clients that have the image open for writing, this one included.
    private func readWatchers() -> Result<[(name: String, client: UInt64)], Errno> {
        // Bound: librbd says ERANGE and how many where more room is needed.
        var count = 16
        for _ in 0..<3 {
            let room = count
            var found: [(name: String, client: UInt64)] = []
            let code = withUnsafeTemporaryAllocation(of: rbd_image_watcher_t.self, capacity: room) { list in
                list.initialize(repeating: rbd_image_watcher_t())
                let code = rbd_watchers_list(image, list.baseAddress, &count)
                guard code >= 0 else { return code }
                for watcher in list.prefix(count) {
                    guard let name = watcher.addr, let client = UInt64(exactly: watcher.id) else { continue }
                    found.append((String(cString: name), client))
                }
                rbd_watchers_list_cleanup(list.baseAddress, count)
                return code
            }
            if code >= 0 { return .success(found) }
            if code != -ERANGE || count <= room || count > 4096 { return .failure(radosErrno(code)) }
        }
        return .failure(.resourceBusy)
    }

    /// Takes the lock; nothing happens where this image holds it already.
    ///
    /// - Returns: EROFS where another client holds it; ESHUTDOWN where this client is blocklisted; ETIMEDOUT where
    ///   no OSD answers; EINVAL for an image without the exclusive-lock feature.
    package func acquire() -> Result<Void, Errno> {
        let code = rbd_lock_acquire(image, RBD_LOCK_MODE_EXCLUSIVE)
        guard code >= 0 else { return .failure(radosErrno(code)) }
        // librbd takes its own word for holding the lock, also after it was broken; this question goes to the OSD.
        return isOwner().flatMap { $0 ? .success(()) : .failure(.readOnlyFileSystem) }
    }

    /// Gives the lock back, after writes under way have ended; later ones fail with EROFS. Success does not prove that it
    /// was still held: librbd may not know yet that it was broken.
    ///
    /// - Returns: EINVAL where this image does not hold it; ESHUTDOWN, ETIMEDOUT as above.
    package func release() -> Result<Void, Errno> {
        outcome(rbd_lock_release(image))
    }

    /// Takes the lock away from `owner`: blocklists its client and waits until that is known, then removes the lock.
    /// Nothing that the owner has sent takes effect afterwards.
    ///
    /// - Returns: ENOENT where nobody holds it any more; EBUSY where somebody else does; EPERM, EACCES without the
    ///   capability to blocklist; ESHUTDOWN, ETIMEDOUT as above.
    package func `break`(_ owner: LockOwner) -> Result<Void, Errno> {
        outcome(rbd_lock_break(image, RBD_LOCK_MODE_EXCLUSIVE, owner.name))
    }

    /// Notes in the image's metadata which target port group's gateway took the lock, as the original does.
    ///
    /// - Parameter owner: this client's name as owner.
    package func writeTag(_ tag: UInt16, owner: String) -> Result<Void, Errno> {
        outcome(rbd_metadata_set(image, ImageLock.tagKey, ImageLock.tagText(tag, owner: owner)))
    }

    /// The tag in the image's metadata; nil where there is none.
    package func readTag() -> String? {
        var length = 256
        return textBuffer(256) { buffer, _ in rbd_metadata_get(image, ImageLock.tagKey, buffer, &length) }
    }

    /// Key of the tag.
    package static let tagKey = "tcmu_rbd_locker_tag"

    /// The tag's text.
    package static func tagText(_ tag: UInt16, owner: String) -> String { "tcmu_tag=\(tag),rbd_client=\(owner)" }
}

/// Success, or a librados call's negative errno.
func outcome(_ code: CInt) -> Result<Void, Errno> {
    code >= 0 ? .success(()) : .failure(radosErrno(code))
}

/// The errno in a librados call's negative result.
func radosErrno(_ code: CInt) -> Errno {
    Errno(rawValue: code == CInt.min ? CInt.max : abs(code))
}
