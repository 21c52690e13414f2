package import BlockBackend
internal import Glibc

/// How a list of segments covers an extent. librbd takes the length of a vectored operation from the iovecs, so a
/// list that is longer than the extent must be cut.
package enum Coverage {
    /// The first segment holds it all.
    case linear(UnsafeMutablePointer<CChar>)
    /// The whole list, exactly.
    case vectored
    /// The first `count` segments, the last of them only up to `last` bytes.
    case trimmed(count: Int, last: Int)
    /// The list ends before the extent does.
    case tooShort
}

package func coverage(of extent: ByteExtent, by segments: SegmentList) -> Coverage {
    guard let length = Int(exactly: extent.length) else { return .tooShort }
    if let bytes = linear(segments, length) { return .linear(bytes) }
    var left = length
    for index in 0..<segments.count {
        let piece = segments.base[index].iov_len
        if piece >= left {
            return piece == left && index + 1 == segments.count ? .vectored : .trimmed(count: index + 1, last: left)
        }
        left -= piece
    }
    return .tooShort
}

/// The first `length` bytes of `segments`, if one segment holds them all.
package func linear(_ segments: SegmentList, _ length: Int) -> UnsafeMutablePointer<CChar>? {
    guard segments.count > 0, segments.base.pointee.iov_len >= length else { return nil }
    return segments.base.pointee.iov_base?.assumingMemoryBound(to: CChar.self)
}
