extension [UInt8] {
    /// A zeroed buffer: what an encoder does not set is zero on the wire.
    static func zeros(_ count: Int) -> [UInt8] {
        [UInt8](repeating: 0, count: count)
    }

    /// Puts `value` in big-endian order at a fixed offset of the format being encoded.
    mutating func store<Value: FixedWidthInteger & UnsignedInteger>(_ value: Value, at offset: Int) {
        let size = Value.bitWidth / 8
        for index in 0..<size {
            self[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * (size - 1 - index)))
        }
    }

    /// Appends `value` in big-endian order.
    mutating func append<Value: FixedWidthInteger & UnsignedInteger>(bigEndian value: Value) {
        let size = Value.bitWidth / 8
        for index in 0..<size {
            append(UInt8(truncatingIfNeeded: value >> (8 * (size - 1 - index))))
        }
    }
}

extension UnsafeRawBufferPointer {
    /// The big-endian number of `Value`'s size at `offset`, or `nil` where the buffer ends before it does.
    func bigEndian<Value: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
        _: Value.Type, at offset: Int
    ) -> Value? {
        let size = Value.bitWidth / 8
        guard offset >= 0, offset <= count - size else { return nil }
        // SAFETY: the whole value lies within the buffer, as just checked.
        return Value(bigEndian: loadUnaligned(fromByteOffset: offset, as: Value.self))
    }
}
