internal import Glibc
internal import TCMURing
public import TCMUTestKit

/// A ring alone: the simulated kernel on one side, on the other a server that answers GOOD to everything.
public final class ServedRing {
    /// The other side of the ring.
    public let kernel: RingSimulator
    private var ring: CommandRing
    private let segments: UnsafeMutablePointer<iovec>

    /// An empty ring.
    public init() throws {
        kernel = try RingSimulator(SingleUnit.geometry)
        ring = try CommandRing(kernel.ringDescriptors())
        segments = .allocate(capacity: 1024)
    }

    deinit {
        segments.deallocate()
    }

    /// Serves the ring until it is empty: takes up to `batch` commands with all that belongs to them, completes them,
    /// publishes, rings.
    @inline(never)
    public func serve(batch: Int) {
        // One access to the property for all: a ring is not a class's property where it counts.
        ServedRing.serve(&ring, batch: batch, segments)
    }

    private static func serve(_ ring: inout CommandRing, batch: Int, _ segments: UnsafeMutablePointer<iovec>) {
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: batch) { identifiers in
            withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { block in
                while true {
                    var taken = 0
                    while taken < batch, case .command(let entry) = try? ring.next() {
                        _ = try? ring.copySegments(entry, into: segments)
                        _ = ring.copyCommandBlock(entry, into: block)
                        identifiers[taken] = entry.commandID
                        taken += 1
                    }
                    for place in 0..<taken { ring.complete(RingResponse(commandID: identifiers[place], status: 0)) }
                    _ = ring.publish()
                    if taken < batch { return }
                }
            }
        }
    }
}
