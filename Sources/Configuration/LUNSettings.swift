/// What a file of `luns.d` says about one LUN. The defaults are those of a LUN without a file.
public struct LUNSettings: Equatable, Sendable {
    /// How the image is encrypted; nil serves it as it is.
    public var encryption: Encryption?
    /// Serve the image read-only, also where the kernel would let initiators write.
    public var readOnly = false
    /// When a command times out, disable the target portal groups that the LUN is in, as the original does.
    public var disablesPortalGroup = false
    /// Milliseconds for which the gateway keeps an image's exclusive lock before another gateway gets it.
    public var lockHoldMilliseconds: UInt32?
    /// Seconds without a write after which the gateway gives an image's exclusive lock back unasked; 0 keeps it.
    public var lockIdleSeconds: UInt32?
    /// The file that says so; nil without one.
    public var file: String?

    /// A LUN without a file.
    public init() {}

    /// Where the key of an encrypted image is.
    public struct Encryption: Equatable, Sendable {
        /// `luks1` or `luks2`.
        public let format: Format
        /// Absolute path of the file that holds the passphrase.
        public let passphraseFile: String

        /// Formats of encryption headers.
        public enum Format: String, CaseIterable, Sendable {
            case luks1, luks2
        }
    }

    // Bound: half the time in which initiators commonly give a command up.
    /// Longest ``lockHoldMilliseconds``.
    public static let longestHold: UInt32 = 15_000

    /// Longest ``lockIdleSeconds``.
    public static let longestIdle: UInt32 = 86_400

    /// Takes over the entries of a file but `lun`.
    ///
    /// - Throws: naming the line of an unknown key, a wrong type, a value out of range, a key that is missing.
    mutating func apply(_ entries: [SettingsEntry]) throws(SettingsProblem) {
        for entry in entries {
            switch entry.key {
            case "lun": continue
            case "encryption": encryption = try Self.encryption(entry)
            case "read_only": readOnly = try entry.bool()
            case "portal_group_disable": disablesPortalGroup = try entry.bool()
            case "lock":
                for inner in try entry.mapping() {
                    switch inner.key {
                    case "hold_milliseconds": lockHoldMilliseconds = try inner.number(upTo: Self.longestHold)
                    case "idle_seconds": lockIdleSeconds = try inner.number(upTo: Self.longestIdle)
                    default: throw inner.unknown(in: "lock", known: "hold_milliseconds, idle_seconds")
                    }
                }
            default:
                throw entry.unknown(
                    in: "a LUN's file", known: "lun, encryption, read_only, portal_group_disable, lock")
            }
        }
    }

    private static func encryption(_ entry: SettingsEntry) throws(SettingsProblem) -> Encryption {
        var format: Encryption.Format?
        var file: String?
        for inner in try entry.mapping() {
            switch inner.key {
            case "format":
                let text = try inner.text()
                format = Encryption.Format.allCases.first { $0.rawValue.utf8.elementsEqual(text.utf8) }
                if format == nil { throw inner.problem("expected luks1 or luks2") }
            case "passphrase_file":
                let path = try inner.text()
                guard path.utf8.first == UInt8(ascii: "/") else { throw inner.problem("expected an absolute path") }
                file = path
            case "passphrase", "password", "key":
                // The value stays out of the text, or it would be in the log.
                throw inner.problem("expected passphrase_file: a secret does not belong in here")
            default: throw inner.unknown(in: "encryption", known: "format, passphrase_file")
            }
        }
        guard let format else { throw entry.problem("expected format: luks1 or luks2 below it") }
        guard let file else { throw entry.problem("expected passphrase_file: PATH below it") }
        return Encryption(format: format, passphraseFile: file)
    }
}

extension SettingsEntry {
    func problem(_ text: String) -> SettingsProblem { SettingsProblem(line: line, text: "\(key): \(text)") }

    func unknown(in place: String, known: String) -> SettingsProblem {
        SettingsProblem(line: line, text: "\(key) is no key of \(place); expected one of \(known)")
    }

    func bool() throws(SettingsProblem) -> Bool {
        switch value {
        case .plain("true"): return true
        case .plain("false"): return false
        default: throw problem("expected true or false, without quotes")
        }
    }

    /// A text in quotes, or a plain one that YAML does not take for something else.
    func text() throws(SettingsProblem) -> String {
        switch value {
        case .quoted(let text) where !text.isEmpty: return text
        case .plain(let text) where text.isPlainText: return text
        default: throw problem("expected a text; in quotes if it looks like a number or a truth value")
        }
    }

    func number(upTo most: UInt32) throws(SettingsProblem) -> UInt32 {
        if case .plain(let text) = value, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            text == "0" || !text.hasPrefix("0"),
            let number = UInt32(text), number <= most
        {
            return number
        }
        throw problem("expected a whole number from 0 to \(most)")
    }

    func mapping() throws(SettingsProblem) -> [SettingsEntry] {
        guard case .mapping(let entries) = value else { throw problem("expected keys of its own, indented below") }
        return entries
    }
}

extension String {
    /// False for what YAML's versions resolve to something else than a text.
    fileprivate var isPlainText: Bool {
        let words = ["true", "false", "yes", "no", "on", "off", "y", "n", "null", "~"]
        let lower = lowercased()
        guard !words.contains(where: { $0.utf8.elementsEqual(lower.utf8) }), let first = utf8.first else {
            return false
        }
        // Numbers, dates and times begin with a digit, a sign or a dot.
        return !(0x30...0x39).contains(first) && !"+-.".utf8.contains(first)
    }
}
