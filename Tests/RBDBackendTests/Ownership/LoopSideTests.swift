import BlockBackend
import Testing

@testable import RBDBackend

/// What the loop says of whether the lock is needed.
@Suite("The lock is given back at rest only if nothing needs it")
struct LoopSideTests {
    enum Step: Sendable { case beginWrite, endWrite, beginFlush, endFlush, read, beginNeed, endNeed, turn }

    struct Row: Sendable {
        let title: String
        let before: [Step]
        /// Since it was counted.
        var since: [Step] = []
        let rests: Bool
    }

    private static let rows: [Row] = [
        Row(title: "nothing was done", before: [], rests: true),
        Row(title: "a write has ended", before: [.beginWrite, .endWrite], rests: true),
        Row(title: "a write is under way", before: [.beginWrite], rests: false),
        Row(title: "a write is under way since a turn ago", before: [.beginWrite, .turn], rests: false),
        Row(title: "a write has come and gone since", before: [], since: [.beginWrite, .endWrite], rests: false),
        Row(title: "a flush is under way", before: [.beginFlush], rests: false),
        Row(title: "a flush was", before: [.beginFlush, .endFlush], rests: true),
        Row(
            title: "a flush has come and gone since: nothing is written", before: [],
            since: [.beginFlush, .endFlush], rests: true),
        Row(
            title: "a read of an image with a journal has come since", before: [.read], since: [.read], rests: false
        ),
        Row(title: "a read was", before: [.read], rests: true),
        Row(
            title: "a long command is between two steps", before: [.beginNeed, .beginWrite, .endWrite], rests: false
        ),
        Row(title: "one of two has ended", before: [.beginNeed, .beginNeed, .endNeed], rests: false),
        Row(title: "a long command has begun since", before: [], since: [.beginNeed], rests: false),
        Row(title: "a long command has ended", before: [.beginNeed, .endNeed], rests: true),
    ]

    @Test("whatever is under way, and whatever came since it was counted", arguments: rows.indices)
    func rest(index: Int) throws {
        let row = Self.rows[index]
        let writes = WriteGauges(WriteFailureHandler { _ in }, timeoutSeconds: 30, now: 0)
        // Never used.
        let handle = try #require(OpaquePointer(bitPattern: 16))
        var side = LoopSide(
            handle: UnsafeMutableRawPointer(handle), writes: writes, surveys: SurveyThread { _ in .success },
            access: .writing, readsNeedLock: true, hasVolatileCache: false, exporting: 512, of: 512)
        for step in row.before { take(step, &side) }
        let uses = side.uses
        for step in row.since { take(step, &side) }
        #expect(side.rest(after: uses) == row.rests, "\(row.title)")
        #expect((side.access == .reading) == row.rests, "\(row.title): the gate closes in the same step")
        writes.free()
    }

    private func take(_ step: Step, _ side: inout LoopSide) {
        switch step {
        case .beginWrite: side.gauge.pointee.started += 1
        case .endWrite: side.gauge.pointee.finish(0)
        case .beginFlush: side.gauge.pointee.flushesStarted += 1
        case .endFlush: side.gauge.pointee.finishFlush()
        case .read: side.reads += 1
        case .beginNeed: side.needs += 1
        case .endNeed: side.needs -= 1
        case .turn: side.turnGauge()
        }
    }
}
