import Benchmark
import SCSI
import SingleUnit
import TCMUTestKit

// The steps of the data path one by one, in wall clock: for a person at work on one of them. Whether anything became
// dearer is told by `path-counts`, which counts instructions; here only what is far off is found.

/// One sample is a thousand commands, of which the time of one is shown.
private var perThousand: Benchmark.Configuration {
    Benchmark.Configuration(
        metrics: [.wallClock], warmupIterations: 20, scalingFactor: .kilo, maxDuration: .seconds(2),
        maxIterations: 20_000)
}

let benchmarks: @Sendable () -> Void = {
    Benchmark.defaultConfiguration = perThousand
    decoding()
    sense()
    ring()
    unit()
}

private func decoding() {
    let blocks: [(name: String, bytes: [UInt8])] = [
        ("READ(10)", InitiatorCDB.read10(0x0102_0304, 8)),
        ("READ(16)", InitiatorCDB.read16(0x01_0203_0405, 8)),
        ("WRITE(16)", InitiatorCDB.write16(0x01_0203_0405, 8, flags: 0x08)),
        ("INQUIRY", InitiatorCDB.inquiry(page: 0x83)),
    ]
    for block in blocks {
        Benchmark("CDB decode: \(block.name)") { benchmark in
            // The bytes as they lie in the ring, padded to eight.
            let bytes = block.bytes + [UInt8](repeating: 0, count: 16 - block.bytes.count)
            bytes.withUnsafeBytes { bytes in
                for _ in benchmark.scaledIterations {
                    blackHole(CommandDecoder.decode(identity(CDB(bytes))))
                }
            }
        }
    }
}

private func sense() {
    let refusal = Sense.invalidFieldInCDB(byte: 7, bit: 4)
    Benchmark("Sense: fixed format") { benchmark in
        withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { buffer in
            for _ in benchmark.scaledIterations { blackHole(identity(refusal).fixed(into: buffer)) }
        }
    }
    Benchmark("Sense: descriptor format") { benchmark in
        withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { buffer in
            for _ in benchmark.scaledIterations { blackHole(identity(refusal).descriptor(into: buffer)) }
        }
    }
}

private func ring() {
    Benchmark("Ring: 32 commands taken, then completed and published") { benchmark, ring in
        let count = benchmark.scaledIterations.count
        ring.kernel.post(InitiatorCDB.read10(0x1000, 8), count: count, inBytes: 4096)
        benchmark.startMeasurement()
        ring.serve(batch: 32)
        benchmark.stopMeasurement()
        ring.kernel.reap(count: count)
    } setup: {
        try ServedRing()
    }
}

private func unit() {
    Benchmark("Unit: READ, the backend answers at once") { benchmark, unit in
        let count = benchmark.scaledIterations.count
        unit.kernel.post(InitiatorCDB.read10(0x1000, 8), count: count, inBytes: 4096)
        benchmark.startMeasurement()
        unit.serve()
        benchmark.stopMeasurement()
        unit.kernel.reap(count: count)
    } setup: {
        try SingleUnit.answeringAtOnce()
    }

    Benchmark("Unit: WRITE, the backend answers later") { benchmark, unit in
        let count = benchmark.scaledIterations.count
        unit.kernel.post(InitiatorCDB.write10(0x1000, 8), count: count, outBytes: 4096)
        benchmark.startMeasurement()
        unit.serve()
        unit.answerHeld()
        unit.collect()
        benchmark.stopMeasurement()
        unit.kernel.reap(count: count)
    } setup: {
        try SingleUnit.answeringLater()
    }
}
