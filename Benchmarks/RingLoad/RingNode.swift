import CLinux
import Glibc
import Synchronization
import SystemPackage
import TCMURing
import TCMUTestKit

/// One ring and the descriptors through which a daemon in another process gets at it.
///
/// The preload library (`Benchmarks/Native/preload/uio.c`) takes the place of the UIO node there: it counts doorbells in
/// the control page before it rings, so that this side can see them without a system call.
final class RingNode {
    let ring: RingSimulator
    /// Readable when the daemon has rung since the last ``clearDoorbell()``.
    let doorbell: CInt
    private let region: CInt
    private let notify: CInt
    private let control: CInt
    private let page: UnsafeMutablePointer<ControlPage>
    private static let pageBytes = 4096

    /// As `struct control` in the preload library.
    private struct ControlPage: ~Copyable {
        let doorbells: Atomic<UInt64>
        let clears: Atomic<UInt64>
    }

    init(dataBlocks: Int) throws {
        ring = try RingSimulator(RingGeometry(pages: 2048, dataBlocks: dataBlocks))
        let descriptors = ring.ringDescriptors()
        region = descriptors.region
        notify = descriptors.notify
        close(descriptors.doorbell)
        doorbell = eventfd(0, CInt(EFD_CLOEXEC | EFD_NONBLOCK))
        control = clinux_memfd_create("tcmu-control")
        guard doorbell >= 0, control >= 0, ftruncate(control, off_t(Self.pageBytes)) == 0,
            let mapped = mmap(nil, Self.pageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, control, 0),
            mapped != MAP_FAILED
        else { throw Errno(rawValue: errno) }
        page = mapped.assumingMemoryBound(to: ControlPage.self)
    }

    /// The line by which the preload library finds the node.
    func line(minor: Int) -> String { "\(minor) \(getpid()) \(region) \(notify) \(doorbell) \(control)" }

    /// Bytes of the map, as sysfs tells them.
    var mapSize: Int { ring.geometry.mapSize }

    /// Doorbells rung so far.
    var doorbells: UInt64 { page.pointee.doorbells.load(ordering: .acquiring) }

    /// Events that the daemon has cleared by a read of the node.
    var clears: UInt64 { page.pointee.clears.load(ordering: .relaxed) }

    /// Makes ``doorbell`` unreadable until the next ring.
    func clearDoorbell() {
        var count: UInt64 = 0
        _ = read(doorbell, &count, 8)
    }
}
