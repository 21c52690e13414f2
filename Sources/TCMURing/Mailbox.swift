internal import CTCMU

/// The first 128 bytes of the mapping, read and checked once at attach (linux/target_core_user.h, version 2).
enum Mailbox {
    struct Layout {
        let features: RingFeatures
        /// Bytes from the mapping's start.
        let ringOffset: UInt32
        /// Bytes.
        let ringSize: UInt32
        /// Bytes from the ring's start.
        let tail: UInt32
    }

    static func layout(of region: borrowing SharedRegion) throws(RingError) -> Layout {
        guard region.size > CTCMU_MAILBOX_SIZE else { throw .mappingTooSmall(size: region.size) }
        let base = region.base
        let version = ctcmu_load_u16(base)
        guard version == UInt16(CTCMU_MAILBOX_VERSION) else { throw .version(version) }
        let features = RingFeatures(rawValue: ctcmu_load_u16(base + 2))
        guard features.contains(.outOfOrderCompletion) else { throw .inOrderOnly }
        let offset = ctcmu_load_u32(base + 4)
        let size = ctcmu_load_u32(base + 8)
        // The smallest ring that makes sense holds two entries; both bounds keep entries 8-byte aligned.
        guard offset >= UInt32(CTCMU_MAILBOX_SIZE), offset & 7 == 0, size & 7 == 0,
            size >= 2 * UInt32(CTCMU_RESPONSE_SIZE),
            UInt64(offset) + UInt64(size) <= UInt64(region.size)
        else { throw .ringBounds(offset: offset, size: size, mapping: region.size) }
        let tail = ctcmu_load_tail(base)
        guard tail < size, tail & 7 == 0 else { throw .tail(tail, ringSize: size) }
        return Layout(features: features, ringOffset: offset, ringSize: size, tail: tail)
    }
}
