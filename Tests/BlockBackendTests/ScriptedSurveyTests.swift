import BlockBackend
import Reactor
import TCMUTestKit
import Testing

/// What engine tests rely on.
@Suite("Scripted prefetches and surveys")
struct ScriptedSurveyTests {
    private let extent = ByteExtent(offset: 512, length: 1024)

    private func withTicket(_ body: (IOTicket, CompletionInbox) throws -> Void) throws {
        let wake = try WakeSignal()
        let inbox = CompletionInbox(wakeDescriptor: wake.descriptor)
        let node = UnsafeMutablePointer<CompletionNode>.allocate(capacity: 1)
        node.initialize(to: CompletionNode(unit: 0, slot: 0, inbox: inbox))
        defer {
            node.deinitialize(count: 1)
            node.deallocate()
            inbox.destroy()
        }
        try body(IOTicket(node), inbox)
    }

    private func result(_ submission: Submission) -> IOResult? {
        if case .done(let result) = submission { result } else { nil }
    }

    @Test("are written down and change nothing") func recorded() throws {
        try withTicket { ticket, _ in
            let script = BackendScript(size: 4096)
            script.content = [UInt8](repeating: 5, count: 4096)
            var backend = ScriptedBackend(script)
            #expect(result(backend.prefetch(extent, ticket: ticket)) == .success)
            let allocation = Survey(.allocation(extent, limit: 3))
            #expect(result(backend.survey(allocation, ticket: ticket)) == .success)
            #expect(result(backend.survey(Survey(.space), ticket: ticket)) == .success)
            #expect(script.operations.map(\.kind) == [.prefetch, .survey, .survey])
            #expect(script.operations.map(\.extent) == [extent, extent, ByteExtent(offset: 0, length: 0)])
            #expect(script.content == [UInt8](repeating: 5, count: 4096))
            #expect(allocation.runs == [AllocationRun(extent: extent, isMapped: true)], "mapped unless scripted")
            backend.close()
        }
    }

    @Test("are answered as scripted, when released and not before") func held() throws {
        try withTicket { ticket, inbox in
            let script = BackendScript(size: 4096)
            let runs = [AllocationRun(extent: ByteExtent(offset: 512, length: 512), isMapped: false)]
            script.answerSurveys(BackendScript.SurveyAnswer(runs: runs, availableBytes: 7, usedBytes: 9))
            script.answer(.held)
            var backend = ScriptedBackend(script)
            for question in [Survey.Question.allocation(extent, limit: 1), .space] {
                let survey = Survey(question)
                #expect(result(backend.survey(survey, ticket: ticket)) == nil)
                #expect(inbox.takeAll() == nil)
                #expect(survey.runs.isEmpty && survey.availableBytes == nil && survey.usedBytes == nil)
                #expect(script.release() == 1)
                #expect(inbox.takeAll()?.pointee.result == 0)
                if question == .space {
                    #expect(survey.availableBytes == 7 && survey.usedBytes == 9)
                } else {
                    #expect(survey.runs == runs)
                }
            }
            backend.close()
        }
    }

    @Test("fail as scripted", arguments: [BackendScript.Kind.prefetch, .survey]) func failing(
        kind: BackendScript.Kind
    ) throws {
        try withTicket { ticket, _ in
            let script = BackendScript(size: 4096)
            script.fail(kind, with: 5)
            var backend = ScriptedBackend(script)
            let survey = Survey(.space)
            let found =
                kind == .survey
                ? backend.survey(survey, ticket: ticket) : backend.prefetch(extent, ticket: ticket)
            #expect(result(found) == IOResult(code: -5))
            backend.close()
        }
    }
}
