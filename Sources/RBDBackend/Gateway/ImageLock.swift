internal import CRBD
internal import Glibc
package import SystemPackage

/// Who holds an image's exclusive lock.
package struct LockOwner: Sendable, Equatable {
    /// The client's address, by which it is blocklisted, as the OSD noted it: `10.0.0.1:0/123456`.
    package let name: String
    /// Number of the client (`client.4123`); nil once its watch on the image is gone, 30 s after the client died.
    package let client: UInt64?
    /// The client as the lock has it: `client.4123`.
    package let entity: String
    /// Tells the lock from another one that the same client takes: librbd's name for its watch of the time.
    package let cookie: String

    /// The owner at the address `name`.
    package init(name: String, client: UInt64?, entity: String, cookie: String) {
        self.name = name
        self.client = client
        self.entity = entity
        self.cookie = cookie
    }

    /// `name`, taken apart; nil where the OSD wrote something unknown.
    package var address: ClientAddress? { ClientAddress(name) }

    /// It is the very lock that `other` stands for, not one that was taken since.
    package func holdsSameLock(as other: LockOwner) -> Bool {
        entity == other.entity && cookie == other.cookie && name == other.name
    }
}

/// An image's exclusive lock, taken and given back by explicit calls only.
///
/// All calls block, for as long as OSDs and monitors take and at most for their time-outs. Once `acquire` was called,
/// librbd refuses what other clients ask it for on its own; who wants the lock breaks it.
///
/// Taking it is librbd's: it has to know that it may write. Looking at it and removing it goes to the OSD without librbd, whose
/// own breaking heeds settings that it read when the image was opened (`rbd_blocklist_on_break_lock`,
/// `rbd_blocklist_expire_seconds`), and whose word on who holds it may be wrong after a time-out.
package struct ImageLock: @unchecked Sendable {
    // SAFETY: librbd takes calls on one image from any thread. Whoever made this keeps the image open.
    private let image: rbd_image_t
    let context: rados_ioctx_t
    /// Object that has the lock; nil for an image of the old format, which has none.
    let header: String?
    /// This client, as the lock has it.
    private let own: String

    /// What librbd calls its lock, and how it marks locks of its own (cls_rbd and librbd's ManagedLock; the same since Hammer).
    private static let lockName = "rbd_lock"
    private static let tag = "internal"
    private static let cookiePrefix = "auto "

    /// The lock of `image`, which must stay open.
    init(_ image: borrowing RBDImage) {
        self.image = image.handle
        context = image.context.handle
        header = image.identifier.map { "rbd_header." + $0 }
        own = "client.\(image.context.cluster.instanceID)"
    }

    /// True if this very open image holds the lock. Asks nobody as long as librbd knows that it does not.
    ///
    /// - Returns: ESHUTDOWN where this client is blocklisted, ETIMEDOUT where no OSD answers.
    package func isOwner() -> Result<Bool, Errno> {
        var owner: CInt = 0
        return outcome(rbd_is_exclusive_lock_owner(image, &owner)).map { owner != 0 }
    }

    /// `owner` is this client, by this image or by one that it had open before.
    package func isOwn(_ owner: LockOwner) -> Bool { owner.entity == own }

    /// Who holds the lock; nil where nobody does.
    ///
    /// - Returns: EBUSY where the lock is of another kind (`rbd lock add`); ESHUTDOWN, ETIMEDOUT as above.
    package func owner() -> Result<LockOwner?, Errno> {
        holder().flatMap { holder in
            guard let holder else { return .success(nil) }
            // Not to be read is not the same as not there: who is not there is fenced without being asked.
            return readWatchers().map { watchers in
                let found = watchers.first { "client.\($0.client)" == holder.entity }
                return LockOwner(
                    name: holder.name, client: found?.client, entity: holder.entity, cookie: holder.cookie)
            }
        }
    }

    /// What the OSD has noted, without a look at who is there.
    private func holder() -> Result<LockOwner?, Errno> {
        guard let header else { return .success(nil) }
        // Bound: an exclusive lock has one owner, whose names are short. More than that is no lock of librbd's.
        let room = 1024
        let fields = (0..<4).map { _ in
            UnsafeMutableBufferPointer<CChar>.allocate(capacity: room)
        }
        defer { for field in fields { field.deallocate() } }
        for field in fields { field.initialize(repeating: 0) }
        var lengths = [room, room, room, room]
        var isExclusive: CInt = 0
        let count = lengths.withUnsafeMutableBufferPointer { lengths -> Int in
            guard let length = lengths.baseAddress else { return -Int(ENOMEM) }
            return rados_list_lockers(
                context, header, ImageLock.lockName, &isExclusive, fields[0].baseAddress, length,
                fields[1].baseAddress, length + 1, fields[2].baseAddress, length + 2, fields[3].baseAddress,
                length + 3)
        }
        switch count {
        case 0, -Int(ENOENT): return .success(nil)
        case -Int(ERANGE): return .failure(.resourceBusy)
        case ..<0: return .failure(radosErrno(CInt(clamping: count)))
        default: break
        }
        let texts = fields.map {
            String(decoding: $0.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
        guard isExclusive != 0, texts[0] == ImageLock.tag, texts[2].hasPrefix(ImageLock.cookiePrefix) else {
            return .failure(.resourceBusy)
        }
        return .success(LockOwner(name: texts[3], client: nil, entity: texts[1], cookie: texts[2]))
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
    /// - Returns: EROFS where another client holds it; EEXIST or EINVAL where this one does without librbd's knowing; ESHUTDOWN
    ///   where this client is blocklisted; ETIMEDOUT where no OSD answers, and then nobody knows whether it took place; EINVAL
    ///   for an image without the exclusive-lock feature.
    package func acquire() -> Result<Void, Errno> {
        let code = rbd_lock_acquire(image, RBD_LOCK_MODE_EXCLUSIVE)
        guard code >= 0 else { return .failure(radosErrno(code)) }
        // librbd takes its own word for holding the lock, also after it was broken; this question goes to the OSD.
        return isOwner().flatMap { $0 ? .success(()) : .failure(.readOnlyFileSystem) }
    }

    /// Gives the lock back, after writes under way have ended; later ones fail with EROFS. Afterwards neither librbd nor the
    /// OSD thinks that this client holds it, whatever either of them thought before: a lock of which librbd does not know, as
    /// its taking timed out and took place, is removed at the OSD. No write of this client may be on its way.
    ///
    /// - Returns: success also where it was not held; ESHUTDOWN, ETIMEDOUT as above.
    package func release() -> Result<Void, Errno> { releaseIfHeld().map { _ in } }

    /// As ``release()``.
    ///
    /// - Returns: whether librbd had the lock. Only then has it written what its cache held.
    package func releaseIfHeld() -> Result<Bool, Errno> {
        let code = rbd_lock_release(image)
        // EINVAL: librbd has not got it.
        if code < 0, code != -EINVAL { return .failure(radosErrno(code)) }
        let wasHeld = code >= 0
        switch holder() {
        case .failure(.resourceBusy): return .success(wasHeld)
        case .failure(let errno): return .failure(errno)
        case .success(let holder):
            guard let holder, isOwn(holder) else { return .success(wasHeld) }
            switch remove(holder) {
            case .failure(let errno) where errno != .noSuchFileOrDirectory: return .failure(errno)
            default: return .success(wasHeld)
            }
        }
    }

    /// Removes the very lock that `owner` has, and fences nobody: its client must have been blocklisted before, and the map with
    /// that have been waited for (``ImageSession/bar(_:)``).
    ///
    /// - Returns: ENOENT where that lock is not there any more; ESHUTDOWN, ETIMEDOUT as above.
    package func remove(_ owner: LockOwner) -> Result<Void, Errno> {
        guard let header else { return .failure(.noSuchFileOrDirectory) }
        return outcome(rados_break_lock(context, header, ImageLock.lockName, owner.entity, owner.cookie))
    }

    /// Notes in the image's metadata which target port group's gateway took the lock, as the original does.
    ///
    /// - Parameter owner: this client's name as owner.
    package func writeTag(_ tag: UInt16, owner: String) -> Result<Void, Errno> {
        outcome(rbd_metadata_set(image, ImageLock.tagKey, ImageLock.tagText(tag, owner: owner)))
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
