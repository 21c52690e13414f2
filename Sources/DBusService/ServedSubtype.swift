/// What CheckConfig answers.
public struct ConfigurationVerdict: Sendable, Equatable {
    /// Whether a device with this configuration text could be opened.
    public var isValid: Bool
    /// What is wrong and what is expected, in one line; "success" as the original has it where nothing is.
    public var text: String

    /// A verdict with its words.
    public init(isValid: Bool, text: String) {
        self.isValid = isValid
        self.text = text
    }

    /// Nothing is wrong.
    public static let success = ConfigurationVerdict(isValid: true, text: "success")

    /// Something is wrong: `text` says what.
    public static func invalid(_ text: String) -> ConfigurationVerdict {
        ConfigurationVerdict(isValid: false, text: text)
    }
}

/// A kind of backend as the bus shows it: one object, which targetcli makes `user:<name>` of.
public struct ServedSubtype: Sendable {
    /// The subtype as it stands in front of configuration texts; the last part of the object's path.
    public var name: String
    /// What follows the subtype in a configuration text, for people (property ConfigDesc).
    public var description: String
    /// Judges a whole configuration text, `<subtype>/…`. May block; it is run on a thread of its own.
    public var check: @Sendable (String) -> ConfigurationVerdict

    /// A subtype with its words and its check.
    public init(name: String, description: String, check: @escaping @Sendable (String) -> ConfigurationVerdict) {
        self.name = name
        self.description = description
        self.check = check
    }
}

/// What happens on the bus that is worth a line in the log.
public enum BusEvent: Sendable, Equatable {
    /// The daemon's name on the bus is ours.
    case named
    /// Another process has the name; it is ours when that one lets go of it.
    case queued
    /// There is no bus, or it does not let us in: the reason. It is waited for. Told once until the next ``named``, and
    /// not after ``lost(_:)``.
    case unavailable(String)
    /// The connection is gone and is made anew: the reason.
    case lost(String)
    /// The bus cannot be used at all, and is not tried again.
    case unusable(String)
}
