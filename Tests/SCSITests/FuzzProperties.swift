// What must hold for every input, whoever makes it: libFuzzer (Tests/Fuzz) and the replay of its corpus beside this
// file. The fuzzer compiles it into one module with Sources/SCSI.
#if !FUZZING
@testable import SCSI
#endif

/// The input is a CDB. Decoding returns, always, and what it returns is within the bounds of its type's promise.
func checkCDB(_ input: UnsafeRawBufferPointer) {
    let cdb = CDB(input)
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
}

/// A parameter list of any bytes, with any length in its CDB, is read within the bytes delivered.
///
/// Byte 0 picks the row of ``parameterLists``, bytes 1 and 2 are PARAMETER LIST LENGTH, and the rest is what was
/// delivered. It is copied, so that the address sanitizer sees the very end of it.
func checkParameterList(_ input: UnsafeRawBufferPointer) {
    guard let length = input.bigEndian(UInt16.self, at: 1), Int(input[0]) < parameterLists.count else { return }
    let delivered = [UInt8](input.dropFirst(3))
    delivered.withUnsafeBytes { parameterLists[Int(input[0])]($0, length) }
}

/// Every parameter list, with what must hold for the bytes delivered and the length said. A new one comes last: the inputs
/// that are kept name these by number.
private let parameterLists: [@Sendable (UnsafeRawBufferPointer, UInt16) -> Void] = [
    unmap,
    { modeSelect($0, ModeSelect(form: .six, parameterListLength: $1 & 0xFF)) },
    { modeSelect($0, ModeSelect(form: .ten, parameterListLength: $1)) },
    formatUnit,
    sanitizeOverwrite,
    { copy($0, ExtendedCopy(form: .one, parameterListLength: UInt32($1))) },
    { copy($0, ExtendedCopy(form: .four, parameterListLength: UInt32($1))) },
    setTargetPortGroups,
]

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
        let threshold = ModePages.SoftThreshold(resource: .used, blocks: 1 << 30, exponent: 11)
        let pages = ModePages(
            writeCacheEnabled: true, dpoFUA: true, writeProtected: true, softThreshold: threshold)
        _ = try? pages.response(to: command, capacity: .fuzzed)
    case .inquiry(let command):
        let pages = VitalProductData(
            identity: UnitIdentity(serial: "0123", configString: "mem/1"), limits: limits, provisioning: .none)
        _ = command.vitalProductPage.map { pages.page($0) }
    case .requestSense(let command):
        precondition(command.response().count <= 255)
    case .reportTargetPortGroups(let command):
        precondition(command.response([]).count == (command.extendedHeader ? 8 : 4))
    case .modeSelect(let command):
        precondition(command.parameterListLength < 512)
    case .verify(let command), .writeAndVerify(let command):
        check(command.range)
        precondition(command.dataBlocks <= UInt64(command.blocks))
    case .orWrite(let access):
        check(access.range)
    case .writeAtomic(let access):
        check(access.range)
        var atomic = limits
        atomic.atomic = BlockLimits.Atomic(maximumBlocks: 256, alignmentBlocks: 8, granularityBlocks: 8)
        if access.atomicRefusal(limits: atomic) == nil { precondition(access.blocks <= 256) }
    case .prefetch(let command):
        check(command.range(in: .fuzzed))
    case .readDefectData(let command):
        precondition(command.response.count <= 8)
    case .getLBAStatus(let command):
        precondition(1...GetLBAStatus.maximumDescriptors ~= command.wantedDescriptors)
        let whole = BlockRange(lba: command.lba, blocks: .max)
        let runs = [GetLBAStatus.Descriptor(range: whole, isMapped: true)]
        precondition(command.response(runs).count <= 8 + 16 * GetLBAStatus.maximumDescriptors)
    case .logSense(let command):
        let space = ProvisioningSpace(availableBlocks: .max, usedBlocks: .max, thresholdExponent: 255)
        if let data = try? command.response(space: space) { precondition(data.count <= 28) }
    case .reportSupportedOperationCodes(let command):
        if let data = try? command.response(.all) { precondition(data.count >= 4) }
    case .reportSupportedTaskManagementFunctions(let command):
        precondition(command.response.count == (command.extended ? 16 : 4))
    case .testUnitReady, .readCapacity10, .readCapacity16, .unmap, .startStopUnit, .sanitize, .formatUnit,
        .sendDiagnostic, .preventAllowMediumRemoval, .extendedCopy, .receiveCopyResults, .setTargetPortGroups:
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

@Sendable private func unmap(_ bytes: UnsafeRawBufferPointer, _ length: UInt16) {
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
    let opened = ModePages(
        writeCacheEnabled: true, writeCacheChangeable: true, dpoFUA: true, writeProtected: false,
        softThreshold: ModePages.SoftThreshold(resource: .available, blocks: 1 << 20, exponent: 11))
    var pages = opened
    if let refusal = pages.select(command, delivered: bytes, capacity: .fuzzed) {
        precondition(refusal.key == .illegalRequest && pages == opened)
    } else {
        precondition(command.parameterListLength == 0 || Int(command.parameterListLength) <= bytes.count)
    }
}

/// The length, which the CDB has not, picks the form of the list.
@Sendable private func formatUnit(_ bytes: UnsafeRawBufferPointer, _ length: UInt16) {
    let command = FormatUnit(longList: length & 1 != 0, hasParameterList: length & 2 == 0)
    guard let parameters = try? FormatParameters(bytes, for: command, blockSize: 512) else { return }
    precondition(parameters.pattern.map { 1...512 ~= $0.count } ?? true)
    withBlock { parameters.fill($0) }
}

@Sendable private func sanitizeOverwrite(_ bytes: UnsafeRawBufferPointer, _ length: UInt16) {
    let command = Sanitize(action: .overwrite, parameterListLength: length)
    guard let parameters = try? OverwriteParameters(bytes, for: command, blockSize: 512) else { return }
    precondition(1...31 ~= parameters.passes && 1...512 ~= parameters.pattern.count)
    for pass in 0..<2 { withBlock { parameters.fill($0, inverted: parameters.isInverted(pass: pass)) } }
}

private func copy(_ bytes: UnsafeRawBufferPointer, _ command: ExtendedCopy) {
    let limits = CopyLimits(maximumUnits: 4, maximumSegments: 4)
    guard let list = try? CopyList(bytes, for: command, limits: limits) else { return }
    precondition(command.parameterListLength == 0 || Int(command.parameterListLength) <= bytes.count)
    precondition(list.units.count <= 4 && list.segments.count <= 4)
    for segment in list.segments {
        precondition(list.units.indices.contains(segment.source))
        precondition(list.units.indices.contains(segment.destination))
        check(BlockRange(lba: segment.sourceLBA, blocks: UInt64(segment.blocks)))
        check(BlockRange(lba: segment.destinationLBA, blocks: UInt64(segment.blocks)))
    }
}

@Sendable private func setTargetPortGroups(_ bytes: UnsafeRawBufferPointer, _ length: UInt16) {
    let command = SetTargetPortGroups(parameterListLength: UInt32(length))
    guard let list = try? TargetPortGroupRequests(bytes, for: command) else { return }
    precondition(length == 0 ? list.requests.isEmpty : list.requests.count == (Int(length) - 4) / 4)
    for request in list.requests {
        precondition(request.state <= 0xF && Int(request.offset) + 4 <= bytes.count)
    }
}

private func withBlock(_ body: (UnsafeMutableRawBufferPointer) -> Void) {
    let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 512, alignment: 8)
    body(block)
    block.deallocate()
}
