// Configuration strings are cut at single bytes, never at Characters: to Swift a ';' followed by a combining
// accent is one Character and would not be found, and "\r\n" is one too.

extension Substring {
    /// The text before and after the first `separator`; nil if there is none.
    func cut(atFirst separator: Unicode.Scalar) -> (before: Substring, after: Substring)? {
        guard let at = unicodeScalars.firstIndex(of: separator) else { return nil }
        return (self[..<at], self[unicodeScalars.index(after: at)...])
    }

    /// The parts between `separator`s; empty parts are kept.
    func parts(separatedBy separator: Unicode.Scalar) -> [Substring] {
        var parts: [Substring] = []
        var rest = self
        while let (before, after) = rest.cut(atFirst: separator) {
            parts.append(before)
            rest = after
        }
        return parts + [rest]
    }

    /// Where `text` begins in this one, compared byte by byte.
    func firstOccurrence(of text: StaticString) -> Range<Index>? {
        let wanted = Array(text.description.utf8)
        var start = utf8.startIndex
        while let end = utf8.index(start, offsetBy: wanted.count, limitedBy: utf8.endIndex) {
            if utf8[start..<end].elementsEqual(wanted) { return start..<end }
            utf8.formIndex(after: &start)
        }
        return nil
    }

    /// The bytes compared, not the characters: canonical equivalence is for people's languages, not for names.
    func isExactly(_ other: StaticString) -> Bool { utf8.elementsEqual(other.description.utf8) }
}

/// A whole number of seconds in decimal digits, without sign or blanks; at most 32 bits.
func seconds(_ text: Substring, field: String) throws(ConfigurationError) -> UInt32 {
    guard text.utf8.first != UInt8(ascii: "+"), let number = UInt32(text) else {
        throw ConfigurationError(
            field: field, value: String(text), expected: "a whole number of seconds from 0 to \(UInt32.max)")
    }
    return number
}

/// One `key=value` of a list of options separated by `;`.
struct ConfigurationOption {
    let key: Substring
    /// What follows the first `=`; nil without one.
    let value: Substring?
    /// The option as written.
    let text: Substring

    /// The options of `text`. Empty ones (`;;`, a `;` at the end) mean nothing and are skipped, as the original does.
    static func list(_ text: Substring) -> [ConfigurationOption] {
        text.parts(separatedBy: ";").filter { !$0.isEmpty }.map { option in
            let pair = option.cut(atFirst: "=")
            return ConfigurationOption(key: pair?.before ?? option, value: pair?.after, text: option)
        }
    }

    /// The value, which must be there and hold something.
    func requiredValue(expected: String) throws(ConfigurationError) -> Substring {
        guard let value, !value.isEmpty else {
            throw ConfigurationError(field: String(key), value: "", expected: expected)
        }
        return value
    }
}
