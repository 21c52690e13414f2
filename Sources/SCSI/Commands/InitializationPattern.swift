extension UnsafeMutableRawBufferPointer {
    /// Fills the buffer with `pattern`, from the pattern's first byte and cut where the buffer ends; with zeros where
    /// there is no pattern.
    func repeatPattern(_ pattern: [UInt8], inverted: Bool) {
        let mask: UInt8 = inverted ? 0xFF : 0x00
        guard pattern.count > 1 else {
            for index in indices { self[index] = (pattern.first ?? 0) ^ mask }
            return
        }
        var offset = 0
        for index in indices {
            self[index] = pattern[offset] ^ mask
            offset = offset + 1 == pattern.count ? 0 : offset + 1
        }
    }
}

extension UnsafeRawBufferPointer {
    /// The `length` bytes from `offset`, or `nil` where the buffer ends before they do. No input overflows.
    func bytes(at offset: Int, length: Int) -> [UInt8]? {
        guard offset >= 0, length >= 0, offset <= count, length <= count - offset else { return nil }
        return Array(self[offset..<offset + length])
    }
}
