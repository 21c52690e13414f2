/// libFuzzer calls this for every input; the property is in Tests/SCSITests/FuzzProperties.swift.
@c(LLVMFuzzerTestOneInput)
public func fuzzCDB(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    checkCDB(UnsafeRawBufferPointer(start: data, count: size))
    return 0
}
