import BlockBackend
import Glibc
import Reactor
import TCMUTestKit
import Testing

@testable import LogicalUnit

/// One after the other: each has 16 MiB, and all suites run beside one another.
@Suite("Steps of long commands that meet a right to write which is held back", .serialized)
struct AwaitedStepTests {
    typealias Row = LongCommandRow

    /// One of each command, and the copy that must not be repeated.
    private static let rows =
        LongCommand.allCases.compactMap { Row.rows(of: $0).first } + Row.rows(of: .extendedCopy).suffix(1)

    /// What becomes of the right, or of the command, while a step waits.
    enum Fate: CaseIterable, Sendable {
        /// It was held back, and is the same.
        case givenBack
        /// Another gateway has had it.
        case givenAnew
        /// It does not come.
        case late
        /// The backend says that it will not come.
        case refused
        case aborted
        case stopped
    }

    private func expected(_ row: Row, _ fate: Fate) -> Row.End {
        switch fate {
        case .givenBack: .goesOn
        case .givenAnew: row.end(after: .rightLost)
        case .late, .refused:
            [.verify, .writeAndVerify].contains(row.command) ? .status(0x08) : row.end(after: .rightLost)
        case .aborted: row.end(after: .aborted)
        case .stopped: row.end(after: .stopping)
        }
    }

    @Test(
        "It waits, and goes on where the right is the same; what ends it else is what ends it between two steps",
        arguments: rows, Fate.allCases)
    func waits(_ row: Row, _ fate: Fate) async throws {
        // A busy machine may hold this up for longer than half a second.
        let (rig, script) = try await LongCommandTests.start(
            row, rightPatience: fate == .late ? Limits.rightPatience : 600_000)
        let unit: any ControlledUnit = rig.unit
        script.answer(.held)
        let id = try rig.send(row.cdb, dataOut: row.dataOut)
        for _ in 0..<2 {
            #expect(script.waitForHeld(1))
            script.release()
        }
        #expect(script.waitForHeld(1))
        script.ownership.readsNeedRight = true
        script.ownership.mayWrite = false
        script.ownership.isAwaited = true
        script.answer(.immediate)
        script.release()
        try rig.passBy()
        if fate != .late { #expect(rig.kernel.inFlight == 1, "it waits") }
        var end: RingCompletion?
        switch fate {
        case .givenBack: await rig.loop.run(unit) { script.ownership.mayWrite = true }
        case .givenAnew:
            await rig.loop.run(unit) {
                script.ownership.generation += 1
                script.ownership.mayWrite = true
            }
        case .late: break
        case .refused: await rig.loop.run(unit) { script.ownership.isAwaited = false }
        case .aborted:
            #expect(rig.kernel.postTaskManagement(type: 1, ids: [id]))
            rig.kernel.notify()
            end = rig.ends(1)[id]
            // An erasure has its answer, and goes on.
            if row.command == .erasure { await rig.loop.run(unit) { script.ownership.mayWrite = true } }
        case .stopped: await rig.loop.run(unit) { unit.stopTaking() }
        }
        if end == nil { end = rig.ends(1)[id] }
        #expect(await rig.waitUntilIdle())
        switch expected(row, fate) {
        case .goesOn: #expect(end?.status == 0)
        case .status(let status): #expect(end?.status == status)
        case .codes(let codes): #expect(end?.codes == codes)
        case .nothing: Issue.record("the ring is there")
        }
        if fate == .givenBack { #expect(script.content == (try await undisturbed(row))) }
        #expect(script.ownership.needs == 0)
        await rig.stop()
    }

    private func undisturbed(_ row: Row) async throws -> [UInt8] {
        let (rig, script) = try await LongCommandTests.start(row)
        #expect(try rig.run(row.cdb, dataOut: row.dataOut).status == 0)
        await rig.stop()
        return script.content
    }

    @Test("What needs the right to its end says so, however long a step takes", arguments: rows)
    func needs(_ row: Row) async throws {
        let (rig, script) = try await LongCommandTests.start(row)
        script.answer(.held)
        let id = try rig.send(row.cdb, dataOut: row.dataOut)
        #expect(script.waitForHeld(1))
        #expect(script.ownership.needs == (row.command == .verify ? 0 : 1))
        script.answer(.immediate)
        script.release()
        #expect(rig.ends(1)[id]?.status == 0)
        #expect(await rig.waitUntilIdle())
        #expect(script.ownership.needs == 0)
        await rig.stop()
    }
}
