import TCMURing
import TCMUTestKit
import Testing

@Suite("The command ring, entry by entry")
struct CommandRingTests {
    let read10: [UInt8] = [0x28, 0, 0, 0, 0, 7, 0, 0, 8, 0]

    @Test("An empty ring gives nothing")
    func empty() throws {
        let served = try ServedRing()
        #expect(try served.take() == nil)
        #expect(served.isEmpty)
        #expect(served.flush().isEmpty)
        #expect(served.kernel.doorbells == 0)
    }

    @Test("A write arrives with its id, CDB and bytes, and its completion reaches the initiator")
    func write() throws {
        let served = try ServedRing()
        let payload = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let cdb: [UInt8] = [0x2A, 0, 0, 0, 0, 7, 0, 0, 20, 0]
        let id = try #require(served.kernel.post(cdb: cdb, dataOut: payload))
        #expect(!served.isEmpty)
        let taken = try #require(try served.take())
        #expect(taken.id == id)
        #expect(taken.cdb == cdb.paddedTo8)
        #expect(taken.data == payload)
        #expect(taken.pieces == [10_000], "blocks that adjoin share one segment")
        #expect(served.openEntries == 1)
        served.complete(id)
        let finished = served.flush()
        #expect(finished.map(\.id) == [id])
        #expect(finished.first?.status == 0)
        #expect(served.isEmpty)
        #expect(served.kernel.violations.isEmpty)
        #expect(served.kernel.doorbells == 1)
    }

    @Test("Completions are invisible before publish")
    func publishing() throws {
        let served = try ServedRing()
        let id = try #require(served.kernel.post(cdb: read10, dataInLength: 512))
        _ = try served.takeAll()
        served.complete(id)
        #expect(served.kernel.reapCompletions(withoutDoorbell: true).isEmpty)
        #expect(served.ring.publish() == .told)
        #expect(served.ring.publish() == .unchanged, "nothing new, no doorbell due")
        #expect(served.kernel.reapCompletions().map(\.id) == [id])
        #expect(served.kernel.doorbells == 1)
    }

    @Test("Fragmented data areas give one segment per run of blocks")
    func fragments() throws {
        let served = try ServedRing(RingGeometry(pages: 4, dataBlocks: 8))
        var ids: [UInt16] = []
        for _ in 0..<8 { ids.append(try #require(served.kernel.post(cdb: read10, dataInLength: 4096))) }
        _ = try served.takeAll()
        // Blocks 1, 3, 4 and 6 come free.
        for index in [1, 3, 4, 6] { served.complete(ids[index]) }
        #expect(served.flush().count == 4)
        let payload = (0..<14_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
        let id = try #require(served.kernel.post(cdb: read10, dataOut: payload))
        let taken = try #require(try served.take())
        #expect(taken.pieces == [4096, 8192, 14_000 - 3 * 4096])
        #expect(taken.data == payload)
        served.complete(id)
        #expect(served.flush().map(\.id) == [id])
    }

    @Test(
        "Whatever finishes first takes the oldest slot: all orders of four commands",
        arguments: permutations(of: [0, 1, 2, 3]))
    func anyOrder(_ order: [Int]) throws {
        let served = try ServedRing()
        var ids: [UInt16] = []
        for index in 0..<4 {
            var cdb = read10
            cdb[5] = UInt8(index)
            ids.append(try #require(served.kernel.post(cdb: cdb, dataInLength: 100 * (index + 1))))
        }
        let taken = try served.takeAll()
        #expect(taken.map(\.id) == ids)
        // Distinct statuses show which response went to which command; 08h BUSY, 18h, 28h, 40h carry no sense.
        let statuses: [UInt8] = [0x08, 0x18, 0x28, 0x40]
        for index in order { served.complete(ids[index], status: statuses[index]) }
        let finished = served.flush()
        #expect(finished.map(\.id) == order.map { ids[$0] })
        #expect(finished.map(\.status) == order.map { statuses[$0] })
        #expect(finished.map(\.dataIn.count) == order.map { 100 * ($0 + 1) })
        #expect(served.kernel.violations.isEmpty)
        #expect(served.kernel.tail == served.kernel.head)
    }

    @Test("Sense travels only with CHECK CONDITION and is padded with zeros")
    func sense() throws {
        let served = try ServedRing()
        let id = try #require(served.kernel.post(cdb: read10, dataInLength: 4096))
        _ = try served.takeAll()
        let fixed: [UInt8] = [0x70, 0, 0x05, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x21, 0x00, 0, 0, 0, 0]
        fixed.withUnsafeBytes {
            served.ring.complete(RingResponse(commandID: id, status: 0x02), sense: $0)
        }
        let finished = try #require(served.flush().first)
        #expect(finished.status == 0x02)
        #expect(Array(finished.sense.prefix(18)) == fixed)
        #expect(finished.sense.count == 96 && finished.sense.dropFirst(18).allSatisfy { $0 == 0 })
        #expect(finished.dataIn.isEmpty)
    }

    @Test(
        "READ_LEN clamps Data-In where the mailbox offers it",
        arguments: [
            (flags: RingGeometry.allFlags, readLength: 100 as UInt32?, given: 100, residual: 412),
            (flags: RingGeometry.allFlags, readLength: 9999, given: 512, residual: 0),
            (flags: RingGeometry.allFlags, readLength: nil, given: 512, residual: 0),
            // Without the capability the whole buffer goes back, as with old kernels.
            (flags: 1, readLength: 100, given: 512, residual: 0),
        ])
    func readLength(_ row: (flags: UInt16, readLength: UInt32?, given: Int, residual: Int)) throws {
        var geometry = RingGeometry()
        geometry.flags = row.flags
        let served = try ServedRing(geometry)
        let id = try #require(served.kernel.post(cdb: read10, dataInLength: 512))
        _ = try served.takeAll()
        served.ring.complete(RingResponse(commandID: id, status: 0, readLength: row.readLength))
        let finished = try #require(served.flush().first)
        #expect(finished.dataIn.count == row.given)
        #expect(finished.residual == row.residual)
        #expect(served.kernel.violations.isEmpty)
    }

    @Test("An entry of an unknown operation is refused without touching its neighbours")
    func unknownOperation() throws {
        let served = try ServedRing()
        let before = try #require(served.kernel.post(cdb: read10, dataInLength: 512))
        let odd = try #require(served.kernel.post(cdb: read10, operation: 5))
        let after = try #require(served.kernel.post(cdb: read10, dataInLength: 512))
        #expect(try served.takeAll().map(\.id) == [before, odd, after])
        served.ring.complete(.unknownOperation(odd))
        served.complete(after)
        served.complete(before)
        let finished = served.flush()
        #expect(finished.map(\.id) == [odd, after, before])
        // The flag belongs to the slot that was filled: a leftover one would fail somebody else's command.
        #expect(finished.map(\.isUnknownOpcode) == [true, false, false])
    }

    @Test("With all entries open that openLimit allows, the rest waits in the ring")
    func openLimit() throws {
        let served = try ServedRing(openLimit: 4)
        var ids: [UInt16] = []
        for _ in 0..<6 { ids.append(try #require(served.kernel.post(cdb: read10))) }
        #expect(try served.takeAll().map(\.id) == Array(ids.prefix(4)))
        served.complete(ids[2])
        #expect(served.flush().map(\.id) == [ids[2]])
        #expect(try served.takeAll().map(\.id) == [ids[4]])
        for id in [ids[0], ids[1], ids[3], ids[4]] { served.complete(id) }
        #expect(try served.takeAll().map(\.id) == [ids[5]])
        served.complete(ids[5])
        #expect(served.flush().count == 5)
        #expect(served.isEmpty)
    }

    @Test("A bidirectional command's Data-In segments are not taken for its Data-Out")
    func bidirectional() throws {
        let served = try ServedRing()
        let payload = [UInt8](repeating: 0x5A, count: 1000)
        let id = try #require(served.kernel.post(cdb: read10, dataOut: payload, dataInLength: 3000))
        let taken = try #require(try served.take())
        #expect(taken.data == payload)
        served.complete(id)
        #expect(served.flush().map(\.id) == [id])
    }

    @Test("A ring attached while commands are open gets every one of them again")
    func attachAgain() throws {
        let kernel = try RingSimulator()
        var ids: [UInt16] = []
        for _ in 0..<3 { ids.append(try #require(kernel.post(cdb: read10, dataInLength: 512))) }
        do {
            var first = try CommandRing(kernel.ringDescriptors())
            var seen = 0
            while try first.next() != nil { seen += 1 }
            #expect(seen == 3)
            first.complete(RingResponse(commandID: ids[1], status: 0))
            #expect(first.publish() == .told)
        }
        #expect(kernel.reapCompletions(withoutDoorbell: true).map(\.id) == [ids[1]])
        var second = try CommandRing(kernel.ringDescriptors())
        var seen: [UInt16] = []
        while let item = try second.next() {
            if case .command(let entry) = item { seen.append(entry.commandID) }
        }
        // The finished command took the first slot, so the entries left are the second and the third as posted:
        // the kernel's reset, not the daemon, is what sorts this out (action/reset_ring).
        #expect(seen == [ids[1], ids[2]])
        #expect(kernel.resetRing() == [ids[0], ids[2]])
    }

    @Test("a ring that is reset with commands open and others waiting is not written to, and nothing more is taken")
    func resetInTheMiddle() throws {
        let kernel = try RingSimulator()
        var ring = try CommandRing(kernel.ringDescriptors())
        let ids = try (0..<40).map { _ in try #require(kernel.post(cdb: InitiatorCDB.testUnitReady)) }
        for _ in 0..<16 { _ = try ring.next() }
        for id in ids[..<8] { ring.complete(RingResponse(commandID: id, status: 0)) }
        #expect(ring.publish() == .told)
        for id in ids[8..<16] { ring.complete(RingResponse(commandID: id, status: 0)) }
        kernel.resetRing()
        #expect(ring.publish() == .unchanged, "answers to commands that the kernel has answered itself")
        #expect(kernel.reapCompletions(withoutDoorbell: true).isEmpty)
        #expect(kernel.violations.isEmpty)
        #expect(throws: RingError.self) { try ring.checkTail() }
    }

    @Test("a ring that is reset while it is served is noticed before anything of long ago is taken for new")
    func resetUnderUs() throws {
        let kernel = try RingSimulator()
        var ring = try CommandRing(kernel.ringDescriptors())
        let before = try (0..<3).map { _ in try #require(kernel.post(cdb: InitiatorCDB.testUnitReady)) }
        while try ring.next() != nil {}
        for id in before { ring.complete(RingResponse(commandID: id, status: 0)) }
        #expect(ring.publish() == .told)
        #expect(kernel.reapCompletions(withoutDoorbell: true).count == 3)
        kernel.resetRing()
        try #require(kernel.post(cdb: InitiatorCDB.testUnitReady) != nil)
        #expect(throws: RingError.self) { try ring.next() }
    }
}

/// All orders of `items`.
func permutations(of items: [Int]) -> [[Int]] {
    guard items.count > 1 else { return [items] }
    return items.indices.flatMap { index in
        var rest = items
        let first = rest.remove(at: index)
        return permutations(of: rest).map { [first] + $0 }
    }
}
