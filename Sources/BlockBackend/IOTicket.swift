public import Reactor

/// The right and the duty to answer one pending operation.
///
/// A pointer to the command's node, so that it fits a C callback's argument or a completion's user data.
public struct IOTicket: @unchecked Sendable {
    // SAFETY: the node belongs to the command until the ticket is posted; the unit keeps its slab until every
    // ticket is back. Only the holder of the ticket writes to it.
    @usableFromInline
    let node: UnsafeMutablePointer<CompletionNode>

    /// The ticket of the command whose node this is.
    @inlinable
    public init(_ node: UnsafeMutablePointer<CompletionNode>) {
        self.node = node
    }

    /// The ticket as an opaque pointer, for a C library to carry.
    @inlinable
    public var opaque: UnsafeMutableRawPointer { UnsafeMutableRawPointer(node) }

    /// The ticket that ``opaque`` gave out.
    @inlinable
    public init(opaque: UnsafeMutableRawPointer) {
        node = opaque.assumingMemoryBound(to: CompletionNode.self)
    }

    /// Where a C library may write a 64-bit second result (the miscompare offset) before the ticket is posted.
    /// Valid until then.
    public var detailAddress: UnsafeMutablePointer<UInt64> {
        // SAFETY: a stored property of a slab element, which has one address for its whole life.
        withUnsafeMutablePointer(to: &node.pointee.detail) { $0 }
    }

    /// Answers the operation as ``post(_:)`` does, without waking the owner: another ticket of the same unit is posted
    /// soon after, by the same thread.
    @inlinable
    public func leave(_ result: IOResult) {
        node.pointee.result = result.code
        node.pointee.detail = result.detail
        node.pointee.inbox.leave(node)
    }

    /// Answers the operation. Exactly once, from any thread.
    @inlinable
    public func post(_ result: IOResult) {
        node.pointee.result = result.code
        node.pointee.detail = result.detail
        node.pointee.inbox.push(node)
    }
}

/// How an operation ended: success, or an errno, or a miscompare with its place.
public struct IOResult: Sendable, Equatable {
    /// 0, or a negative errno.
    public let code: Int32
    /// Byte offset of the first difference from the start of the extent, for a miscompare; else 0.
    public let detail: UInt64

    /// A result from a C library's return code: negative is an errno, anything else is success.
    @inlinable
    public init(code: Int32, detail: UInt64 = 0) {
        self.code = code < 0 ? code : 0
        self.detail = detail
    }

    /// The whole extent was carried out.
    @inlinable
    public static var success: IOResult { IOResult(code: 0) }

    /// The compare half of COMPARE AND WRITE differed at byte `offset` of the extent. Nothing was written.
    /// Coded as EILSEQ, as librbd does.
    @inlinable
    public static func miscompare(at offset: UInt64) -> IOResult { IOResult(code: -84, detail: offset) }

    /// What is needed to write is on its way; nothing was done. The unit gets a turn when there is an answer. Coded as EINPROGRESS.
    @inlinable
    public static var rightAwaited: IOResult { IOResult(code: -115) }

    /// True for ``rightAwaited``.
    @inlinable
    public var isRightAwaited: Bool { code == -115 }

    /// True if nothing went wrong.
    @inlinable
    public var isSuccess: Bool { code == 0 }

    /// True for ``miscompare(at:)``.
    @inlinable
    public var isMiscompare: Bool { code == -84 }
}
