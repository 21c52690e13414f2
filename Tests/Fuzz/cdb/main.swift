// The property: decode returns, always, and what it returns is within the bounds of its type's promise.
// Compiled into one module with Sources/SCSI; see Tests/Fuzz/fuzz.sh.

/// libFuzzer calls this for every input: the input is the CDB.
@c(LLVMFuzzerTestOneInput)
public func fuzzCDB(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let cdb = CDB(UnsafeRawBufferPointer(start: data, count: size))
    precondition(cdb.count <= CDB.capacity && cdb.length <= cdb.count)
    for index in -1...CDB.capacity {
        _ = (cdb[index], cdb.u16(at: index), cdb.u24(at: index), cdb.u32(at: index), cdb.u64(at: index))
    }
    _ = (cdb.control, cdb.serviceAction, cdb.description)

    switch CommandDecoder.decode(cdb) {
    case .refused(let sense):
        precondition(sense.key == .illegalRequest)
        precondition(sense.fixedBytes.count == Sense.fixedLength)
        precondition(sense.descriptorBytes.count <= Sense.longestDescriptorLength)
    case .command(let command):
        precondition(!cdb.isTruncated)
        exercise(command)
    }
    return 0
}

/// Goes on as far as a unit would without data: ranges, limits, answers.
private func exercise(_ command: Command) {
    let limits = BlockLimits(maximumTransferBlocks: 1024, optimalTransferBlocks: 1024)
    switch command {
    case .read(let access), .write(let access):
        check(access.range)
    case .synchronizeCache(let command):
        check(command.range(in: .fuzzed))
    case .writeSame(let command):
        precondition(command.blocks > 0)
        _ = command.refusal(limits: limits, provisioning: .none)
        check(command.range)
    case .compareAndWrite(let command):
        _ = command.refusal(limits: limits)
        check(command.range)
    case .modeSense(let command):
        let pages = ModePages(writeCacheEnabled: true, dpoFUA: true, writeProtected: true)
        _ = try? pages.response(to: command)
    case .inquiry(let command):
        let pages = VitalProductData(
            identity: UnitIdentity(serial: "0123", configString: "mem/1"), limits: limits, provisioning: .none)
        _ = command.vitalProductPage.map { pages.page($0) }
    case .requestSense(let command):
        precondition(
            command.response().truncated(toAllocationLength: UInt32(command.allocationLength)).count <= 255)
    case .reportTargetPortGroups(let command):
        precondition(command.response([]).count == (command.extendedHeader ? 8 : 4))
    case .modeSelect(let command):
        precondition(command.parameterListLength < 512)
    case .testUnitReady, .readCapacity10, .readCapacity16, .unmap, .startStopUnit:
        break
    }
}

private func check(_ range: BlockRange) {
    guard let bytes = range.byteRange(in: .fuzzed) else { return }
    precondition(bytes.offset + bytes.length <= Capacity.fuzzed.blocks * UInt64(Capacity.fuzzed.blockSize))
}

extension Capacity {
    /// Large enough for a 16-byte command to hit and small enough for a 10-byte one to miss.
    fileprivate static let fuzzed = Capacity(blocks: 1 << 31, blockSize: 4096)
}
