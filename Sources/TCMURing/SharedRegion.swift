internal import Glibc
internal import SystemPackage

/// The descriptors of one ring. For a UIO node all three are the same one.
public struct RingDescriptors: Sendable {
    /// What is mapped.
    public let region: CInt
    /// Polls readable when the kernel has put something into the ring.
    public let notify: CInt
    /// A 4-byte write makes the kernel look at the tail.
    public let doorbell: CInt
    /// Size of the mapping in bytes; must be exactly map0's size (K:tcmu_mmap).
    public let mapSize: Int

    /// Descriptors that the ring will own and close.
    public init(region: CInt, notify: CInt, doorbell: CInt, mapSize: Int) {
        self.region = region
        self.notify = notify
        self.doorbell = doorbell
        self.mapSize = mapSize
    }

    /// Opens a UIO node; the kernel lets one process in at a time (EBUSY for the second).
    public static func openNode(path: String, mapSize: Int) throws(RingError) -> RingDescriptors {
        let descriptor = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { throw .open(path: path, Errno(rawValue: errno)) }
        return RingDescriptors(
            region: descriptor, notify: descriptor, doorbell: descriptor, mapSize: mapSize)
    }

    /// Closes each descriptor once; for descriptors that no ring has taken over.
    public func closeAll() {
        close(region)
        if notify != region { close(notify) }
        if doorbell != region && doorbell != notify { close(doorbell) }
    }
}

/// The memory shared with the kernel; unmapped and closed when its owner ends.
///
/// The only place that makes a pointer out of an offset. Nothing outside this module sees the base.
struct SharedRegion: ~Copyable {
    let base: UnsafeMutableRawPointer
    let size: Int
    let descriptors: RingDescriptors

    /// Maps the region, and takes the descriptors over even when it throws.
    init(_ descriptors: RingDescriptors) throws(RingError) {
        let size = descriptors.mapSize
        guard size > 0 else {
            descriptors.closeAll()
            throw .mappingTooSmall(size: size)
        }
        let mapped = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptors.region, 0)
        guard let mapped, mapped != MAP_FAILED else {
            let error = Errno(rawValue: errno)
            descriptors.closeAll()
            throw .map(size: size, error)
        }
        base = mapped
        self.size = size
        self.descriptors = descriptors
    }

    deinit {
        munmap(base, size)
        descriptors.closeAll()
    }
}
