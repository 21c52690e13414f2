import TCMUTestKit

/// One simulator for the whole process: libFuzzer calls on one thread.
nonisolated(unsafe) private let runner = UnitScenarioRunner()

/// libFuzzer calls this for every input; what its bytes mean is said in Sources/TCMUTestKit/UnitScenario.swift, what must
/// hold in UnitScenarioRunner.swift.
@c(LLVMFuzzerTestOneInput)
public func fuzzUnit(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    runner.check(UnsafeRawBufferPointer(start: data, count: size))
    return 0
}
