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
}

/// How an image gets to the other cluster.
public enum MirrorMode: Sendable, Equatable {
    /// Each write goes to the image's journal first, which is replayed there.
    case journal
    /// The differences between two snapshots are copied.
    case snapshot
}
