internal import BlockBackend
internal import CRBD
internal import Glibc

// What 16.2 does with an open image when it is demoted and promoted (`rbd mirror image demote`, `promote`):
//
//                                   | snapshot mode                | journal mode
//   rbd_update_watch                | calls at both                | never calls
//   rbd_get_features                | gains and loses NON_PRIMARY  | no change
//   rbd_mirror_image_get_info       | tells the role at once       | tells the role at once
//   write while demoted             | EROFS                        | EPERM; EROFS after an rbd_lock_acquire
//   read while demoted              | works                        | the same as a write
//   rbd_lock_acquire while demoted  | EINVAL on a new handle       | EPERM
//   rbd_open while demoted          | works                        | works; a read-only one also reads
//   after promotion                 | the same handle goes on; the lock has to be acquired again. One that was opened while
//                                   | demoted (snapshot mode) has no lock (EINVAL, writes EROFS) before rbd_get_size or
//                                   | another call that refreshes the header
//   demotion of an image whose lock a client acquired explicitly: refused with EROFS until the lock is released
//
// With a journal reads need the exclusive lock like writes, mirrored or not: without it they ask for it, and where the
// client has called rbd_lock_acquire before, or the owner has, they fail with EROFS.

extension RBDImage {
    /// What mirroring makes of the image now. Asks the cluster each time (two small reads); blocks, for the OSD time-out at
    /// most. An image that has been deleted meanwhile counts as `.none`.
    ///
    /// - Throws: librbd's errno; ETIMEDOUT without an answer.
    func mirrorRole() throws(BackendError) -> MirrorRole {
        try RBDImage.mirrorRole(handle)
    }

    /// As above, for a thread that the image's owner waits for and that has its handle only.
    static func mirrorRole(_ handle: rbd_image_t) throws(BackendError) -> MirrorRole {
        var info = rbd_mirror_image_info_t()
        let code = rbd_mirror_image_get_info(handle, &info, MemoryLayout<rbd_mirror_image_info_t>.size)
        switch code {
        case 0...:
            defer { rbd_mirror_image_get_info_cleanup(&info) }
            return MirrorRole(enabled: info.state != RBD_MIRROR_IMAGE_DISABLED, primary: info.primary)
        case -EOPNOTSUPP:
            // OSDs from before mirroring.
            return .none
        default:
            throw failure(code, "cannot read the image's mirroring state", expected: "an answer from its pool")
        }
    }

    /// How the image is mirrored; nil if that cannot be read. Means nothing for an image whose role is `.none`.
    func mirrorMode() -> MirrorMode? { RBDImage.mirrorMode(handle) }

    /// As above, for a thread that has the image's handle only.
    static func mirrorMode(_ handle: rbd_image_t) -> MirrorMode? {
        var mode = RBD_MIRROR_IMAGE_MODE_JOURNAL
        guard rbd_mirror_image_get_mode(handle, &mode) >= 0 else { return nil }
        switch mode {
        case RBD_MIRROR_IMAGE_MODE_JOURNAL: return .journal
        case RBD_MIRROR_IMAGE_MODE_SNAPSHOT: return .snapshot
        default: return nil
        }
    }

    /// Whether librbd wants the exclusive lock for reads, too; true if that cannot be read.
    func readsNeedLock() -> Bool { hasJournal() != false }
}
