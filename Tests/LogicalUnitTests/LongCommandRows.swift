import BlockBackend
import TCMUTestKit
import Testing

@testable import LogicalUnit

/// A long command at its largest for a small unit, on a backend that does it one way or the other.
struct LongCommandRow: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let command: LongCommand
    let cdb: [UInt8]
    var dataOut: [UInt8] = []
    let capabilities: BackendCapabilities
    /// All steps that it takes.
    let steps: Int

    /// 16 MiB: sixteen of the longest steps.
    static let size: UInt64 = 16 << 20
    static let blocks = UInt32(size / 512)
    static let block = [UInt8](repeating: 0x5A, count: 512)

    /// Everything native, in steps of 1 MiB.
    static var native: BackendCapabilities {
        var capabilities = Backends.capable(volatileCache: true)
        capabilities.discard = DiscardCapability(granularity: 512, maximumBytes: 8 << 20, readsZeros: true)
        capabilities.reportsSpace = false
        capabilities.steps = StepBytes(pattern: 1 << 20, zeroes: 1 << 20, discard: 1 << 20)
        return capabilities
    }

    static let all = LongCommand.allCases.flatMap(rows(of:))

    static func rows(of command: LongCommand) -> [LongCommandRow] {
        func row(
            _ title: String, _ cdb: [UInt8], _ dataOut: [UInt8] = [], _ capabilities: BackendCapabilities,
            _ steps: Int
        ) -> LongCommandRow {
            LongCommandRow(
                testDescription: title, command: command, cdb: cdb, dataOut: dataOut, capabilities: capabilities,
                steps: steps)
        }
        var withoutDiscard = native
        withoutDiscard.discard = nil
        switch command {
        case .verify:
            return [
                row("VERIFY", InitiatorCDB.verify16(0, blocks), [], .init(), 16),
                row("VERIFY behind a cache", InitiatorCDB.verify16(0, blocks), [], native, 17),
                row("VERIFY of one block", InitiatorCDB.verify16(0, blocks, byteCheck: 3), zero, .init(), 16),
            ]
        case .writeAndVerify:
            let data = [UInt8](repeating: 0x33, count: 3 << 20)
            return [
                row("WRITE AND VERIFY", InitiatorCDB.writeAndVerify16(0, 6144), data, .init(), 4),
                row("WRITE AND VERIFY behind a cache", InitiatorCDB.writeAndVerify16(0, 6144), data, native, 5),
            ]
        case .writeSame:
            let cdb = InitiatorCDB.writeSame16(0, blocks)
            return [
                row("WRITE SAME by the backend", cdb, block, native, 16),
                row("WRITE SAME in copies", cdb, block, .init(), 16),
                row("WRITE SAME of zeros", cdb, zero, withoutDiscard, 16),
                row("WRITE SAME of zeros, thin", cdb, zero, native, 16),
                row(
                    "WRITE SAME with UNMAP and NDOB", InitiatorCDB.writeSame16(0, blocks, flags: 0x09), [], native,
                    16),
            ]
        case .unmap:
            let list = InitiatorCDB.unmapParameters([(0, 8192), (8192, 8192), (16384, 16384)])
            return [row("UNMAP", InitiatorCDB.unmap(parameterListLength: UInt16(list.count)), list, native, 16)]
        case .erasure:
            let (cdb, list) = ErasureTests.overwrite([0x11], passes: 2)
            return [
                row("SANITIZE OVERWRITE", cdb, list, native, 34),
                row("SANITIZE BLOCK ERASE", InitiatorCDB.sanitizeBlockErase(), [], native, 17),
                row("FORMAT UNIT of zeros", InitiatorCDB.formatUnit(), [], withoutDiscard, 17),
            ]
        case .extendedCopy:
            let (cdb, list) = CopyTests.command([CopyRequestSegment(0, 16384, 16384)])
            let (over, overList) = CopyTests.command([CopyRequestSegment(0, 4096, 16384)])
            return [
                row("EXTENDED COPY", cdb, list, .init(), 16),
                row("EXTENDED COPY over itself", over, overList, .init(), 16),
            ]
        }
    }

    private static let zero = [UInt8](repeating: 0, count: 512)

    /// What it comes to; the codes are those of sense.
    enum End: Equatable {
        case goesOn
        case status(UInt8)
        case codes([UInt8])
        /// No ring is left to answer in.
        case nothing
    }

    /// What an interruption in the middle of it comes to.
    func end(after interruption: Interruption) -> End {
        let repeated: End = testDescription.hasSuffix("over itself") ? .codes([0x0A, 0x0D, 0x01]) : .status(0x08)
        switch (interruption, command) {
        case (.ringLost, _): return .nothing
        // The erasure has its answer and goes on.
        case (.aborted, _): return .status(0x40)
        case (.expired, .erasure), (.rightLost, .verify), (.rightLost, .writeAndVerify), (.erasing, .erasure):
            return .goesOn
        case (.expired, _): return .status(0x08)
        case (.stopping, .erasure), (.rightLost, .erasure):
            return .codes(cdb[0] == 0x48 ? Codes.sanitizeFailed : Codes.formatFailed)
        case (.erasing, .extendedCopy): return repeated
        case (.erasing, _): return .codes(Codes.formatting)
        case (.stopping, _), (.rightLost, _): return repeated
        }
    }
}
