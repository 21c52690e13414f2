import Glibc
import TCMURing
import TCMUTestKit

/// A command as the daemon's side has read it from the ring.
struct TakenCommand: Equatable {
    var id: UInt16
    var cdb: [UInt8]
    /// Bytes of the data buffer at that moment, in order.
    var data: [UInt8]
    /// Bytes per iovec.
    var pieces: [Int]
}

/// A simulator and a ring attached to it, both driven by the test's thread.
final class ServedRing {
    let kernel: RingSimulator
    var ring: CommandRing
    var notices: [TaskManagementNotice] = []
    private let segments = UnsafeMutablePointer<iovec>.allocate(capacity: 8192)

    init(_ geometry: RingGeometry = RingGeometry(), openLimit: Int = 1024) throws {
        kernel = try RingSimulator(geometry)
        ring = try CommandRing(kernel.ringDescriptors(), openLimit: openLimit)
    }

    deinit {
        segments.deallocate()
    }

    /// Nothing is open and nothing waits.
    var isEmpty: Bool { ring.isEmpty }

    /// Entries taken and not completed.
    var openEntries: Int { ring.openEntries }

    /// Takes the next command, with everything that its entry says.
    func take() throws -> TakenCommand? {
        while let item = try ring.next() {
            switch item {
            case .command(let entry): return try read(entry)
            case .taskManagement(let notice): notices.append(notice)
            case .unknown(let id, let operation):
                return TakenCommand(id: id, cdb: [operation], data: [], pieces: [])
            }
        }
        return nil
    }

    /// Takes all there is.
    func takeAll() throws -> [TakenCommand] {
        var taken: [TakenCommand] = []
        while let command = try take() { taken.append(command) }
        return taken
    }

    private func read(_ entry: RingEntry) throws -> TakenCommand {
        var cdb = [UInt8](repeating: 0, count: 32)
        let length = cdb.withUnsafeMutableBytes { ring.copyCommandBlock(entry, into: $0) }
        precondition(entry.segmentCount <= 8192, "more segments than this test has room for")
        let (count, bytes) = try ring.copySegments(entry, into: segments)
        var taken = TakenCommand(id: entry.commandID, cdb: Array(cdb.prefix(length)), data: [], pieces: [])
        for index in 0..<count {
            taken.pieces.append(segments[index].iov_len)
            taken.data += UnsafeRawBufferPointer(start: segments[index].iov_base, count: segments[index].iov_len)
        }
        precondition(taken.data.count == Int(bytes), "copySegments counts its bytes wrong")
        return taken
    }

    /// Answers GOOD.
    func complete(_ id: UInt16, status: UInt8 = 0) {
        ring.complete(RingResponse(commandID: id, status: status))
    }

    /// Publishes, and lets the kernel look.
    func flush() -> [RingCompletion] {
        if case .gone = ring.publish() { preconditionFailure("the doorbell is a pipe and takes 4 bytes") }
        return kernel.reapCompletions()
    }
}

extension Array where Element == UInt8 {
    /// The array followed by zeros up to a multiple of 8: a CDB as its entry holds it.
    var paddedTo8: [UInt8] { self + [UInt8](repeating: 0, count: (8 - count % 8) % 8) }
}
