import Glibc
import SystemPackage
import TCMUTestKit
import Testing

/// The inputs kept for the fuzzer's target `unit`, through the very properties of that target. One that does not hold stops
/// the process, as it does under the fuzzer.
@Suite("The fuzzer's corpus for a whole unit")
struct UnitFuzzCorpusTests {
    @Test("A seed ends as it is meant to", arguments: UnitSeed.all)
    func seeds(_ seed: UnitSeed) {
        let answers = UnitScenarioRunner().check(seed.scenario)
        #expect(answers.map(\.status) == seed.statuses, "sense: \(answers.map(\.sense))")
    }

    @Test("Every seed is among the inputs, as it is now", arguments: UnitSeed.all)
    func files(_ seed: UnitSeed) throws {
        let encoded = seed.scenario.encoded
        #expect(encoded.withUnsafeBytes { UnitScenario(decoding: $0) } == seed.scenario)
        if getenv("TCMU_WRITE_SEEDS") != nil {
            let file = try #require(fopen(FuzzCorpus.folder("unit").appending(seed.name).string, "w"))
            defer { fclose(file) }
            fwrite(encoded, 1, encoded.count, file)
        }
        let kept = try FuzzCorpus.inputs("unit").first { $0.name == seed.name }
        #expect(kept?.bytes == encoded, "write it anew with TCMU_WRITE_SEEDS=1 in the environment")
    }

    @Test("Inputs: whole, and cut in the middle")
    func inputs() throws {
        let inputs = try FuzzCorpus.inputs("unit")
        #expect(inputs.count >= UnitSeed.all.count)
        let runner = UnitScenarioRunner()
        for input in inputs {
            input.bytes.withUnsafeBytes(runner.check)
            input.bytes.prefix(input.bytes.count / 2).withUnsafeBytes(runner.check)
        }
    }

    @Test("Any bytes are a scenario, and its encoding the same scenario")
    func coding() {
        var random = SeededRandom.replayable()
        for _ in 0..<500 {
            let bytes = random.bytes(Int.random(in: 0...200, using: &random))
            let scenario = bytes.withUnsafeBytes { UnitScenario(decoding: $0) }
            let again = scenario.encoded.withUnsafeBytes { UnitScenario(decoding: $0) }
            #expect(again == scenario, "\(random)")
        }
    }
}
