internal import Glibc

/// Calls `body` with a zeroed buffer of `count` characters. Returns the text up to its first NUL, or nil where `body` returned
/// a negative code.
func textBuffer(_ count: Int, _ body: (UnsafeMutablePointer<CChar>, Int) -> CInt) -> String? {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: count) { buffer in
        buffer.initialize(repeating: 0)
        guard let start = buffer.baseAddress, body(start, count - 1) >= 0 else { return nil }
        return String(cString: start)
    }
}

/// The leading decimal digits of an option's value: `31`, `31.000000`.
///
/// - Returns: nil where there are none or too many.
package func leadingNumber(_ text: String) -> UInt64? {
    UInt64(text.prefix { $0.isASCII && $0.isNumber })
}
