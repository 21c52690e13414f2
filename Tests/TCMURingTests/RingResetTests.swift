import TCMURing
import TCMUTestKit
import Testing

/// What the kernel's side does after it has reset a ring with three commands open and the tail at 0.
struct AfterReset: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let post: @Sendable (RingSimulator) throws -> Void
}

@Suite("A ring that is reset by others while its tail is at 0")
struct RingResetTests {
    static let read10: [UInt8] = [0x28, 0, 0, 0, 0, 7, 0, 0, 8, 0]

    private static func commands(_ count: Int) -> @Sendable (RingSimulator) throws -> Void {
        { kernel in for _ in 0..<count { _ = try #require(kernel.post(cdb: read10, dataInLength: 4096)) } }
    }

    static let rows: [AfterReset] = [
        AfterReset(testDescription: "nothing", post: { _ in }),
        AfterReset(testDescription: "fewer commands", post: commands(1)),
        AfterReset(testDescription: "exactly the same commands", post: commands(3)),
        AfterReset(testDescription: "more commands", post: commands(9)),
        AfterReset(
            testDescription: "a notice, then more commands",
            post: { kernel in
                #expect(kernel.postTaskManagement(type: 5, ids: []))
                try commands(9)(kernel)
            }),
        AfterReset(
            testDescription: "notices alone",
            post: { kernel in for _ in 0..<64 { #expect(kernel.postTaskManagement(type: 5, ids: [])) } }),
    ]

    private static func opened(notice: Bool) throws -> (RingSimulator, ServedRing, [UInt16]) {
        let served = try ServedRing()
        if notice { #expect(served.kernel.postTaskManagement(type: 5, ids: [])) }
        try commands(3)(served.kernel)
        return (served.kernel, served, try served.takeAll().map(\.id))
    }

    @Test("is noticed before another entry is taken", arguments: rows)
    func taking(_ row: AfterReset) throws {
        let (kernel, served, _) = try Self.opened(notice: false)
        kernel.resetRing()
        try row.post(kernel)
        #expect(throws: RingError.self) { try served.ring.checkTail() }
    }

    @Test("is noticed when an answer is written, before the kernel is shown it", arguments: rows)
    func answering(_ row: AfterReset) throws {
        let (kernel, served, ids) = try Self.opened(notice: false)
        kernel.resetRing()
        try row.post(kernel)
        served.complete(ids[1])
        #expect(served.ring.publish() == .unchanged)
        #expect(kernel.reapCompletions(withoutDoorbell: true).isEmpty)
        #expect(kernel.violations.isEmpty)
        #expect(throws: RingError.self) { try served.ring.checkTail() }
    }

    @Test("is noticed where a notice stood at the ring's start", arguments: rows)
    func notice(_ row: AfterReset) throws {
        let (kernel, served, ids) = try Self.opened(notice: true)
        #expect(served.notices.count == 1)
        kernel.resetRing()
        try row.post(kernel)
        served.complete(ids[0])
        #expect(served.ring.publish() == .unchanged)
        #expect(throws: RingError.self) { try served.ring.checkTail() }
    }

    @Test("is not taken for one where nobody has reset it, turn by turn over many wraps")
    func sound() throws {
        let served = try ServedRing(RingGeometry(pages: 1, dataBlocks: 8))
        for turn in 0..<3000 {
            if turn.isMultiple(of: 3) { #expect(served.kernel.postTaskManagement(type: 5, ids: [])) }
            try Self.commands(turn % 4)(served.kernel)
            try served.ring.checkTail()
            for command in try served.takeAll().reversed() { served.complete(command.id) }
            try served.ring.checkTail()
            #expect(served.flush().count == turn % 4)
            try served.ring.checkTail()
        }
        #expect(served.kernel.violations.isEmpty)
        #expect(served.kernel.pads > 10)
        #expect(served.kernel.lastCleaned == served.kernel.head)
    }
}
