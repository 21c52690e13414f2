/// A configuration text that cannot be used: which part, what it holds and what was expected there.
///
/// The kernel is answered EINVAL for every one of these.
public struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The part of the text, in the words of its documentation: "pool", "osd_op_timeout".
    public let field: String
    /// What the text holds there, as written.
    public let value: String
    /// What would have been accepted.
    public let expected: String

    /// Creates an error about one part of a configuration text.
    public init(field: String, value: String, expected: String) {
        self.field = field
        self.value = value
        self.expected = expected
    }

    /// One line, also for values with line breaks or control characters in them.
    public var description: String {
        "\(field.printable) is \"\(value.printable)\", expected \(expected)"
    }
}
