import TCMURing
import TCMUTestKit
import Testing

@Suite("Wrap, pads and task management notices")
struct WrapTests {
    let read10: [UInt8] = [0x28, 0, 0, 0, 0, 7, 0, 0, 8, 0]

    @Test("Pads at the ring's end are passed over", arguments: [6, 10, 12, 16, 20, 32])
    func pads(_ cdbLength: Int) throws {
        var geometry = RingGeometry(dataBlocks: 16)
        // Not a multiple of any entry length used here, so the end is reached with every remainder.
        geometry.ringBytes = 4096 - 128 + 8
        let served = try ServedRing(geometry)
        let cdb = (0..<cdbLength).map { UInt8($0) }
        for round in 0..<500 {
            let batch = 1 + round % 7
            var ids: [UInt16] = []
            for _ in 0..<batch { ids.append(try #require(served.kernel.post(cdb: cdb, dataInLength: 16))) }
            let taken = try served.takeAll()
            #expect(taken.map(\.id) == ids)
            #expect(taken.allSatisfy { $0.cdb == cdb.paddedTo8 })
            for id in ids.reversed() { served.complete(id) }
            #expect(served.flush().map(\.id) == ids.reversed())
        }
        #expect(served.kernel.pads > 10)
        #expect(served.kernel.violations.isEmpty)
        #expect(served.kernel.tail == served.kernel.head)
    }

    @Test("A full ring is told from an empty one")
    func full() throws {
        var geometry = RingGeometry(dataBlocks: 1)
        geometry.ringBytes = 120 * 16
        let served = try ServedRing(geometry)
        var ids: [UInt16] = []
        while let id = served.kernel.post(cdb: [0, 0, 0, 0, 0, 0]) { ids.append(id) }
        #expect(ids.count == 15, "16 entries would make head equal tail")
        #expect(try served.takeAll().map(\.id) == ids)
        for id in ids { served.complete(id) }
        #expect(served.flush().map(\.id) == ids)
        #expect(served.kernel.post(cdb: [0, 0, 0, 0, 0, 0]) != nil)
    }

    @Test("A notice alone moves the tail, and the kernel is rung for it")
    func noticeAlone() throws {
        let served = try ServedRing()
        #expect(served.kernel.postTaskManagement(type: 5, ids: []))
        #expect(try served.takeAll().isEmpty)
        #expect(served.notices.map(\.function) == [5])
        #expect(served.notices.first?.name == "LOGICAL UNIT RESET")
        #expect(served.flush().isEmpty)
        #expect(served.kernel.tail == served.kernel.head)
        #expect(served.kernel.lastCleaned == served.kernel.head)
        #expect(served.kernel.doorbells == 1)
    }

    @Test("Notices among commands are passed with the commands before them", arguments: 0..<4)
    func noticesAmongCommands(_ completedFirst: Int) throws {
        let served = try ServedRing()
        var ids: [UInt16] = []
        for index in 0..<4 {
            ids.append(try #require(served.kernel.post(cdb: read10, dataInLength: 512)))
            #expect(served.kernel.postTaskManagement(type: 1, ids: Array(ids.prefix(index + 1))))
        }
        #expect(try served.takeAll().map(\.id) == ids)
        #expect(served.notices.map(\.commandCount) == [1, 2, 3, 4])
        served.complete(ids[completedFirst])
        #expect(served.flush().map(\.id) == [ids[completedFirst]])
        for id in ids where id != ids[completedFirst] { served.complete(id) }
        #expect(served.flush().count == 3)
        #expect(served.kernel.tail == served.kernel.head)
        #expect(served.kernel.violations.isEmpty)
    }

    @Test("Random traffic over small rings: every command answered once, with its own bytes", arguments: 0..<6)
    func randomTraffic(_ run: Int) throws {
        var random = SeededRandom.replayable()
        var geometry = RingGeometry(pages: 1 + run, dataBlocks: 48)
        geometry.ringBytes -= 8 * Int.random(in: 0..<64, using: &random)
        let served = try ServedRing(geometry, openLimit: 256)
        var posted: [UInt16: [UInt8]] = [:]
        var open: [UInt16] = []
        var finished = 0
        for _ in 0..<4000 {
            if random.chance(60) {
                let size = Int.random(in: 0...20_000, using: &random)
                let bytes = random.bytes(random.chance(50) ? size : size % 300)
                if let id = served.kernel.post(cdb: random.bytes(random.chance(50) ? 10 : 16), dataOut: bytes) {
                    #expect(posted.updateValue(bytes, forKey: id) == nil, "id \(id) in use twice, \(random)")
                }
            }
            if random.chance(3) { _ = served.kernel.postTaskManagement(type: 2, ids: Array(open.prefix(9))) }
            if random.chance(50) {
                for command in try served.takeAll() {
                    open.append(command.id)
                    #expect(posted[command.id] == command.data, "\(random)")
                }
            }
            while !open.isEmpty && random.chance(55) {
                served.complete(open.remove(at: Int.random(in: 0..<open.count, using: &random)))
            }
            if random.chance(40) {
                for completion in served.flush() {
                    #expect(posted.removeValue(forKey: completion.id) != nil, "\(random)")
                    finished += 1
                }
            }
        }
        open += try served.takeAll().map(\.id)
        for id in open { served.complete(id) }
        finished += served.flush().count
        #expect(finished == served.kernel.posted, "\(random)")
        #expect(served.kernel.violations.isEmpty, "\(random)")
        #expect(served.kernel.pads > 0, "\(random)")
        #expect(served.kernel.freeBlocks == 48, "\(random)")
        #expect(served.kernel.tail == served.kernel.head, "\(random)")
    }
}
