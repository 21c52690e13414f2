/// The little JSON that monitor commands need: string literals out, string literals in. Total on any input.
package enum JSONText {
    /// `text` as a JSON string literal, quotes included.
    package static func literal(_ text: String) -> String {
        var literal = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": literal += "\\\(scalar)"
            case _ where scalar.value < 0x20:
                let hex = String(scalar.value, radix: 16)
                literal += "\\u" + String(repeating: "0", count: 4 - hex.utf8.count) + hex
            default: literal.unicodeScalars.append(scalar)
            }
        }
        return literal + "\""
    }

    /// The elements of an array of strings; nil for anything else.
    package static func stringArray(_ text: String) -> [String]? {
        var tokens = JSONScanner(text)
        guard tokens.next() == .mark("[") else { return nil }
        var elements: [String] = []
        var token = tokens.next()
        if token == .mark("]") { return tokens.next() == .end ? elements : nil }
        while true {
            guard case .string(let element) = token else { return nil }
            elements.append(element)
            switch tokens.next() {
            case .mark("]"): return tokens.next() == .end ? elements : nil
            case .mark(","): token = tokens.next()
            default: return nil
            }
        }
    }

    /// The string under `key` of an object without nested containers; nil if there is none.
    package static func string(forKey key: String, in text: String) -> String? {
        var tokens = JSONScanner(text)
        guard tokens.next() == .mark("{") else { return nil }
        while true {
            guard case .string(let name) = tokens.next(), tokens.next() == .mark(":") else { return nil }
            let value = tokens.next()
            if name == key, case .string(let found) = value { return found }
            guard tokens.next() == .mark(",") else { return nil }
        }
    }
}

/// A piece of a JSON text.
enum JSONToken: Equatable {
    case mark(Character)
    case string(String)
    /// A number, `true`, `false` or `null`, as it is written.
    case word(String)
    case end
    case malformed
}

/// Cuts a JSON text into tokens; it is the reader who knows their order.
struct JSONScanner {
    private var rest: Substring.UnicodeScalarView

    init(_ text: String) {
        rest = text[...].unicodeScalars
    }

    mutating func next() -> JSONToken {
        while let scalar = rest.first, " \t\r\n".unicodeScalars.contains(scalar) { rest.removeFirst() }
        guard let scalar = rest.popFirst() else { return .end }
        switch scalar {
        case "[", "]", "{", "}", ",", ":": return .mark(Character(scalar))
        case "\"": return string()
        default:
            let more = "+-.0123456789".unicodeScalars
            var word = String.UnicodeScalarView([scalar])
            while let scalar = rest.first, scalar.properties.isAlphabetic || more.contains(scalar) {
                word.append(rest.removeFirst())
            }
            return .word(String(word))
        }
    }

    private mutating func string() -> JSONToken {
        var text = String.UnicodeScalarView()
        while let scalar = rest.popFirst() {
            if scalar == "\"" { return .string(String(text)) }
            guard scalar == "\\" else {
                text.append(scalar)
                continue
            }
            guard let escaped = escape() else { return .malformed }
            text.append(escaped)
        }
        return .malformed
    }

    private mutating func escape() -> Unicode.Scalar? {
        switch rest.popFirst() {
        case "n": return "\n"
        case "t": return "\t"
        case "r": return "\r"
        case "b": return "\u{8}"
        case "f": return "\u{c}"
        case "u":
            let digits = String(String.UnicodeScalarView(rest.prefix(4)))
            guard digits.utf8.count == 4, let value = UInt32(digits, radix: 16) else { return nil }
            rest.removeFirst(4)
            // Surrogate pairs do not occur in what we look for; one alone is no scalar and so malformed.
            return Unicode.Scalar(value)
        case let scalar?: return scalar
        case nil: return nil
        }
    }
}
