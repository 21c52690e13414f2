internal import Glibc

/// What mirroring to another cluster makes of an image here.
public enum MirrorRole: Sendable, Equatable {
    /// Mirroring is not enabled for the image: it is this cluster's alone.
    case none
    /// The image is written here and copied elsewhere.
    case primary
    /// The image is a copy of one that is written elsewhere, or has been demoted: writing it fails until it is promoted.
    case nonPrimary

    /// Whether initiators may write the image as far as mirroring is concerned.
    public var allowsWriting: Bool { self != .nonPrimary }

    /// The role that librbd's two answers make.
    ///
    /// - Parameters:
    ///   - enabled: mirroring is enabled, or being switched off, in which the image keeps its role to the end.
    ///   - primary: as `rbd_mirror_image_get_info` has it; means nothing for an image that is not mirrored.
    package init(enabled: Bool, primary: Bool) {
        self = !enabled ? .none : primary ? .primary : .nonPrimary
    }

    /// Whether an operation that ended with `code` (negative errno) may have met a demotion, so that the role is to be
    /// asked for: EROFS, also the answer when another client keeps the lock; EPERM, also cephx's.
    package static func isSuspect(_ code: Int32) -> Bool { code == -EROFS || code == -EPERM }

    /// Milliseconds after which to ask for the role again though nothing has happened; nil is never.
    ///
    /// With snapshots librbd's update watch tells of promotion and demotion, and the question only makes up for a watch
    /// that was lost. With a journal nothing tells; a primary image's own operations fail after a demotion, but where
    /// none come, TEST UNIT READY must find out, and a copy has nothing but the question.
    package func patience(_ mode: MirrorMode?) -> Int64? {
        switch (self, mode) {
        case (.nonPrimary, .snapshot): 10_000
        case (.nonPrimary, _): 2000
        case (.primary, .journal): 10_000
        case (.primary, _), (.none, _): nil
        }
    }
}

/// How an image gets to the other cluster.
public enum MirrorMode: Sendable, Equatable {
    /// Each write goes to the image's journal first, which is replayed there.
    case journal
    /// The differences between two snapshots are copied.
    case snapshot
}
