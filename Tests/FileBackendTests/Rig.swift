import BlockBackend
import Glibc
import Reactor
import SystemPackage
import Testing

/// A backend with the part of a loop that it needs: an inbox, nodes, a poller on its completion descriptor.
struct Rig<Backend: BlockBackend & ~Copyable>: ~Copyable {
    var backend: Backend
    private let wake: WakeSignal
    private let inbox: CompletionInbox
    private var poller: Poller
    private let nodes: UnsafeMutablePointer<CompletionNode>
    private let slots: Int

    init(_ backend: consuming Backend, slots: Int = 1) throws {
        let wake = try WakeSignal()
        let poller = try Poller()
        if backend.completionDescriptor >= 0 {
            try poller.add(backend.completionDescriptor, token: 1, trigger: .level)
        }
        try poller.add(wake.descriptor, token: 2, trigger: .level)
        inbox = CompletionInbox(wakeDescriptor: wake.descriptor)
        nodes = .allocate(capacity: slots)
        for slot in 0..<slots {
            (nodes + slot).initialize(to: CompletionNode(unit: 0, slot: UInt32(slot), inbox: inbox))
        }
        self.slots = slots
        self.wake = wake
        self.poller = poller
        self.backend = backend
    }

    deinit {
        nodes.deinitialize(count: slots)
        nodes.deallocate()
        inbox.destroy()
    }

    func ticket(_ slot: Int = 0) -> IOTicket { IOTicket(nodes + slot) }

    /// One pass of a loop: submit, reap, sleep on the descriptor only if nothing arrived.
    /// - Returns: how many tickets came back; 0 after 10 s of nothing.
    mutating func pass(_ seen: (UInt32, IOResult) -> Void) -> Int {
        for _ in 0..<1000 {
            backend.submitBatch()
            backend.reap()
            var count = 0
            var next = inbox.takeAll()
            while let node = next {
                next = node.pointee.following
                seen(node.pointee.slot, IOResult(code: node.pointee.result, detail: node.pointee.detail))
                count += 1
            }
            if count > 0 { return count }
            // Signals for the thread's own completions end a wait early, so an empty one proves nothing yet.
            let start = CoarseClock.milliseconds
            // Tickets of surveys come from another thread.
            if !inbox.park() { continue }
            let events = poller.wait(milliseconds: 10_000)
            inbox.unpark()
            wake.clear()
            if events == 0 && CoarseClock.milliseconds - start > 9_000 { break }
        }
        return 0
    }

    /// The answer to one operation, waited for if need be; nil if it never came.
    mutating func answer(_ submission: Submission) -> IOResult? {
        switch submission {
        case .done(let result): return result
        case .pending:
            var answer: IOResult?
            _ = pass { _, result in answer = result }
            return answer
        }
    }

    mutating func read(_ offset: Int, _ count: Int) -> (IOResult?, [UInt8]) {
        let buffer = Segments([count], fill: 0xA5)
        let result = answer(backend.read(extent(offset, count), into: buffer.list, ticket: ticket()))
        return (result, buffer.bytes)
    }

    mutating func write(_ offset: Int, _ bytes: [UInt8], durable: Bool = false) -> IOResult? {
        let buffer = Segments([bytes.count], content: bytes)
        return answer(
            backend.write(extent(offset, bytes.count), from: buffer.list, durable: durable, ticket: ticket()))
    }
}

func extent(_ offset: Int, _ count: Int) -> ByteExtent {
    ByteExtent(offset: UInt64(offset), length: UInt64(count))
}

/// A scattered buffer: pieces of the given lengths with a guard of 64 bytes behind each.
final class Segments {
    let list: SegmentList
    private let lengths: [Int]
    private let memory: UnsafeMutableRawPointer
    private let stride: Int
    static let guardByte: UInt8 = 0x5C

    init(_ lengths: [Int], fill: UInt8 = 0, content: [UInt8]? = nil, alignment: Int = 4096) {
        self.lengths = lengths
        stride = ((lengths.max() ?? 0) + 64 + alignment - 1) / alignment * alignment
        memory = .allocate(byteCount: max(stride * lengths.count, 1), alignment: alignment)
        memset(memory, CInt(Segments.guardByte), stride * lengths.count)
        let base = UnsafeMutablePointer<iovec>.allocate(capacity: max(lengths.count, 1))
        for (index, length) in lengths.enumerated() {
            base[index] = iovec(iov_base: memory + index * stride, iov_len: length)
            memset(memory + index * stride, CInt(fill), length)
        }
        list = SegmentList(base: base, count: lengths.count)
        if let content { content.withUnsafeBytes { _ = list.write($0) } }
    }

    deinit {
        list.base.deallocate()
        memory.deallocate()
    }

    /// All pieces behind one another.
    var bytes: [UInt8] {
        var all = [UInt8](repeating: 0, count: lengths.reduce(0, +))
        all.withUnsafeMutableBytes { _ = list.read(into: $0) }
        return all
    }

    /// True if nothing was written between the pieces and no piece was moved or resized.
    var isIntact: Bool {
        for (index, length) in lengths.enumerated() {
            let start = memory + index * stride
            if list.base[index].iov_base != start || list.base[index].iov_len != length { return false }
            let gap = UnsafeRawBufferPointer(start: start + length, count: stride - length)
            // Equal to itself shifted by one and starting right: all the same, without a loop in a debug build.
            if gap.first != Segments.guardByte || memcmp(start + length, start + length + 1, gap.count - 1) != 0 {
                return false
            }
        }
        return true
    }
}
