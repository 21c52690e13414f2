import Synchronization
import Testing

@testable import RBDBackend

@Suite("Which failed writes leave open whether they will be carried out")
struct WriteGaugeTests {
    /// Errnos that were told.
    private final class Reports: Sendable {
        let codes = Mutex<[Int32]>([])
        var handler: WriteFailureHandler { WriteFailureHandler { code in self.codes.withLock { $0.append(code) } } }
        var told: [Int32] { codes.withLock { $0 } }
    }

    struct Case: Sendable {
        let title: String
        let code: Int32
        /// Milliseconds after the gauge's turn began; the OSD time-out is 30 s.
        var age: Int64 = 1000
        var isUncertain = false
        var told: [Int32] = []
    }

    private static let cases: [Case] = [
        Case(title: "success", code: 0), Case(title: "a full pool", code: -28), Case(title: "a quota", code: -122),
        Case(title: "a demoted image with a journal", code: -1), Case(title: "no leave to write", code: -13),
        Case(title: "a request that OSDs do not take", code: -22),
        Case(
            title: "a full pool, in a write so old that a part may have timed out", code: -28, age: 29_000,
            isUncertain: true, told: [110]),
        Case(title: "a full pool, just before", code: -122, age: 28_999),
        Case(title: "a time-out", code: -110, isUncertain: true, told: [110]),
        Case(title: "an error that does not tell", code: -5, isUncertain: true, told: [5]),
        Case(title: "no lock", code: -30, told: [30]), Case(title: "blocklisted", code: -108, told: [108]),
        Case(title: "an impossible code", code: .min, isUncertain: true, told: [.max]),
    ]

    @Test("a refusal is an end, a time-out is none", arguments: cases.indices)
    func ends(index: Int) {
        let each = Self.cases[index]
        let reports = Reports()
        let writes = WriteGauges(reports.handler, timeoutSeconds: 30, now: 0)
        writes.turn(now: 500_000)
        writes.current.pointee.started += 1
        writes.current.pointee.finish(each.code, now: 500_000 + each.age)
        #expect(writes.isUncertain == each.isUncertain, "\(each.title)")
        #expect(reports.told == each.told, "\(each.title)")
        #expect(writes.started == 1 && writes.ended == 1)
        writes.free()
    }

    @Test("turns go on under load, and a write that hangs holds up its own gauge only")
    func turns() {
        let reports = Reports()
        let writes = WriteGauges(reports.handler, timeoutSeconds: 30, now: 0)
        let first = writes.current
        first.pointee.started += 2
        writes.turn(now: 10_000)
        let second = writes.current
        #expect(first != second)
        second.pointee.started += 1
        writes.turn(now: 20_000)
        #expect(writes.current == second, "writes of the first turn are under way")
        first.pointee.finish(-28, now: 28_000)
        #expect(!writes.isUncertain)
        second.pointee.finish(-28, now: 38_000)
        #expect(!writes.isUncertain, "started after 10 s")
        first.pointee.finish(-28, now: 30_000)
        #expect(writes.isUncertain && reports.told == [110])
        writes.turn(now: 40_000)
        #expect(writes.current == first && writes.started == 3 && writes.ended == 3)
        writes.free()
    }

    @Test("where the time-out is not known no refusal counts as an end")
    func unknownTimeout() {
        let reports = Reports()
        let writes = WriteGauges(reports.handler, timeoutSeconds: nil, now: 0)
        writes.current.pointee.started += 1
        writes.current.pointee.finish(-28, now: 0)
        #expect(writes.isUncertain)
        writes.free()
    }

    @Test(
        "an owner whose write was refused gives its lock away, and back when nothing is written",
        arguments: [28, 122])
    func machine(code: Int32) {
        var machine = OwnershipMachine()
        _ = machine.handle(.claim, now: 0)
        _ = machine.handle(.foundOwner(.nobody), now: 0)
        _ = machine.handle(.acquired(0), now: 0)
        #expect(machine.handle(.writeFailed(code), now: 100) == [])
        #expect(!machine.isTainted)
        var resting = machine
        #expect(machine.handle(.peerAsks, now: 600) == [.closeGate, .drain])
        #expect(machine.handle(.drained(clean: true), now: 600) == [.release])
        #expect(resting.handle(.doubt, now: 600) == [.check])
        _ = resting.handle(.checked(.fine), now: 9_999)
        #expect(resting.handle(.timer, now: 10_000) == [.countWrites])
    }
}
