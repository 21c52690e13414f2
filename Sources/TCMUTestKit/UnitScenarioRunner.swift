internal import BlockBackend
internal import Glibc
internal import LogicalUnit
internal import MemoryBackend
internal import Reactor
internal import TCMURing

/// Runs scenarios against a real logical unit, on one thread, and stops the process where a property does not hold.
///
/// The properties, for any input:
/// - Every command is answered once, with a status of SAM-5, and CHECK CONDITION with sense of SPC-4; task management
///   and entries of unknown operations do no harm. Once the backend has answered, the tail is at the head.
/// - Nothing outside of the commands' buffers is written: the data area around them holds a guard byte.
/// - Nothing outside of them is read, and no byte is handed out that was in the data area before: each scenario is run
///   twice, with different bytes in Data-In buffers and around all buffers, and must end in the same way.
/// - Blocks that no write command names keep what they hold.
///
/// The simulator is used again and again, since its making takes a thousand times longer than a short run.
public final class UnitScenarioRunner {
    private var kernels: [UInt16: RingSimulator] = [:]

    /// A runner without a simulator yet.
    public init() {}

    /// Runs what `input` says; see ``UnitScenario`` for what its bytes mean.
    public func check(_ input: UnsafeRawBufferPointer) {
        check(UnitScenario(decoding: input))
    }

    /// Runs `scenario`.
    ///
    /// - Returns: what became of its commands, in the order of their answers.
    @discardableResult
    public func check(_ scenario: UnitScenario) -> [RingCompletion] {
        let outcome = run(scenario, marker: 0xA5)
        let twin = run(scenario, marker: 0x5A)
        for (one, other) in zip(outcome.completions, twin.completions) {
            require(isSame(one, other), "bytes that were there before came back: \(difference(one, other))")
        }
        require(outcome.completions.count == twin.completions.count, "two runs differ in the number of answers")
        require(
            areSame(outcome.medium ?? [], twin.medium ?? []),
            "bytes from outside of a command's data are on the medium")
        return outcome.completions
    }

    private func isSame(_ one: RingCompletion, _ other: RingCompletion) -> Bool {
        one.id == other.id && one.status == other.status && one.residual == other.residual
            && areSame(one.sense, other.sense) && areSame(one.dataIn, other.dataIn)
    }

    private func difference(_ one: RingCompletion, _ other: RingCompletion) -> String {
        let at = zip(one.dataIn, other.dataIn).enumerated().first { $0.element.0 != $0.element.1 }?.offset
        return "command \(one.id), status \(one.status) and \(other.status), Data-In from byte \(at ?? -1) on"
    }

    struct Outcome {
        var completions: [RingCompletion] = []
        /// What the medium holds in the end; nil where it could not be read.
        var medium: [UInt8]?
    }

    private func run(_ scenario: UnitScenario, marker: UInt8) -> Outcome {
        let kernel = kernel(for: scenario)
        kernel.resetRing()
        kernel.layGuard(marker ^ 0xC3)
        if scenario.backend > 0 {
            let script = BackendScript(
                size: UInt64(UnitScenario.mediumBytes),
                capabilities: UnitScenario.backends[Int(scenario.backend) - 1])
            script.content = UnitScenario.initialMedium
            // Less than any threshold.
            script.answerSurveys(BackendScript.SurveyAnswer(availableBytes: 1024, usedBytes: 23 * 1024))
            return run(scenario, marker, kernel, ScriptedBackend(script), script)
        }
        do {
            var memory = try MemoryBackend.open(size: UInt64(UnitScenario.mediumBytes))
            Self.fill(&memory)
            return run(scenario, marker, kernel, memory, nil)
        } catch {
            fatalError("no memory for a medium: \(error)")
        }
    }

    private func run<Backend: BlockBackend & ~Copyable>(
        _ scenario: UnitScenario, _ marker: UInt8, _ kernel: RingSimulator, _ backend: consuming Backend,
        _ script: BackendScript?
    ) -> Outcome {
        do {
            let ring = try CommandRing(kernel.ringDescriptors(), openLimit: 64)
            let events = ScenarioEvents()
            let unit = EngineUnit(profile: scenario.profile, backend: backend, ring: ring) { events.take($0) }
            let run = UnitScenarioRun(scenario, kernel, unit, events, script, marker: marker)
            return run.outcome()
        } catch {
            fatalError("no ring: \(error)")
        }
    }

    private func kernel(for scenario: UnitScenario) -> RingSimulator {
        let geometry = scenario.geometry
        if let kernel = kernels[geometry.flags] { return kernel }
        do {
            let kernel = try RingSimulator(geometry)
            kernels[geometry.flags] = kernel
            return kernel
        } catch {
            fatalError("no ring simulator: \(error)")
        }
    }

    /// Puts the first content on a medium, before a unit has it.
    private static func fill(_ memory: inout MemoryBackend) {
        let inbox = CompletionInbox(wakeDescriptor: -1)
        let node = UnsafeMutablePointer<CompletionNode>.allocate(capacity: 1)
        node.initialize(to: CompletionNode(unit: 0, slot: 0, inbox: inbox))
        var content = UnitScenario.initialMedium
        content.withUnsafeMutableBytes { bytes in
            var piece = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
            withUnsafeMutablePointer(to: &piece) { piece in
                // Memory answers at once, so the ticket is never used.
                _ = memory.write(
                    ByteExtent(offset: 0, length: UInt64(bytes.count)), from: SegmentList(base: piece, count: 1),
                    durable: false, ticket: IOTicket(node))
            }
        }
        node.deinitialize(count: 1)
        node.deallocate()
        inbox.destroy()
    }
}

/// Whether two arrays are equal; as fast under a fuzzer, whose instruments slow every comparison of single bytes.
func areSame(_ one: [UInt8], _ other: [UInt8], _ range: Range<Int>? = nil) -> Bool {
    let range = range ?? 0..<one.count
    guard one.count == other.count, !range.isEmpty else { return one.count == other.count }
    return one.withUnsafeBytes { one in
        other.withUnsafeBytes { other in
            guard let start = one.baseAddress, let otherStart = other.baseAddress else { return true }
            return memcmp(start + range.lowerBound, otherStart + range.lowerBound, range.count) == 0
        }
    }
}

/// Stops the process, also where it is optimised, with words that say why.
func require(_ holds: Bool, _ words: @autoclosure () -> String) {
    if !holds { fatalError(words()) }
}
