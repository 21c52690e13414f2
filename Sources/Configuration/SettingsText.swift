/// One `key: value` of a settings file.
struct SettingsEntry: Equatable {
    let key: String
    /// Line in the file, from 1.
    let line: Int
    var value: SettingsValue
}

/// What stands behind a key.
enum SettingsValue: Equatable {
    /// Text without quotes: YAML makes a number or a truth value of it where it looks like one.
    case plain(String)
    /// Text in quotes, which is text whatever it looks like.
    case quoted(String)
    /// Nothing, and nothing indented below.
    case absent
    /// Lines indented below the key.
    case mapping([SettingsEntry])
}

/// A problem with a settings file's text.
struct SettingsProblem: Error, Equatable {
    let line: Int
    let text: String
}

/// The part of YAML that settings files are written in (docs/adr/0016): block mappings of plain keys, two levels deep;
/// values plain or in quotes on the key's line; comments; one `---` at the start. What YAML has beyond that is refused, never
/// read as something else, so each file that is accepted means the same to any YAML parser.
struct SettingsText {
    /// What was read up to the problem, or to the end.
    private(set) var entries: [SettingsEntry] = []
    /// The first line that cannot be used; nothing below it has been read.
    private(set) var problem: SettingsProblem?

    // Bound: more than there will ever be keys; a hostile file ends here.
    static let mostLines = 1000

    /// Reads `bytes`, whatever they are.
    init(parsing bytes: [UInt8]) {
        do throws(SettingsProblem) {
            try read(bytes)
        } catch {
            problem = error
        }
    }

    private mutating func read(_ bytes: [UInt8]) throws(SettingsProblem) {
        var number = 0
        var inner: Int?
        var hasContent = false
        for raw in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            number += 1
            guard number <= Self.mostLines else {
                throw SettingsProblem(line: number, text: "expected at most \(Self.mostLines) lines")
            }
            let line = try Self.line(raw, number)
            guard let first = line.first(where: { $0 != " " }), first != "#" else { continue }
            if !hasContent && Self.withoutComment(line) == "---" {
                hasContent = true
                continue
            }
            hasContent = true
            let indent = line.prefix { $0 == " " }.count
            let entry = try Self.entry(line.dropFirst(indent), number)
            if indent == 0 {
                inner = nil
                try Self.append(entry, to: &entries)
            } else {
                if let inner, inner != indent {
                    throw SettingsProblem(
                        line: number, text: "indented by \(indent) blanks, expected \(inner) as in the line above")
                }
                inner = indent
                try addBelow(entry)
            }
        }
    }

    /// The line as scalars; a Character could hide a separator under an accent.
    private static func line(
        _ raw: ArraySlice<UInt8>, _ number: Int
    ) throws(SettingsProblem) -> Substring.UnicodeScalarView {
        let bytes = raw.last == UInt8(ascii: "\r") ? raw.dropLast() : raw
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw SettingsProblem(line: number, text: "is no UTF-8 text")
        }
        let scalars = Substring(text).unicodeScalars
        // YAML counts these as line breaks or does not allow them at all; tabs it takes between words alone.
        let isOdd = scalars.contains {
            $0.value < 0x20 || $0.value == 0x7F || (0x80..<0xA0).contains($0.value)
                || [0x2028, 0x2029, 0xFEFF].contains($0.value)
        }
        if isOdd { throw SettingsProblem(line: number, text: "holds a tab or another control character") }
        return scalars
    }

    private static func entry(
        _ line: Substring.UnicodeScalarView, _ number: Int
    ) throws(SettingsProblem) -> SettingsEntry {
        let key = line.prefix {
            $0.isASCII && ($0.properties.isAlphabetic || ("0"..."9").contains($0) || $0 == "_")
        }
        let rest = line.dropFirst(key.count)
        guard !key.isEmpty, rest.first == ":", rest.count == 1 || rest.dropFirst().first == " " else {
            throw SettingsProblem(line: number, text: "expected key: value")
        }
        return SettingsEntry(key: String(key), line: number, value: try value(rest.dropFirst(), number))
    }

    private static func value(
        _ rest: Substring.UnicodeScalarView, _ number: Int
    ) throws(SettingsProblem) -> SettingsValue {
        let text = rest.drop { $0 == " " }
        switch text.first {
        case nil: return .absent
        case "#" where rest.first == " ": return .absent
        case "'": return try quoted(text, "'", number)
        case "\"": return try quoted(text, "\"", number)
        default: break
        }
        let plain = withoutComment(text)
        // Indicators at the beginning, and what would make another mapping of the rest.
        let begins = plain.unicodeScalars.first.map { "-?:,[]{}#&*!|>%@`".unicodeScalars.contains($0) } ?? false
        if begins || plain.hasSuffix(":") || Substring(plain).firstOccurrence(of: ": ") != nil {
            throw SettingsProblem(line: number, text: "expected a plain value; put it in quotes if it is a text")
        }
        return .plain(plain)
    }

    /// The text up to a `#` that follows a blank, without blanks at the end.
    private static func withoutComment(_ text: Substring.UnicodeScalarView) -> String {
        var kept = String.UnicodeScalarView()
        for scalar in text {
            if scalar == "#" && kept.last == " " { break }
            kept.append(scalar)
        }
        while kept.last == " " { kept.removeLast() }
        return String(kept)
    }

    private static func quoted(
        _ text: Substring.UnicodeScalarView, _ quote: Unicode.Scalar, _ number: Int
    ) throws(SettingsProblem) -> SettingsValue {
        var content = String.UnicodeScalarView()
        var rest = text.dropFirst()
        while let scalar = rest.popFirst() {
            if scalar == "\\" && quote == "\"" {
                guard let next = rest.popFirst(), next == "\\" || next == "\"" else {
                    throw SettingsProblem(line: number, text: "expected \\\\ or \\\" after a \\, or single quotes")
                }
                content.append(next)
            } else if scalar != quote {
                content.append(scalar)
            } else if quote == "'" && rest.first == "'" {
                rest.removeFirst()
                content.append("'")
            } else {
                let behind = withoutComment(rest)
                guard behind.isEmpty, rest.isEmpty || rest.first == " " else {
                    throw SettingsProblem(line: number, text: "expected nothing behind the closing quote")
                }
                return .quoted(String(content))
            }
        }
        throw SettingsProblem(line: number, text: "expected a closing quote on the same line")
    }

    private mutating func addBelow(_ entry: SettingsEntry) throws(SettingsProblem) {
        guard let last = entries.indices.last else {
            throw SettingsProblem(line: entry.line, text: "indented without a key above")
        }
        var below: [SettingsEntry]
        switch entries[last].value {
        case .absent: below = []
        case .mapping(let entries): below = entries
        case .plain, .quoted:
            throw SettingsProblem(line: entry.line, text: "indented below a key that has a value already")
        }
        try Self.append(entry, to: &below)
        entries[last].value = .mapping(below)
    }

    private static func append(
        _ entry: SettingsEntry, to entries: inout [SettingsEntry]
    ) throws(SettingsProblem) {
        if let other = entries.first(where: { $0.key == entry.key }) {
            throw SettingsProblem(line: entry.line, text: "\(entry.key) is in line \(other.line) already")
        }
        entries.append(entry)
    }
}
