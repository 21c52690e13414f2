import BlockBackend
import Glibc
import Reactor
import TCMUTestKit
import Testing

@testable import FileBackend

/// The steps of an operation against a kernel that moves as little as it likes.
@Suite("Steps of a transfer")
struct TransferTests {
    private func withTicket(_ body: (IOTicket) throws -> Void) throws {
        let wake = try WakeSignal()
        let inbox = CompletionInbox(wakeDescriptor: wake.descriptor)
        let node = UnsafeMutablePointer<CompletionNode>.allocate(capacity: 1)
        node.initialize(to: CompletionNode(unit: 0, slot: 0, inbox: inbox))
        defer {
            node.deinitialize(count: 1)
            node.deallocate()
            inbox.destroy()
        }
        try body(IOTicket(node))
    }

    @Test("short results at any place move every byte exactly once") func anyShortness() throws {
        var random = SeededRandom.announced("short transfers")
        let seed = random.description
        try withTicket { ticket in
            for _ in 0..<300 {
                let lengths = (0..<Int.random(in: 1...12, using: &random)).map { _ in
                    [0, 1, 512, 700, 4096].randomElement(using: &random) ?? 0
                }
                let total = lengths.reduce(0, +)
                if total == 0 { continue }
                let wanted = Int.random(in: 1...total, using: &random)
                let source = random.tiles(wanted)
                let buffer = Segments(lengths, fill: 0xEE)
                var operation = FileOperation(
                    .read, ByteExtent(offset: 1000, length: UInt64(wanted)), segments: buffer.list, ticket: ticket)
                var outcome = FileOperation.Outcome.again
                var steps = 0
                while outcome == .again && steps <= wanted {
                    let done = Int(operation.offset) - 1000
                    let offered = pieces(operation.nextTransfer())
                    let sum = offered.reduce(0) { $0 + $1.count }
                    try #require(sum > 0 && done + sum <= wanted, "\(seed)")
                    let moved = Int.random(in: 1...sum, using: &random)
                    fill(offered, with: source[done..<done + moved])
                    outcome = operation.outcome(of: Int32(moved))
                    steps += 1
                }
                #expect(outcome == .over(.success), "\(seed)")
                #expect(Array(buffer.bytes.prefix(wanted)) == source, "\(seed)")
                #expect(buffer.bytes.dropFirst(wanted).allSatisfy { $0 == 0xEE }, "\(seed)")
                #expect(buffer.isIntact)
            }
        }
    }

    @Test("a read that comes to the end of a file that was cut off is no success") func endOfFile() throws {
        try withTicket { ticket in
            let buffer = Segments([100, 0, 200, 300], fill: 0xEE)
            var operation = FileOperation(
                .read, ByteExtent(offset: 4096, length: 500), segments: buffer.list, ticket: ticket)
            #expect(operation.outcome(of: 150) == .again)
            #expect(operation.outcome(of: 0) == .cutOff)
            #expect(operation.offset == 4246, "where the file ends")
            #expect(buffer.bytes.allSatisfy { $0 == 0xEE }, "no byte is made up")
        }
    }

    @Test("no more iovecs at a time than the kernel takes") func manySegments() throws {
        try withTicket { ticket in
            let buffer = Segments([Int](repeating: 16, count: 2500), alignment: 16)
            var operation = FileOperation(
                .write, ByteExtent(offset: 0, length: 40000), segments: buffer.list, ticket: ticket)
            var counts: [Int] = []
            var outcome = FileOperation.Outcome.again
            while outcome == .again && counts.count < 10 {
                guard case .vector(_, let count) = operation.nextTransfer() else { break }
                counts.append(count)
                outcome = operation.outcome(of: Int32(count * 16))
            }
            #expect(counts == [1024, 1024, 452])
            #expect(outcome == .over(.success))
        }
    }

    @Test(
        "answers that end an operation",
        arguments: [
            (FileOperation.Kind.write, Int32(0), -EIO), (.durableWrite, 0, -EIO), (.zeroWrite, 0, -EIO),
            (.write, -ENOSPC, -ENOSPC), (.read, -EIO, -EIO), (.discard, 0, 0), (.flush, 0, 0), (.zeroRange, 0, 0),
            (.discard, -EOPNOTSUPP, -EOPNOTSUPP), (.read, 4096, 0), (.read, Int32.max, 0), (.zeroWrite, 4096, 0),
        ])
    func endings(kind: FileOperation.Kind, result: Int32, code: Int32) throws {
        try withTicket { ticket in
            let buffer = Segments([4096])
            var operation = FileOperation(
                kind, ByteExtent(offset: 0, length: 4096), segments: buffer.list, ticket: ticket)
            #expect(operation.outcome(of: result) == .over(IOResult(code: code)))
        }
    }

    @Test("EINTR and EAGAIN try again, but not for ever", arguments: [EINTR, EAGAIN]) func again(code: CInt) throws
    {
        try withTicket { ticket in
            let buffer = Segments([4096])
            var operation = FileOperation(
                .read, ByteExtent(offset: 0, length: 4096), segments: buffer.list, ticket: ticket)
            for _ in 0..<FileOperation.maximumRetries { #expect(operation.outcome(of: -code) == .again) }
            #expect(operation.outcome(of: -code) == .over(IOResult(code: -code)))
            #expect(operation.offset == 0)
        }
    }

    @Test("progress starts the count of retries anew") func progress() throws {
        try withTicket { ticket in
            let buffer = Segments([4096])
            var operation = FileOperation(
                .read, ByteExtent(offset: 0, length: 4096), segments: buffer.list, ticket: ticket)
            for _ in 0..<3 * Int(FileOperation.maximumRetries) {
                #expect(operation.outcome(of: -EAGAIN) == .again)
                #expect(operation.outcome(of: 1) == .again)
            }
        }
    }

    @Test("a file system that cannot zero a range is written to") func zeroByWriting() throws {
        try withTicket { ticket in
            var operation = FileOperation(.zeroRange, ByteExtent(offset: 512, length: 4096), ticket: ticket)
            #expect(operation.outcome(of: -EOPNOTSUPP) == .againByWriting)
            #expect(operation.kind == .zeroWrite)
            #expect(operation.outcome(of: 1000) == .again)
            #expect(operation.offset == 1512)
            #expect(operation.remaining == 3096)
            #expect(operation.outcome(of: -EOPNOTSUPP) == .over(IOResult(code: -EOPNOTSUPP)))
        }
    }

    private func pieces(_ transfer: FileOperation.Transfer) -> [UnsafeMutableRawBufferPointer] {
        switch transfer {
        case .single(let start, let count): [UnsafeMutableRawBufferPointer(start: start, count: count)]
        case .vector(let start, let count):
            (0..<count).map { UnsafeMutableRawBufferPointer(start: start[$0].iov_base, count: start[$0].iov_len) }
        }
    }

    private func fill(_ pieces: [UnsafeMutableRawBufferPointer], with bytes: ArraySlice<UInt8>) {
        var rest = bytes
        for piece in pieces {
            piece.copyBytes(from: rest.prefix(piece.count))
            rest = rest.dropFirst(piece.count)
        }
    }
}
