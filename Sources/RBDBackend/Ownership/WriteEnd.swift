/// What is known of the parts of a write that has ended with an error.
///
/// A write over several objects is as many operations. librbd answers it when all of them have ended, with the first error that one of
/// them had (`AioCompletion`, Ceph 16 to 19).
package enum WriteEnd: Equatable, Sendable {
    /// librbd has sent nothing, since it has no lock: EROFS.
    case notSent
    /// The OSDs refuse whatever was sent: ESHUTDOWN, of a client that is blocklisted.
    case barred
    /// An OSD has refused a part: no room, no leave, or not such a request. No later part can land either, unless one of them
    /// has timed out: see ``WriteGauge``.
    case refused
    /// A part may be carried out yet: ETIMEDOUT, and whatever else does not tell.
    case open

    /// - Parameter code: a positive errno.
    package init(_ code: Int32) {
        self =
            switch code {
            case OwnershipCode.readOnly: .notSent
            case OwnershipCode.shutDown: .barred
            case OwnershipCode.noSpace, OwnershipCode.overQuota, OwnershipCode.notPermitted, OwnershipCode.noAccess,
                OwnershipCode.invalid, OwnershipCode.tooLarge, OwnershipCode.notSupported:
                .refused
            default: .open
            }
    }
}
