import BlockBackend
import Glibc
import Reactor
import Synchronization
import Testing

/// Nodes with an inbox, as a loop has them; counts what comes back.
private final class Desk {
    private let wake: WakeSignal
    private let inbox: CompletionInbox
    private let nodes: UnsafeMutablePointer<CompletionNode>
    private let count: Int

    init(count: Int) throws {
        wake = try WakeSignal()
        inbox = CompletionInbox(wakeDescriptor: wake.descriptor)
        self.count = count
        nodes = .allocate(capacity: count)
        for slot in 0..<count {
            (nodes + slot).initialize(to: CompletionNode(unit: 0, slot: UInt32(slot), inbox: inbox))
        }
    }

    deinit {
        nodes.deinitialize(count: count)
        nodes.deallocate()
        inbox.destroy()
    }

    func ticket(_ slot: Int) -> IOTicket { IOTicket(nodes + slot) }

    /// Slots and codes in the order of arrival, `expected` of them; fewer only after about 20 s.
    func collect(_ expected: Int) -> [(slot: Int, code: Int32)] {
        var found: [(slot: Int, code: Int32)] = []
        for _ in 0..<20_000 where found.count < expected {
            var node = inbox.takeAll()
            if node == nil { usleep(1000) }
            while let each = node {
                node = each.pointee.following
                found.append((Int(each.pointee.slot), each.pointee.result))
            }
        }
        return found
    }
}

/// Lets threads through when the test says so, and knows how many wait at a time.
private final class Gate: Sendable {
    private let isOpen = Atomic<Bool>(false)
    private let inside = Atomic<Int>(0)
    private let most = Atomic<Int>(0)

    func open() { isOpen.store(true, ordering: .releasing) }

    func pass() {
        let now = inside.add(1, ordering: .relaxed).newValue
        most.max(now, ordering: .relaxed)
        while !isOpen.load(ordering: .acquiring) { usleep(100) }
        inside.subtract(1, ordering: .relaxed)
    }

    var mostInside: Int { most.load(ordering: .relaxed) }
    var isOccupied: Bool { inside.load(ordering: .relaxed) > 0 }
}

@Suite("The thread that answers surveys")
struct SurveyThreadTests {
    private func isPending(_ submission: Submission) -> Bool {
        if case .pending = submission { true } else { false }
    }

    @Test("answers one survey at a time, in order, off the asker's thread") func order() throws {
        let desk = try Desk(count: 20)
        let gate = Gate()
        let asker = UInt(pthread_self())
        let thread = SurveyThread { survey in
            gate.pass()
            survey.usedBytes = UInt64(pthread_self()) == UInt64(asker) ? 1 : 2
            return .success
        }
        let surveys = (0..<20).map { _ in Survey(.space) }
        for slot in 0..<20 { #expect(isPending(thread.submit(surveys[slot], ticket: desk.ticket(slot)))) }
        gate.open()
        let found = desk.collect(20)
        thread.finish()
        #expect(found.map(\.slot) == Array(0..<20))
        #expect(found.allSatisfy { $0.code == 0 })
        #expect(surveys.allSatisfy { $0.usedBytes == 2 })
        #expect(gate.mostInside == 1)
    }

    @Test("a failure is the ticket's, and the next survey is answered all the same") func failure() throws {
        let desk = try Desk(count: 2)
        let thread = SurveyThread { survey in
            if case .space = survey.question { return IOResult(code: -EIO) }
            return .success
        }
        let extent = ByteExtent(offset: 0, length: 1)
        #expect(isPending(thread.submit(Survey(.space), ticket: desk.ticket(0))))
        #expect(isPending(thread.submit(Survey(.allocation(extent, limit: 1)), ticket: desk.ticket(1))))
        let found = desk.collect(2)
        thread.finish()
        #expect(found.map(\.code) == [-EIO, 0])
    }

    @Test("too many waiting surveys are answered EAGAIN at once, their tickets unused") func full() throws {
        let most = SurveyThread.maximumWaiting
        let desk = try Desk(count: most + 2)
        let gate = Gate()
        let thread = SurveyThread { _ in
            gate.pass()
            return .success
        }
        #expect(isPending(thread.submit(Survey(.space), ticket: desk.ticket(0))))
        // Only when the first is under way is the queue empty.
        while !gate.isOccupied { usleep(100) }
        for slot in 1...most { #expect(isPending(thread.submit(Survey(.space), ticket: desk.ticket(slot)))) }
        guard case .done(let refused) = thread.submit(Survey(.space), ticket: desk.ticket(most + 1)) else {
            Issue.record("one survey too many was taken")
            return
        }
        #expect(refused == IOResult(code: -EAGAIN))
        gate.open()
        #expect(desk.collect(most + 1).map(\.slot) == Array(0...most))
        thread.finish()
    }

    @Test("threads follow one another without one answer being lost, and none is left after finish")
    func again() throws {
        let desk = try Desk(count: 1)
        for round in 0..<50 {
            let thread = SurveyThread { survey in
                survey.availableBytes = 7
                return .success
            }
            // Each is asked when the thread before may or may not have ended.
            for _ in 0..<10 {
                let survey = Survey(.space)
                #expect(isPending(thread.submit(survey, ticket: desk.ticket(0))))
                #expect(desk.collect(1).count == 1, "round \(round)")
                #expect(survey.availableBytes == 7)
            }
            thread.finish()
            thread.finish()
        }
    }
}

@Suite("A survey's runs")
struct SurveyRunsTests {
    private func run(_ offset: UInt64, _ length: UInt64, _ isMapped: Bool) -> AllocationRun {
        AllocationRun(extent: ByteExtent(offset: offset, length: length), isMapped: isMapped)
    }

    @Test("of the same state become one, empty ones vanish, and the limit cuts") func append() {
        let survey = Survey(.allocation(ByteExtent(offset: 100, length: 1000), limit: 2))
        #expect(survey.append(from: 100, to: 200, isMapped: true, limit: 2))
        #expect(survey.append(from: 200, to: 200, isMapped: false, limit: 2))
        #expect(survey.append(from: 200, to: 300, isMapped: true, limit: 2))
        #expect(survey.append(from: 300, to: 301, isMapped: false, limit: 2))
        #expect(!survey.append(from: 301, to: 400, isMapped: true, limit: 2))
        #expect(survey.runs == [run(100, 200, true), run(300, 1, false)])
    }

    @Test("are at least one, whatever the limit", arguments: [Int.min, -1, 0, 1]) func limits(limit: Int) {
        let survey = Survey(.allocation(ByteExtent(offset: 0, length: 2), limit: limit))
        #expect(survey.append(from: 0, to: 1, isMapped: false, limit: limit))
        #expect(!survey.append(from: 1, to: 2, isMapped: true, limit: limit))
        #expect(survey.runs == [run(0, 1, false)])
    }
}
