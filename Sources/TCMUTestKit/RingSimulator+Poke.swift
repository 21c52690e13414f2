internal import CTCMU
internal import Glibc

// A kernel gone mad: entries and mailbox fields that no kernel writes, for tests of the daemon's checks.
extension RingSimulator {
    /// Overwrites shared memory at `offset` bytes from the start of the map.
    public func poke(_ bytes: [UInt8], at offset: Int) {
        precondition(offset >= 0 && offset + bytes.count <= geometry.mapSize, "poke outside the map")
        bytes.withUnsafeBytes { source in
            if let start = source.baseAddress { memcpy(base + offset, start, source.count) }
        }
    }

    /// Overwrites one native-endian field at `offset` bytes from the start of the map.
    public func poke<Field: FixedWidthInteger & BitwiseCopyable>(_ value: Field, at offset: Int) {
        precondition(offset >= 0 && offset + MemoryLayout<Field>.size <= geometry.mapSize, "poke outside the map")
        base.storeBytes(of: value, toByteOffset: offset, as: Field.self)
    }

    /// Bytes of shared memory at `offset` from the start of the map.
    public func peek(_ count: Int, at offset: Int) -> [UInt8] {
        precondition(offset >= 0 && offset + count <= geometry.mapSize, "peek outside the map")
        return Array(UnsafeRawBufferPointer(start: base + offset, count: count))
    }

    /// Offset from the start of the map of ring position `position`.
    public func mapOffset(ofRing position: UInt32) -> Int { geometry.ringOffset + Int(position) }

    /// The tail as it stands in the mailbox.
    public var tail: UInt32 { ctcmu_load_tail(base) }

    /// Puts any head in the mailbox, also an impossible one. The simulator's own head stays.
    public func forceHead(_ position: UInt32) {
        ctcmu_store_head(base, position)
    }

    /// Puts any tail in the mailbox, as a crashed daemon may have left it.
    public func forceTail(_ position: UInt32) {
        ctcmu_store_tail(base, position)
    }

    /// Writes `bytes` at the simulator's head, without PAD or any check, and publishes a head `advance` bytes
    /// further. What follows is between the test and the daemon: completions are not accounted for.
    public func forceEntry(_ bytes: [UInt8], advance: Int) {
        let room = geometry.ringBytes - Int(head)
        poke(Array(bytes.prefix(room)), at: mapOffset(ofRing: head))
        advanceHead(by: advance)
        publishHead()
    }
}
