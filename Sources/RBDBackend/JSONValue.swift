/// A JSON text as a tree, for answers of monitors that are nested. Total on any input.
package enum JSONValue: Sendable, Equatable {
    case object([String: JSONValue])
    case array([JSONValue])
    case string(String)
    /// A number, `true`, `false` or `null`, as it is written.
    case word(String)

    /// Bound: a monitor's answers are some five deep; nesting is recursion here.
    private static let maximumDepth = 32

    /// Nil for anything that is not one JSON value.
    package init?(_ text: String) {
        var tokens = JSONScanner(text)
        guard let value = JSONValue.read(tokens.next(), &tokens, depth: 0), tokens.next() == .end else {
            return nil
        }
        self = value
    }

    /// The value of `key` in an object; the last one where a key stands twice.
    package subscript(key: String) -> JSONValue? {
        if case .object(let members) = self { members[key] } else { nil }
    }

    /// The elements of an array.
    package var elements: [JSONValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }

    /// A number without sign, fraction and exponent.
    package var number: UInt64? {
        if case .word(let text) = self { UInt64(text) } else { nil }
    }

    private static func read(_ token: JSONToken, _ tokens: inout JSONScanner, depth: Int) -> JSONValue? {
        guard depth < maximumDepth else { return nil }
        switch token {
        case .string(let text): return .string(text)
        case .word(let text): return .word(text)
        case .mark("["): return readArray(&tokens, depth: depth)
        case .mark("{"): return readObject(&tokens, depth: depth)
        case .mark, .end, .malformed: return nil
        }
    }

    private static func readArray(_ tokens: inout JSONScanner, depth: Int) -> JSONValue? {
        var elements: [JSONValue] = []
        var token = tokens.next()
        if token == .mark("]") { return .array([]) }
        while let element = read(token, &tokens, depth: depth + 1) {
            elements.append(element)
            switch tokens.next() {
            case .mark("]"): return .array(elements)
            case .mark(","): token = tokens.next()
            default: return nil
            }
        }
        return nil
    }

    private static func readObject(_ tokens: inout JSONScanner, depth: Int) -> JSONValue? {
        var members: [String: JSONValue] = [:]
        var token = tokens.next()
        if token == .mark("}") { return .object([:]) }
        while case .string(let key) = token, tokens.next() == .mark(":") {
            guard let value = read(tokens.next(), &tokens, depth: depth + 1) else { return nil }
            members[key] = value
            switch tokens.next() {
            case .mark("}"): return .object(members)
            case .mark(","): token = tokens.next()
            default: return nil
            }
        }
        return nil
    }
}
