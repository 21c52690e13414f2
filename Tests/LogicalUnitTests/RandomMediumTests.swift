import BlockBackend
import FileBackend
import Glibc
import LogicalUnit
import MemoryBackend
import TCMUTestKit
import Testing

@Suite("A random run against a plain array, byte for byte", .serialized)
struct RandomMediumTests {
    static let blocks = 131_072
    static let commands = 30_000

    @Test("On memory")
    func memory() async throws {
        try await run(MemoryBackend.open(size: UInt64(Self.blocks * 512)))
    }

    @Test("On a file, through io_uring")
    func file() async throws {
        let image = try TemporaryImage(size: Self.blocks * 512)
        let backend = try FileBackend.open(
            path: image.path, direct: false, expectedSize: UInt64(Self.blocks * 512), blockSize: 512)
        try await run(backend, commands: Self.commands / 3)
    }

    @Test("On a backend without any help, answering late and in random order from two threads")
    func scripted() async throws {
        var capabilities = BackendCapabilities()
        // No native WRITE SAME, no native COMPARE AND WRITE, a volatile cache without FUA.
        capabilities.volatileCache = true
        capabilities.discard = DiscardCapability(granularity: 512, maximumBytes: 1 << 20, readsZeros: true)
        let script = BackendScript(size: UInt64(Self.blocks * 512), capabilities: capabilities)
        script.answer(.held)
        let threads = ReleasingThreads(script, count: 2, seed: 1)
        try await run(ScriptedBackend(script), commands: Self.commands / 3)
        threads.stop()
    }

    private func run<Backend: BlockBackend & ~Copyable>(
        _ backend: consuming Backend, commands: Int = RandomMediumTests.commands
    ) async throws {
        var random = SeededRandom.replayable()
        print("random run on \(Backend.self): \(random)")
        // Thousands in flight: the ring holds about 8000 commands, the data area most of their blocks.
        var geometry = RingGeometry(pages: 256, dataBlocks: 16_384)
        geometry.ringBytes -= 8 * Int.random(in: 0..<100, using: &random)
        let rig = try await UnitRig.start(backend, geometry: geometry)
        var model = MediumModel(blocks: Self.blocks)
        var sent = 0
        var finished = 0
        var most = 0
        while finished < commands {
            // Between one command and some thousands, so that both a sleeping and a busy loop are met.
            let target = random.chance(20) ? 1 : Int.random(in: 1...2500, using: &random)
            while sent < commands, rig.kernel.inFlight < target, let made = model.makeCommand(&random) {
                let id = rig.kernel.post(cdb: made.cdb, dataOut: made.dataOut, dataInLength: made.dataInLength)
                guard let id else { break }
                model.start(made, as: id)
                sent += 1
            }
            most = max(most, rig.kernel.inFlight)
            rig.kernel.notify()
            guard rig.kernel.inFlight > 0 else { continue }
            let batch = rig.kernel.reapCompletions(count: random.chance(50) ? 1 : rig.kernel.inFlight)
            try #require(!batch.isEmpty, "silence after \(finished) commands, \(random)")
            for done in batch {
                let complaint = model.finish(done)
                try #require(complaint == nil, "\(complaint ?? "") (command \(finished), \(random))")
                finished += 1
            }
        }
        #expect(rig.kernel.violations.isEmpty, "\(random)")
        #expect(most > 1000, "only \(most) commands were ever in flight at once, \(random)")
        #expect(model.refused < commands / 5, "\(model.refused) commands were refused, \(random)")
        try compareWhole(rig, model, random)
        await rig.stop()
    }

    /// Reads the whole medium back.
    private func compareWhole<Backend: BlockBackend & ~Copyable>(
        _ rig: UnitRig<Backend>, _ model: MediumModel, _ random: SeededRandom
    ) throws {
        let step = 2048
        for start in stride(from: 0, to: model.blocks, by: step) {
            let cdb = InitiatorCDB.read16(UInt64(start), UInt32(step))
            let done = try #require(rig.perform(cdb: cdb, dataInLength: step * 512))
            let expected = model.content[start * 512..<(start + step) * 512]
            try #require(done.dataIn == Array(expected), "blocks from \(start) on differ, \(random)")
        }
    }
}
