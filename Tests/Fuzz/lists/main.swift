/// libFuzzer calls this for every input; the property is in Tests/SCSITests/FuzzProperties.swift.
@c(LLVMFuzzerTestOneInput)
public func fuzzLists(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    checkParameterList(UnsafeRawBufferPointer(start: data, count: size))
    return 0
}
