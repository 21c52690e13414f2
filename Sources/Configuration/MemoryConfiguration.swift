/// A `mem` unit: `<label>`. Its size is the kernel's `dev_size`.
/// Its contents are gone when the daemon closes it.
public struct MemoryConfiguration: Equatable, Sendable {
    /// A name for people; two units with the same label share nothing.
    public let label: String

    /// Parses what follows `mem/`.
    ///
    /// - Throws: if there is no label or it has options: `mem` takes none.
    public init(parsing parameters: String) throws(ConfigurationError) {
        guard !parameters.isEmpty, !parameters.utf8.contains(UInt8(ascii: ";")) else {
            throw ConfigurationError(
                field: "label", value: parameters, expected: "a name without options, as in mem/a")
        }
        label = parameters
    }
}
