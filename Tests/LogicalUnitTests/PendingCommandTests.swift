import Reactor
import Testing

@testable import LogicalUnit

/// A table of four slots with one command, for the processes below. Nothing is captured: each makes its own.
private func withTable(_ body: (inout SlotTable, consuming PendingCommand) -> Void) {
    let inbox = CompletionInbox(wakeDescriptor: -1)
    guard var table = SlotTable(capacity: 4, unit: 0, inbox: inbox), let command = table.acquire() else { return }
    body(&table, command)
}

/// The traps behind "every command is answered exactly once". Each test looks for the trap's own words, so that a
/// process that ends for another reason does not count.
@Suite("A command is answered exactly once, or the process stops")
struct PendingCommandTests {
    @Test("Parked, resumed and answered: the process lives")
    func answered() async {
        await #expect(processExitsWith: .success) {
            withTable { table, command in
                let slot = command.slot
                table.park(command, as: .inFlight)
                table.release(table.resume(slot, from: .inFlight))
                precondition(table.inUse == 0)
            }
        }
    }

    @Test("Dropping a command stops the process")
    func dropped() async throws {
        let ended = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            withTable { _, command in _ = consume command }
        }
        try expect(ended, says: "the command in slot 0 was dropped without an answer")
    }

    @Test("An answer that comes twice stops the process")
    func resumedTwice() async throws {
        let ended = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            withTable { table, command in
                let slot = command.slot
                table.park(command, as: .inFlight)
                let first = table.resume(slot, from: .inFlight)
                let second = table.resume(slot, from: .inFlight)
                table.release(first)
                table.release(second)
            }
        }
        try expect(ended, says: "slot 0 is resumed in state held, expected inFlight")
    }

    @Test("An answer for a command that is over stops the process")
    func resumedAfterwards() async throws {
        let ended = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            withTable { table, command in
                let slot = command.slot
                table.release(command)
                table.release(table.resume(slot, from: .inFlight))
            }
        }
        try expect(ended, says: "slot 0 is resumed in state free, expected inFlight")
    }

    @Test("A unit that ends with a command in flight stops the process")
    func endedEarly() async throws {
        let ended = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            withTable { table, command in table.park(command, as: .inFlight) }
        }
        try expect(ended, says: "1 commands are in flight on a unit that ends")
    }

    private func expect(_ ended: ExitTest.Result?, says words: String) throws {
        let text = String(decoding: try #require(ended).standardErrorContent, as: UTF8.self)
        #expect(text.contains(words), "it said: \(text)")
    }
}
