/// libFuzzer calls this for every input; the property is in Tests/ConfigurationTests/FuzzProperties.swift.
@c(LLVMFuzzerTestOneInput)
public func fuzzConfiguration(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    checkConfiguration(UnsafeRawBufferPointer(start: data, count: size))
    return 0
}
