/// Which device of the target core: its HBA's number and its name, as in `core/user_<hba>/<name>`.
///
/// Names are compared byte by byte. Swift's own comparison holds two spellings of an accented letter for equal, and
/// the kernel may have one device of each.
public struct BackstoreName: Hashable, Sendable, CustomStringConvertible {
    /// Number of the HBA, n in `user_<n>`.
    public let hba: UInt32
    /// The device's name: one path component.
    public let name: String

    /// Creates a name; nil if `name` cannot be one name in a path (empty, `.`, `..`, with a `/` or a NUL).
    public init?(hba: UInt32, name: String) {
        guard isPathComponent(name) else { return nil }
        self.hba = hba
        self.name = name
    }

    /// The HBA's directory, `user_<n>`.
    public var hbaDirectory: String { "user_\(hba)" }

    /// `user_<n>/<name>`, as configfs has it.
    public var description: String { "\(hbaDirectory)/\(name)" }

    /// Whether number and name are the same, byte by byte.
    public static func == (left: BackstoreName, right: BackstoreName) -> Bool {
        left.hba == right.hba && left.name.utf8.elementsEqual(right.name.utf8)
    }

    /// Hashes the number and the bytes of the name.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(hba)
        for byte in name.utf8 { hasher.combine(byte) }
    }
}
