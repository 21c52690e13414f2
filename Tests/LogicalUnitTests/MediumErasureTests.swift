import BlockBackend
import SCSI
import Testing

@testable import LogicalUnit

extension MediumErasure {
    /// Takes and ends steps up to the next piece.
    mutating func take(upTo limit: UInt64) -> ByteExtent? {
        var capabilities = BackendCapabilities()
        capabilities.nativeWriteZeroes = true
        capabilities.steps = StepBytes(pattern: limit, zeroes: limit, discard: limit)
        let limits = StepLimits(capabilities, blockSize: 512)
        while let step = next(limits) {
            end(step)
            if step.action != .flush { return step.extent }
        }
        return nil
    }
}

@Suite("Which piece of the medium an erasure does next, and how far it says it is")
struct MediumErasureTests {
    @Test(
        "The pieces cover the medium once, in order, none longer than the limit",
        arguments: [(1 << 20, 1 << 20), (1 << 20, 4096), (10_000_384, 1 << 20), (512, 1 << 20)]
            as [(UInt64, UInt64)])
    func pieces(_ size: UInt64, _ limit: UInt64) {
        var erasure = MediumErasure(.format, .zeroes, size: size)
        var end: UInt64 = 0
        while let piece = erasure.take(upTo: limit) {
            #expect(piece.offset == end)
            #expect(piece.length > 0 && piece.length <= limit)
            end += piece.length
        }
        #expect(end == size)
        #expect(erasure.progress == .max)
    }

    @Test("A fast format and an empty medium have no pieces")
    func nothing() {
        var fast = MediumErasure(.format, .nothing, size: 1 << 30)
        #expect(fast.take(upTo: 512) == nil)
        #expect(fast.progress == .max)
        var empty = MediumErasure(.sanitize, .deallocation, size: 0)
        #expect(empty.take(upTo: 512) == nil)
    }

    @Test("Each pass ends with a flush, and a fast format is one", arguments: [0, 1, 3])
    func flushes(_ passes: UInt8) throws {
        var erasure = MediumErasure(.format, .nothing, size: 2 << 20)
        if passes > 0 {
            let list: [UInt8] = [passes, 0, 0, 1, 0x55]
            let command = Sanitize(action: .overwrite, parameterListLength: 5)
            let parameters = try list.withUnsafeBytes { bytes throws(Sense) in
                try OverwriteParameters(bytes, for: command, blockSize: 512)
            }
            erasure = MediumErasure(.sanitize, .overwrite(parameters), size: 2 << 20)
        }
        let limits = StepLimits(BackendCapabilities(), blockSize: 512)
        var actions: [Step.Action] = []
        while let step = erasure.next(limits) {
            actions.append(step.action)
            erasure.end(step)
        }
        let pass: [Step.Action] = [.write, .write, .flush]
        #expect(actions == (passes == 0 ? [.flush] : (0..<passes).flatMap { _ in pass }))
    }

    @Test("Progress runs over all passes and never goes back")
    func progress() throws {
        let list: [UInt8] = [3, 0, 0, 1, 0x55]
        let command = Sanitize(action: .overwrite, parameterListLength: 5)
        let parameters = try list.withUnsafeBytes { bytes throws(Sense) in
            try OverwriteParameters(bytes, for: command, blockSize: 512)
        }
        var erasure = MediumErasure(.sanitize, .overwrite(parameters), size: 3 << 20)
        var seen: [UInt16] = [erasure.progress]
        while erasure.take(upTo: 1 << 20) != nil { seen.append(erasure.progress) }
        #expect(seen.count == 10)
        #expect(seen == seen.sorted() && Set(seen).count == seen.count)
        #expect(seen.first == 0 && seen[3] == 21845 && seen.last == .max)
    }
}
