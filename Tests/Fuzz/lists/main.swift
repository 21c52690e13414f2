// The property: a parameter list of any bytes, with any length in its CDB, is read within the bytes delivered.
// Compiled into one module with Sources/SCSI; see Tests/Fuzz/fuzz.sh.

/// libFuzzer calls this for every input: byte 0 picks the command, bytes 1 and 2 are PARAMETER LIST LENGTH, and the
/// rest is what was delivered. It is copied, so that the address sanitizer sees the very end of it.
@c(LLVMFuzzerTestOneInput)
public func fuzzLists(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: data, count: size)
    guard let length = input.bigEndian(UInt16.self, at: 1) else { return 0 }
    let delivered = [UInt8](input.dropFirst(3))
    delivered.withUnsafeBytes { bytes in
        switch input[0] & 3 {
        case 0: unmap(bytes, length)
        case 1: modeSelect(bytes, ModeSelect(form: .six, parameterListLength: length & 0xFF))
        default: modeSelect(bytes, ModeSelect(form: .ten, parameterListLength: length))
        }
    }
    return 0
}

private func unmap(_ bytes: UnsafeRawBufferPointer, _ length: UInt16) {
    let limits = BlockLimits.Unmap(maximumBlocks: 1 << 20, maximumDescriptors: 8, granularity: 8, alignment: 0)
    let capacity = Capacity(blocks: 1 << 31, blockSize: 512)
    let command = UnmapCommand(parameterListLength: length)
    guard let list = try? UnmapParameterList(bytes, for: command, limits: limits) else { return }
    precondition(list.count <= 8)
    let refusal = list.refusal(limits: limits, capacity: capacity)
    for index in -1...list.count {
        let range = list[index]
        precondition(refusal != nil || range.byteRange(in: capacity) != nil)
    }
}

private func modeSelect(_ bytes: UnsafeRawBufferPointer, _ command: ModeSelect) {
    let pages = ModePages(writeCacheEnabled: true, dpoFUA: true, writeProtected: false)
    if let refusal = pages.refusal(of: command, delivered: bytes) {
        precondition(refusal.key == .illegalRequest)
    } else {
        precondition(command.parameterListLength == 0 || Int(command.parameterListLength) <= bytes.count)
    }
}
