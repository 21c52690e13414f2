/// Bytes from hexadecimal text. Spaces and line ends separate fields, `#` starts a comment.
func hex(_ text: String) -> [UInt8] {
    var digits: [UInt8] = []
    for line in text.split(separator: "\n") {
        for character in line.prefix(while: { $0 != "#" }) where character != " " {
            guard let value = character.hexDigitValue else { fatalError("not a hexadecimal digit: \(character)") }
            digits.append(UInt8(value))
        }
    }
    precondition(digits.count.isMultiple(of: 2), "half a byte in: \(text)")
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

/// `count` zero bytes, to complete a golden page.
func zeros(_ count: Int) -> [UInt8] {
    [UInt8](repeating: 0, count: count)
}

/// Bytes as text, for the difference between two long arrays to be readable.
func hexText(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
}
