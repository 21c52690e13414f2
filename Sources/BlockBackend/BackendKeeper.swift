/// What looks after a backend off the loop, as long as its unit is attached: an exclusive lock that comes and goes, a
/// connection that is lost and made anew, an image that grows.
///
/// A keeper owns what blocks. What the loop uses of the backend it changes on the loop alone
/// (``KeeperSurroundings/onLoop``), so that the data path needs neither lock nor atomic.
public protocol BackendKeeper: AnyObject, Sendable {
    /// The unit is attached: from here on work can be run on its loop. Once, off the loop.
    func start(_ surroundings: KeeperSurroundings)

    /// Makes the backend as large as the kernel's device is to be. Blocking, off the loop; when it returns,
    /// `BlockBackend.size` has the new value on the loop.
    ///
    /// - Parameter bytes: the size that initiators are to see.
    /// - Throws: EINVAL for less than is exported now, and for more than there is.
    func resize(to bytes: UInt64) throws(BackendError)

    /// Initiators set access states of the unit's port groups, and the one with this number is served here; nil where
    /// they do not. At any time, from any thread; returns at once.
    func serves(portGroup: UInt16?)

    /// The unit leaves its loop. Blocks until nothing of the keeper runs any longer; afterwards nothing is run on
    /// the loop, and nothing told but remarks while the backend is being closed.
    func stop()
}

/// What a keeper may do to its surroundings.
public struct KeeperSurroundings: Sendable {
    /// Runs work on the unit's loop thread, in order, some time soon.
    public let onLoop: @Sendable (@escaping @Sendable () -> Void) -> Void
    /// Tells the control plane; from any thread, returns at once.
    public let tell: @Sendable (BackendNotice) -> Void

    public init(
        onLoop: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void,
        tell: @escaping @Sendable (BackendNotice) -> Void
    ) {
        self.onLoop = onLoop
        self.tell = tell
    }
}

/// What a keeper has to say.
public enum BackendNotice: Sendable, Equatable {
    /// Whether the medium can be used; told when it changes.
    case availability(BackendAvailability)
    /// A line for the log.
    case remark(RemarkLevel, String)
    /// The storage has so many bytes, and the unit exports another number; told when it changes.
    case sizeDiffers(bytes: UInt64)

    /// How much a line matters.
    public enum RemarkLevel: Sendable {
        /// Only for who asks.
        case info
        /// Worth knowing; all is well.
        case notice
        /// Somebody should look at it.
        case warning
        /// Initiators notice it.
        case error
    }
}

/// Whether the medium behind a backend can be used.
public enum BackendAvailability: Sendable, Equatable {
    /// It can.
    case ready
    /// It cannot be reached, for the positive errno given, and the keeper is at it.
    case recovering(errno: Int32)
    /// It is a copy, and the one that may be used is elsewhere.
    case standby
    /// It does not exist any longer, says the positive errno given.
    case gone(errno: Int32)
}

/// The line for an image that has more `bytes` than the unit exports: at start, and when it grows behind the unit's back.
public func moreThanExported(bytes: UInt64, exported: UInt64) -> String {
    """
    the image has \(bytes) bytes, and \(exported) are exported. Initiators go on with what they know; to let them have the rest, \
    resize the disk at the gateway too (attribute dev_size)
    """
}
