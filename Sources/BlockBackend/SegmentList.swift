public import Glibc

/// A command's data buffer: pieces of the ring's data area, in order.
///
/// A borrowed view of an iovec array that the command's slot owns; valid while the command is.
public struct SegmentList: @unchecked Sendable {
    // SAFETY: every iovec was checked against the mapping when it was copied out of the ring, and slot and
    // mapping outlive the command.
    /// First iovec.
    public let base: UnsafeMutablePointer<iovec>
    /// Number of iovecs.
    public let count: Int

    /// A view of `count` iovecs at `base`.
    @inlinable
    public init(base: UnsafeMutablePointer<iovec>, count: Int) {
        self.base = base
        self.count = count
    }

    /// Bytes in all pieces together.
    public var byteCount: UInt64 {
        var total: UInt64 = 0
        for index in 0..<count { total &+= UInt64(base[index].iov_len) }
        return total
    }

    /// Calls `body` with each piece of the `length` bytes from byte `offset` on, and with the number of bytes
    /// before it; stops early when `body` returns false. Bytes beyond the list are left out.
    @inlinable
    public func forEachPiece(
        from offset: Int, length: Int, _ body: (UnsafeMutableRawBufferPointer, Int) -> Bool
    ) {
        var skip = offset
        var left = length
        var done = 0
        for index in 0..<count where left > 0 {
            let piece = base[index].iov_len
            if skip >= piece {
                skip -= piece
                continue
            }
            guard let start = base[index].iov_base else { return }
            let take = Swift.min(piece - skip, left)
            if !body(UnsafeMutableRawBufferPointer(start: start + skip, count: take), done) { return }
            skip = 0
            left -= take
            done += take
        }
    }

    /// Copies bytes in, starting at byte `offset` of the list.
    ///
    /// - Returns: how many fitted.
    @discardableResult
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int = 0) -> Int {
        var copied = 0
        forEachPiece(from: offset, length: bytes.count) { piece, done in
            piece.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[done..<done + piece.count]))
            copied = done + piece.count
            return true
        }
        return copied
    }

    /// Copies bytes out, starting at byte `offset` of the list.
    ///
    /// - Returns: how many there were.
    @discardableResult
    public func read(into bytes: UnsafeMutableRawBufferPointer, from offset: Int = 0) -> Int {
        var copied = 0
        forEachPiece(from: offset, length: bytes.count) { piece, done in
            UnsafeMutableRawBufferPointer(rebasing: bytes[done..<done + piece.count])
                .copyMemory(from: UnsafeRawBufferPointer(piece))
            copied = done + piece.count
            return true
        }
        return copied
    }

    /// Zeroes `length` bytes from byte `offset` on.
    public func zero(from offset: Int, length: Int) {
        forEachPiece(from: offset, length: length) { piece, _ in
            piece.initializeMemory(as: UInt8.self, repeating: 0)
            return true
        }
    }

    /// Compares what starts at byte `offset` of the list with `bytes`.
    ///
    /// - Returns: the offset in `bytes` of the first difference, or nil if all are equal; bytes that the list lacks differ.
    public func firstDifference(from bytes: UnsafeRawBufferPointer, at offset: Int = 0) -> Int? {
        var difference: Int?
        var compared = 0
        forEachPiece(from: offset, length: bytes.count) { piece, done in
            compared = done + piece.count
            let other = UnsafeRawBufferPointer(rebasing: bytes[done..<compared])
            guard let start = piece.baseAddress, let otherStart = other.baseAddress,
                memcmp(start, otherStart, piece.count) != 0
            else { return true }
            for index in 0..<piece.count where piece[index] != other[index] {
                difference = done + index
                break
            }
            return false
        }
        if difference == nil && compared < bytes.count { return compared }
        return difference
    }

    /// True if the first `length` bytes are all zero (and there are that many).
    public func isZero(length: Int) -> Bool {
        var zero = 0
        forEachPiece(from: 0, length: length) { piece, done in
            for byte in piece where byte != 0 { return false }
            zero = done + piece.count
            return true
        }
        return zero == length
    }
}
