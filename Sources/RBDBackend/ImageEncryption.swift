/// How the blocks of an image are encrypted, and where its passphrase is. The passphrase itself is in no value of this
/// program for longer than it takes to open the image.
public struct ImageEncryption: Sendable, Equatable {
    /// Format of the header at the image's beginning.
    public enum Format: String, Sendable, CaseIterable {
        case luks1, luks2
    }

    /// Format that the image has; another one is refused, not guessed.
    public var format: Format
    /// Path of the file that holds the passphrase; read at each open.
    public var passphraseFile: String

    /// An image in `format` that the passphrase in `passphraseFile` unlocks.
    public init(_ format: Format, passphraseFile: String) {
        self.format = format
        self.passphraseFile = passphraseFile
    }

    /// Lengths of a passphrase to try, in order, for a file whose last byte may be a line feed.
    ///
    /// `rbd encryption format` leaves one line feed at the end of its file out of the passphrase up to Ceph 17, and takes the
    /// file as it is from Ceph 18 on. The image does not say which `rbd` formatted it, so both are tried; the likelier
    /// one first, because each try takes seconds on purpose.
    ///
    /// - Parameters:
    ///   - count: bytes in the file.
    ///   - endsLine: whether the last byte is a line feed.
    ///   - libraryVersion: version of the librbd that is loaded, major × 256 + minor.
    package static func lengths(count: Int, endsLine: Bool, libraryVersion: Int) -> [Int] {
        guard endsLine, count > 0 else { return count > 0 ? [count] : [] }
        let stripped = count > 1 ? [count - 1] : []
        return libraryVersion < ImageGeometry.wideCompareAndWrite ? stripped + [count] : [count] + stripped
    }
}
