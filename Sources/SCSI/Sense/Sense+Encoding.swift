extension Sense {
    /// The length in bytes of fixed format sense data.
    public static let fixedLength = 18

    /// The length in bytes of the longest descriptor format sense data that ``descriptor(into:)`` writes: the
    /// header, an information and a sense-key-specific descriptor.
    public static let longestDescriptorLength = 8 + 12 + 8

    /// Writes fixed format sense data, response code 70h (SPC-4 4.5.3).
    ///
    /// An INFORMATION that needs more than 32 bits does not fit this format and is left out (VALID = 0).
    /// - Returns: the bytes written: ``fixedLength``, or fewer where the buffer is shorter.
    @discardableResult
    public func fixed(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        var writer = BoundedWriter(buffer)
        let information = self.information.flatMap { UInt32(exactly: $0) }
        writer.put(information == nil ? 0x70 : 0xF0)
        writer.put(0)
        writer.put(key.rawValue)
        writer.put(word: information ?? 0)
        writer.put(0x0A)  // ADDITIONAL SENSE LENGTH: ten bytes follow
        writer.put(word: 0)  // COMMAND-SPECIFIC INFORMATION
        writer.put(asc)
        writer.put(ascq)
        writer.put(0)  // FIELD REPLACEABLE UNIT CODE
        writer.put(three: specificBytes)
        return writer.count
    }

    /// Writes descriptor format sense data, response code 72h (SPC-4 4.5.2).
    /// - Returns: the bytes written: 8, 16, 20 or 28, or fewer where the buffer is shorter.
    @discardableResult
    public func descriptor(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        var additional: UInt8 = 0
        if information != nil { additional += 12 }
        if specific != .none { additional += 8 }

        var writer = BoundedWriter(buffer)
        writer.put(0x72)
        writer.put(key.rawValue)
        writer.put(asc)
        writer.put(ascq)
        writer.put(three: (0, 0, 0))
        writer.put(additional)
        if let information {
            writer.put(0x00)  // information descriptor (SPC-4 4.5.2.2)
            writer.put(0x0A)
            writer.put(0x80)  // VALID
            writer.put(0)
            writer.put(word: UInt32(truncatingIfNeeded: information >> 32))
            writer.put(word: UInt32(truncatingIfNeeded: information))
        }
        if specific != .none {
            writer.put(0x02)  // sense key specific descriptor (SPC-4 4.5.2.4)
            writer.put(0x06)
            writer.put(0)
            writer.put(0)
            writer.put(three: specificBytes)
            writer.put(0)
        }
        return writer.count
    }

    /// Fixed format sense data as an array of ``fixedLength`` bytes.
    public var fixedBytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Self.fixedLength) { buffer, count in
            count = fixed(into: UnsafeMutableRawBufferPointer(buffer))
        }
    }

    /// Descriptor format sense data as an array.
    public var descriptorBytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Self.longestDescriptorLength) { buffer, count in
            count = descriptor(into: UnsafeMutableRawBufferPointer(buffer))
        }
    }

    private var specificBytes: (UInt8, UInt8, UInt8) {
        func bytes(_ flags: UInt8, _ value: UInt16) -> (UInt8, UInt8, UInt8) {
            (0x80 | flags, UInt8(value >> 8), UInt8(truncatingIfNeeded: value))
        }
        switch specific {
        case .none: return (0, 0, 0)
        case .progress(let progress): return bytes(0, progress)
        case .fieldPointer(let inCDB, let byte, let bit):
            let bitPointer = bit.map { 0x08 | $0 & 0x07 } ?? 0  // BPV and BIT POINTER
            return bytes((inCDB ? 0x40 : 0) | bitPointer, byte)
        }
    }
}

/// Writes byte after byte into a buffer and leaves off at its end.
private struct BoundedWriter {
    private let buffer: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    init(_ buffer: UnsafeMutableRawBufferPointer) {
        self.buffer = buffer
    }

    mutating func put(_ byte: UInt8) {
        guard count < buffer.count else { return }
        buffer[count] = byte
        count += 1
    }

    mutating func put(word value: UInt32) {
        put(UInt8(truncatingIfNeeded: value >> 24))
        put(UInt8(truncatingIfNeeded: value >> 16))
        put(UInt8(truncatingIfNeeded: value >> 8))
        put(UInt8(truncatingIfNeeded: value))
    }

    mutating func put(three bytes: (UInt8, UInt8, UInt8)) {
        put(bytes.0)
        put(bytes.1)
        put(bytes.2)
    }
}
