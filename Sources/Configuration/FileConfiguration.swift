/// Which file or block device a `file` unit is: `/path/to/image[;direct=on|off]`, so that the whole text of the device
/// reads `file//path/to/image`.
public struct FileConfiguration: Equatable, Sendable {
    /// Absolute path of a regular file or a block device.
    public let path: String
    /// Whether the page cache is passed by (O_DIRECT). Off unless asked for.
    public let direct: Bool

    /// Parses what follows `file/`.
    ///
    /// - Throws: if the path is not absolute, or an option is unknown: as a file's name may hold a `;`, serving what
    ///   stands before it could be serving another file.
    public init(parsing parameters: String) throws(ConfigurationError) {
        let text = Substring(parameters)
        let (path, options) = text.cut(atFirst: ";") ?? (text, "")
        guard path.utf8.first == UInt8(ascii: "/"), path.utf8.count > 1 else {
            throw ConfigurationError(
                field: "path", value: String(path), expected: "an absolute path, as in file//var/lib/image")
        }
        self.path = String(path)
        var direct = false
        for option in ConfigurationOption.list(options) {
            guard option.key.isExactly("direct") else {
                throw ConfigurationError(field: "option", value: String(option.text), expected: "direct=on|off")
            }
            let value = try option.requiredValue(expected: "on or off")
            guard value.isExactly("on") || value.isExactly("off") else {
                throw ConfigurationError(field: "direct", value: String(value), expected: "on or off")
            }
            direct = value.isExactly("on")
        }
        self.direct = direct
    }
}
